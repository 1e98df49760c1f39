"""A chain of real nodes: producing nodes that share one producer, and an observer without keys. Only chains live here.

The first node makes the first blocks alone (`enable-stale-production`, at boot only), then the others join: peers that
meet at block 1 shake hands for ever. A node that saw one timely block since its start produces when it is resumed, so
the flag is not needed again, and a restarted node does not get it.
"""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from agent.lab import evidence
from agent.lab.binaries import find_nodeos
from agent.lab.load import Load, Wallet
from agent.lab.nodeos import Node, NodeSpec
from agent.lab.ports import Ports
from agent.lab.proxy import Proxy

NAMES = ("bp-a", "bp-b", "bp-c")
OBSERVER = "observer"


class Chain:
    """A one-producer chain (account `eosio`): `nodes` share it, `observer` only follows. Every node dials every other.

    `links[name]` are the p2p proxies that `name` dials its peers through, if the chain was made with `cuttable`.
    With `simulated` the nodes are SIMULATED ones, and there are no transactions.
    """

    producer = "eosio"

    def __init__(
        self,
        root: Path,
        ports: Ports,
        count: int = 2,
        *,
        cuttable: bool = False,
        simulated: bool = False,
    ) -> None:
        binaries = None if simulated else find_nodeos()
        names = (*NAMES[:count], OBSERVER)
        self._closing = ExitStack()
        listen = {name: ports.take() for name in names}
        self.links: dict[str, dict[str, Proxy]] = {name: {} for name in names}
        specs = {}
        for name in names:
            peers = []
            for other in names:
                if other == name:
                    continue
                port = listen[other]
                if cuttable:
                    proxy = Proxy(ports.take(), port)
                    self._closing.callback(proxy.close)
                    self.links[name][other] = proxy
                    port = proxy.port
                peers.append(port)
            producers = () if name == OBSERVER else (self.producer,)
            specs[name] = NodeSpec(name, ports.take(), listen[name], producers, peers=peers)
        everybody = {name: Node(spec, root / name, binaries) for name, spec in specs.items()}
        self.observer = everybody.pop(OBSERVER)
        self.nodes = everybody
        self.load = Load(Wallet(root / "wallet", binaries), self.observer) if binaries else None

    @property
    def all(self) -> list[Node]:
        """Every node, the observer last."""
        return [*self.nodes.values(), self.observer]

    def start(self, *, load: bool = True) -> None:
        """Boot: the first producing node signs, all others follow it, paused."""
        first, *rest = self.nodes.values()
        self._closing.callback(self._end)
        first.launch("--enable-stale-production")
        first.wait_head(3)
        for node in (*rest, self.observer):
            node.launch(*(["--pause-on-startup"] if node.spec.producers else []))
        for node in (*rest, self.observer):
            node.wait_head(4)
            node.wait_level(first)
        if self.load is not None and load:
            self.load.start()

    def cut(self, name: str) -> None:
        """Cut a node off from all its peers, both ways."""
        for link in self._links_of(name):
            link.refuse()

    def heal(self, name: str) -> None:
        """End that."""
        for link in self._links_of(name):
            link.heal()

    def _links_of(self, name: str) -> list[Proxy]:
        own = list(self.links[name].values())
        return own + [links[name] for other, links in self.links.items() if other != name]

    def signed(self) -> list[evidence.Signature]:
        """Return what the nodes signed, in the order of time."""
        return evidence.signed(self.nodes.values())

    def doubles(self) -> dict[tuple[str, int], list[evidence.Signature]]:
        """Return the slots that were signed twice. The number that must be 0."""
        return evidence.doubles(self.signed())

    def _end(self) -> None:
        if self.load is not None:
            self.load.close()
        for node in self.all:
            node.close()

    def close(self) -> None:
        """End everything."""
        self._closing.close()
