"""A whole laboratory: etcd, a chain, agents; all of it ends with the laboratory. Only the composition lives here."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self

from tests.lab.agents import Agent
from tests.lab.binaries import find_nodeos
from tests.lab.chain import NAMES, Chain
from tests.lab.etcd import EtcdCluster, EtcdOptions
from tests.lab.gates import SigningGate
from tests.lab.nodeos import Node
from tests.lab.places import LOOPBACK
from tests.lab.ports import Ports
from tests.lab.prometheus import Prometheus
from tests.lab.proxy import Proxy

GROUP = "lab"


class Lab:
    """Starts real parts on loopback, below one directory. Use it in a `with`: whatever happens, all of it ends."""

    def __init__(self, root: Path | None = None) -> None:
        self._closing = ExitStack()
        if root is None:
            root = Path(self._closing.enter_context(tempfile.TemporaryDirectory(prefix="nodeos-failover-lab-")))
        self.root = root
        self.ports = Ports()
        self._closing.callback(self.ports.close)
        self.agents: dict[str, Agent] = {}
        self.etcd_links: dict[str, list[Proxy]] = {}
        self.gates: dict[str, SigningGate] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End everything, in the reverse order."""
        self._closing.close()

    def etcd(self, size: int = 3, **options: Any) -> EtcdCluster:
        """Start an etcd of one or three members."""
        cluster = EtcdCluster(self.root / "etcd", self.ports, EtcdOptions(size=size, **options))
        self._closing.callback(cluster.close)
        cluster.start()
        return cluster

    def chain(
        self,
        count: int = 2,
        *,
        load: bool = True,
        active: bool = True,
        gate: bool = False,
        **options: Any,
    ) -> Chain:
        """Start a chain with `count` nodes that share one producer, and an observer; see Chain and its `start`.

        With `gate` these nodes sign through gates, which follow the permits of their agents.
        """
        gates = {name: self._gate(name) for name in NAMES[:count]} if gate else None
        chain = Chain(self.root / "chain", self.ports, count, gates=gates, **options)
        self._closing.callback(chain.close)
        chain.start(load=load, active=active)
        return chain

    def _gate(self, name: str) -> SigningGate:
        at = self.root / f"agent-{name}"
        self.gates[name] = SigningGate(at / "gate", (GROUP, name), at / "run", self.ports, find_nodeos())
        self._closing.callback(self.gates[name].close)
        return self.gates[name]

    def agent(
        self,
        node: Node,
        etcd: EtcdCluster,
        /,
        producer: str | None = None,
        *,
        cuttable: bool = False,
        hears: str = LOOPBACK.address,
        **settings: Any,
    ) -> Agent:
        """Make the agent beside `node` (not started). `settings` are further tables of its configuration.

        With `cuttable` it reaches etcd by ways of its own, which `cut_from_etcd` cuts and `etcd_links` has. `hears`: at
        which address datagrams of its peers; by default, that of etcd, it is not named beside etcd's leader (R17).
        """
        urls = etcd.urls
        if cuttable:
            urls, self.etcd_links[node.name] = etcd.ways()
        whole = settings_of(node, producer or node.spec.producers[0], urls)
        whole["etcd"] |= _credentials(etcd)
        if node.name in self.gates:
            whole["gate"] = dict(self.gates[node.name].settings)
        for key, value in settings.items():
            whole[key] = {**whole.get(key, {}), **value} if isinstance(value, dict) else value
        agent = Agent(whole, self.root / f"agent-{node.name}", self.ports.take(), hears=hears)
        self.agents[node.name] = agent
        self._closing.callback(agent.close)
        return agent

    def prometheus(self, rules: Iterable[Path] = ()) -> Prometheus:
        """Start a Prometheus that scrapes every agent made so far, and evaluates `rules`."""
        targets = [agent.http_port for agent in self.agents.values()]
        prometheus = Prometheus(self.root / "prometheus", self.ports, targets, rules)
        self._closing.callback(prometheus.close)
        prometheus.start()
        return prometheus

    def cut_from_etcd(self, name: str) -> None:
        """Cut one host's agent off from every etcd member; nobody is told."""
        for proxy in self.etcd_links[name]:
            proxy.cut()

    def heal_etcd(self, name: str) -> None:
        """End that."""
        for proxy in self.etcd_links[name]:
            proxy.heal()


def settings_of(node: Node, producer: str, endpoints: Sequence[str]) -> dict[str, Any]:
    """Return the configuration that every agent of the lab begins with."""
    return {
        "group": GROUP,
        "node": node.name,
        "producer": producer,
        "nodeos": {"url": node.http_url, "data_dir": str(node.data_dir)},
        "fence": {"executable": node.executable},
        "etcd": {"endpoints": list(endpoints)},
        "health": {"disk_space": {"min_free_bytes": 0, "min_free_percent": 0}},
    }


def _credentials(etcd: EtcdCluster) -> dict[str, str]:
    """Return what an agent needs to be let in by `etcd`: nothing, unless it asks for certificates or a password."""
    found: dict[str, str] = {}
    if etcd.certificates is not None:
        files = etcd.certificates
        found |= {"ca_file": str(files.ca), "cert_file": str(files.client), "key_file": str(files.client_key)}
    if etcd.user is not None and etcd.password is not None:
        found |= {"user": etcd.user, "password": etcd.password}
    return found
