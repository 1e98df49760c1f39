"""A chain of real nodes: producing nodes that share one producer, and an observer without keys. Only chains live here.

Boot. One node makes the first blocks alone, the others join from block 3 on: peers that meet at block 1 shake hands for
ever. It needs `--enable-stale-production` for that. All the flag does is to set at start what a node otherwise sets
itself at the first block that it gets in time, and keeps until it ends: that it may produce. So after the boot all
nodes are alike, whoever of them had the flag; a node started again does not get it.

Standing still. When all are paused a chain of one producer stands, and goes on when one of them is resumed: after 1,
5 and 12 s the first block came 8 to 400 ms later, from either node. But a node that was *started* while the chain stood
answers ok to a resume and produces nothing, until a node that was not has made a block. So keep one running; when all
were started anew, `revive` one. On a chain of several producers the others' blocks do that.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from agent.gate.settings import PROVIDER_TIMEOUT_MS
from tests.lab import evidence
from tests.lab.binaries import NodeosBinaries, find_nodeos
from tests.lab.errors import LabError
from tests.lab.gates import SigningGate
from tests.lab.load import Load
from tests.lab.nodeos import Node, NodeSpec
from tests.lab.places import LOOPBACK, Place
from tests.lab.ports import Ports
from tests.lab.proxy import Proxy
from tests.lab.savanna import Finality, RealFinality, SimulatedFinality
from tests.lab.schedule import SYSTEM, schedule
from tests.lab.wallet import Wallet

NAMES = ("bp-a", "bp-b", "bp-c", "bp-d", "bp-e")
OTHERS = "others"
OBSERVER = "observer"
SHARED = "shared"
OTHER_PRODUCERS = ("othera", "otherb", "otherc")
START = "--enable-stale-production"
PAUSED = "--pause-on-startup"


class Chain:
    """`nodes` share the producer `producer`, `observer` only follows; every node dials every other.

    producers: 1, the account `eosio`; or 3 or 4, of which `nodes` share the first and the node `others` has the rest.
    With 3 the last irreversible block stands still while one is silent, with 4 it does not.
    cuttable: every node dials its peers through proxies, so that `cut` works.
    simulated: the nodes are SIMULATED ones, of one producer, and there are no transactions.
    places: where nodes run, by name. env: of a node's environment, by name.
    gates: what nodes sign through, by name; that of the first node is open after `start`.
    finalizers: the accounts that nodes vote for, by name; the chain is one of Savanna then (see `tests.lab.savanna`).
    more: further words for every node.
    alone: nodes that take no transactions from their peers, so that under load their blocks differ from the others'.
    """

    def __init__(
        self,
        root: Path,
        ports: Ports,
        count: int = 2,
        *,
        producers: int = 1,
        cuttable: bool = False,
        simulated: bool = False,
        places: Mapping[str, Place] | None = None,
        env: Mapping[str, Mapping[str, str]] | None = None,
        gates: Mapping[str, SigningGate] | None = None,
        alone: Collection[str] = (),
        finalizers: Mapping[str, Sequence[str]] | None = None,
        more: Sequence[str] = (),
    ) -> None:
        if not 1 <= count <= len(NAMES) or producers not in (1, 3, 4) or (simulated and producers > 1):
            raise LabError(f"no chain of {count} nodes and {producers} producers: 1 to 5, and 1 (or, if real, 3 or 4)")
        binaries = None if simulated else find_nodeos()
        self.root = root
        self._places = places or {}
        at = self._place(OBSERVER)
        self.wallet = Wallet(root / "wallet", ports.take(), binaries, at) if binaries else None
        self.finality = self._finality(finalizers, binaries) if finalizers else None
        self.producer = SYSTEM if producers == 1 else SHARED
        self.schedule = [SYSTEM] if producers == 1 else [SHARED, *OTHER_PRODUCERS[: producers - 1]]
        owned: dict[str, Sequence[str]] = {name: [self.producer] for name in NAMES[:count]}
        if producers > 1:
            owned[OTHERS] = [SYSTEM, *self.schedule[1:]]
        owned[OBSERVER] = []
        self._closing = ExitStack()
        self._proxies: dict[tuple[str, str], Proxy] = {}
        listen = {name: ports.take() for name in owned}
        self.gates = dict(gates or {})
        self._everybody = {}
        for name, names in owned.items():
            peers = [self._way(name, other, port, ports, cuttable) for other, port in listen.items() if other != name]
            spec = NodeSpec(
                name,
                ports.take(),
                listen[name],
                names,
                peers=peers,
                place=self._place(name),
                env=(env or {}).get(name, {}),
                providers=[self.gates[name].provider] if name in self.gates else (),
                more=[
                    *more,
                    *(("--keosd-provider-timeout", str(PROVIDER_TIMEOUT_MS)) if name in self.gates else ()),
                    *(("--p2p-accept-transactions", "false") if name in alone else ()),
                    *(self.finality.options(name, bool(names)) if self.finality else ()),
                ],
            )
            self._everybody[name] = Node(spec, root / name, binaries)
        self.nodes = {name: self._everybody[name] for name in NAMES[:count]}
        self.observer = self._everybody[OBSERVER]
        self.others = self._everybody.get(OTHERS)
        self.load = Load(self.wallet, self.observer) if self.wallet else None

    def _finality(self, accounts: Mapping[str, Sequence[str]], binaries: NodeosBinaries | None) -> Finality:
        if binaries is None or self.wallet is None:
            return SimulatedFinality(accounts, self.root / "simulated-chain")
        return RealFinality(accounts, self.root, binaries, self.wallet)

    def _place(self, name: str) -> Place:
        return self._places.get(name, LOOPBACK)

    def _way(self, name: str, other: str, port: int, ports: Ports, cuttable: bool) -> int | str:
        """Return what `name` dials to reach `other`, who listens on `port`."""
        if not cuttable:
            return f"{self._place(other).address}:{port}"
        proxy = Proxy(ports.take(), port)
        self._closing.callback(proxy.close)
        self._proxies[name, other] = proxy
        return proxy.port

    @property
    def all(self) -> list[Node]:
        """Every node, the observer last."""
        return list(self._everybody.values())

    def start(self, *, load: bool = True, active: bool = True) -> None:
        """Boot, and return when all follow: the first node produces, or with `active` false none of those that share.

        Then, on a chain of one producer, the block in flight is still signed, and the chain stands.
        """
        self._closing.callback(self._end)
        first = next(iter(self.nodes.values()))
        boot = self.others or first
        for gate in self.gates.values():
            gate.start()
        if first.name in self.gates:
            self.gates[first.name].open()
        boot.launch(START)
        boot.wait_head(3)
        joining = [node for node in self.all if node is not boot]
        for node in joining:
            node.launch(*([PAUSED] if node.spec.producers else []))
        for node in joining:
            node.wait_head(4)
            node.wait_level(boot)
        if self.finality is not None:
            self.finality.begin(boot)
        if self.others is not None and self.wallet is not None:
            self.wallet.start()
            schedule(self.schedule, self.others, self.wallet, self.root)
            if self.finality is not None:
                self.finality.install(self.others)
        if not active:
            first.pause()
        elif first is not boot:
            first.resume()
        if self.load is not None and load:
            self.load.start()

    def revive(self, node: Node) -> None:
        """Restart a node, paused, so that it produces when it is resumed though the chain has stood still meanwhile."""
        node.restart(START)

    def cut(self, name: str, *others: str) -> None:
        """Cut a node off from `others` (none: all its peers), both ways: connections are reset, new ones refused."""
        for proxy in self._proxies_of(name, others):
            proxy.refuse()

    def hold(self, name: str) -> None:
        """Hold back everything between a node and its peers: their connections stand, and nothing comes."""
        for proxy in self._proxies_of(name):
            proxy.freeze()

    def heal(self, name: str) -> None:
        """End either. A peer dials again within RECONNECT seconds."""
        for proxy in self._proxies_of(name):
            proxy.heal()

    def _proxies_of(self, name: str, others: Collection[str] = ()) -> list[Proxy]:
        ends = set(others) or set(self._everybody)
        found = [proxy for way, proxy in self._proxies.items() if name in way and ends & ({*way} - {name})]
        if not found:
            raise LabError(f"{name} cannot be cut off: make the chain with cuttable=True")
        return found

    def signed(self) -> list[evidence.Signature]:
        """Return what all nodes signed, in the order of time."""
        return evidence.signed(self.all)

    def doubles(self) -> dict[tuple[str, int], list[evidence.Signature]]:
        """Return the slots that were signed twice. The number that must be 0."""
        return evidence.doubles(self.signed())

    def _end(self) -> None:
        if self.load is not None:
            self.load.cease()
        if self.wallet is not None:
            self.wallet.close()
        for node in self.all:
            node.close()
        if self.load is not None:
            self.load.stop()  # only now: a node without a producer leaves the push at hand without an answer for long
        for gate in self.gates.values():
            gate.close()

    def close(self) -> None:
        """End everything."""
        self._closing.close()
