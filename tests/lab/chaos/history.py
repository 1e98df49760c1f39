"""What happened, as data: the input of the checker, and what it finds. Nothing here asks a process."""

from __future__ import annotations

from dataclasses import dataclass, field

from agent.core.model.slots import EPOCH, SLOT
from tests.lab.chaos.plan import Fault
from tests.lab.evidence import Signature


def slot_time(slot: int) -> float:
    """Return when a slot is, in seconds since 1970."""
    return (slot * SLOT + EPOCH) / 1000


@dataclass(frozen=True)
class Done:
    """A fault that was done: when it was in force, in seconds since 1970. `failed` says why it could not be."""

    fault: Fault
    started: float
    ended: float
    failed: str = ""


@dataclass(frozen=True)
class Change:
    """An agent went into a phase (or was gone, or started): from its log, at the lab's own time."""

    node: str
    at: float
    phase: str
    key: str
    epoch: int
    reason: str


@dataclass(frozen=True)
class Note:
    """Something else worth a line in a story: a warning of an agent, a guard's word, a restart by the lab."""

    at: float
    who: str
    text: str


@dataclass(frozen=True)
class Span:
    """A span of time of a node: not governed, or (without a node) a stall of the whole machine."""

    node: str
    started: float
    ended: float


@dataclass(frozen=True)
class Rest:
    """All was healed at `at`; the first block after that came at `produced` (None: not in time)."""

    at: float
    produced: float | None


@dataclass
class History:
    """All of it. `began` and `ended` bound what is judged."""

    nodes: list[str]
    began: float
    ended: float = 0.0
    signatures: list[Signature] = field(default_factory=list)
    done: list[Done] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    ungoverned: list[Span] = field(default_factory=list)
    misdated: list[Span] = field(default_factory=list)
    """When a node's own clock was wrong: its signatures of then are dated wrongly, and count for no slot."""
    stalls: list[Span] = field(default_factory=list)
    rests: list[Rest] = field(default_factory=list)
    unsigned: list[int] = field(default_factory=list)
    """Blocks of the observer's chain whose signature is in no log: with any, the evidence is not whole."""
    gate: bool = False
    """Whether nodes signed through gates: then nobody is excused by not being governed."""
    failsafe: bool = False
    """Whether promises held the lead for as long as etcd was away."""
    means: dict[str, str] = field(default_factory=dict)
    """By what faults were made: what was left out for want of something says so."""


@dataclass(frozen=True)
class Double:
    """A slot that was signed twice. `governed`: by two nodes (or with two blocks) that agents answered for."""

    slot: int
    signatures: tuple[Signature, ...]
    governed: bool


@dataclass(frozen=True)
class Gap:
    """Slots without a block. `causes` are the faults that explain it, none: nothing in the plan does."""

    first: int
    count: int
    after: str
    causes: tuple[str, ...]
    blamed: int = 0

    @property
    def started(self) -> float:
        """When its first slot was."""
        return slot_time(self.first)

    @property
    def ended(self) -> float:
        """When its last slot was over."""
        return slot_time(self.first + self.count)


@dataclass(frozen=True)
class Tenure:
    """A node led; `blamed` is the number of the fault before it, 0 when none is."""

    node: str
    epoch: int
    started: float
    ended: float
    blamed: int = 0


@dataclass(frozen=True)
class Late:
    """A node signed, though `seconds` before another one had been elected."""

    signature: Signature
    seconds: float


@dataclass(frozen=True)
class Thaw:
    """A nodeos was frozen while it signed, by the fault of that number, until another one was elected.

    stale: how many blocks it signed when it thawed.
    """

    number: int
    node: str
    stale: int


@dataclass(frozen=True)
class Verdict:
    """What the checker found. `violations` is empty when P1 and P2 held; the last two are for runs with gates."""

    doubles: tuple[Double, ...]
    gaps: tuple[Gap, ...]
    tenures: tuple[Tenure, ...]
    violations: tuple[str, ...]
    flags: tuple[str, ...]
    late: tuple[Late, ...] = ()
    thaws: tuple[Thaw, ...] = ()
