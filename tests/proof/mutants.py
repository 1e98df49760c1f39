"""Seeded mistakes: each is a small change of the core's source, which the search must find out, and by which promise.

The source is changed while it is imported under its own name, so that all of the core, the world around it and the
search use the mistaken one; afterwards everything is as before.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from types import ModuleType

from tests.support.changed_source import ChangedSource

SHARED = (
    "agent.core",
    "tests.proof.world",
    "tests.proof.host",
    "tests.proof.moves",
    "tests.proof.gate",
    "tests.proof",
)
OWN = tuple(f"tests.proof.{each}mutants" for each in ("", "gate_", "adoption_", "peers_"))


@dataclass(frozen=True)
class Edit:
    """One replacement in a module of the core; the old text must stand there exactly once."""

    module: str
    old: str
    new: str


@dataclass(frozen=True)
class Mutant:
    """A mistake, the faults that bring it to light, and the promise it breaks.

    `script`: how the labels of the faults begin, in their order; each may happen at any moment. `calm`: begin with a
    leader. `timing`: what differs from the search's own. `gate`: which of `runs.GATES`, empty: none. `names`: who is in
    the group. `deaf`: who never hears its peers. `off`: who has none. `alone`: so many hosts, the leader first, have
    lost etcd.
    """

    name: str
    edits: tuple[Edit, ...]
    script: tuple[str, ...]
    breaks: str
    calm: bool = True
    guard: bool = True
    eager: bool = True
    timing: dict[str, int] = field(default_factory=dict)
    gate: str = ""
    peers: bool = False
    names: tuple[str, ...] = ("a", "b")
    deaf: str = ""
    off: str = ""
    alone: int = 0


def _ours(name: str) -> bool:
    return name not in OWN and any(name == each or name.startswith(f"{each}.") for each in SHARED)


def _forget() -> None:
    for name in [name for name in sys.modules if _ours(name)]:
        del sys.modules[name]
        package, _, last = name.rpartition(".")
        if hasattr(sys.modules.get(package), last):  # else `from package import name` would find the old one
            delattr(sys.modules[package], last)


def _edited(edits: Sequence[Edit], module: str, text: str) -> str:
    for edit in edits:
        if edit.module == module:
            found = text.count(edit.old)
            if found != 1:
                raise AssertionError(f"{module}: the text to change stands there {found} times: {edit.old!r}")
            text = text.replace(edit.old, edit.new)
    return text


@contextmanager
def mutated(edits: Sequence[Edit]) -> Iterator[ModuleType]:
    """Import core, world and search anew with the edits made; yield the module with the searches."""
    before = {name: module for name, module in sys.modules.items() if _ours(name)}
    modules = frozenset(each.module for each in edits)
    finder = ChangedSource(modules, partial(_edited, edits))
    _forget()
    sys.meta_path.insert(0, finder)
    try:
        yield importlib.import_module("tests.proof.runs")
        missing = modules - finder.applied
        assert not missing, f"never imported, so never changed: {missing}"
    finally:
        sys.meta_path.remove(finder)
        _forget()
        for name, module in before.items():
            sys.modules[name] = module
            package, _, last = name.rpartition(".")
            setattr(sys.modules[package], last, module)


CORE = "agent.core."
TENURE, CAMPAIGN, STATE, PRODUCTION = (
    CORE + "leadership.tenure",
    CORE + "leadership.campaign",
    CORE + "leadership.state",
    CORE + "leadership.production",
)
LEADERSHIP, FORGETTING = CORE + "leadership.machine", CORE + "leadership.forgetting"

TAKE = """compare = (
        Compare(names.leader, revision_of(leader), lease=leader.lease if leader else None),
        Compare(names.heartbeat, revision_of(heartbeat), heartbeat.value if heartbeat else None),
    )"""
UNKNOWN = "    if _close(step, event.request):\n        step.back_off()\n\n\ndef rejected"
BLIND = Edit(STATE, "return max(free, self.clear_at) if free is not None and self.unsure else free", "return free")
"""The chain of this node shows nothing: the other rules about what it has not seen change have to suffice (R20)."""

MUTANTS = (
    Mutant(
        "deadline counted from receipt",
        (
            Edit(
                TENURE,
                "_confirmed(step, event.revision, tenure.sent_at(tenure.seq), record)",
                "_confirmed(step, event.revision, step.now, record)",
            ),
        ),
        ("a: confirm: applied, the answer is late", "a: is cut off"),
        "P1",
        timing={"request": 6},
    ),
    Mutant(
        "heartbeat compare dropped from the take-over",
        (
            Edit(
                CAMPAIGN,
                TAKE,
                "compare = (Compare(names.leader, revision_of(leader)),)",
            ),
        ),
        ("b: hears late",),
        "P1",
    ),
    Mutant(
        "release before proof",
        (
            Edit(TENURE, "or not state.proven or not rule_read_last_block(step)", ""),
            Edit(TENURE, "or state.request or not state.proven:", "or state.request:"),
        ),
        ("del leader",),
        "R5",
    ),
    Mutant(
        "no kill",
        (Edit(PRODUCTION, "    step.do(FenceNodeos(call, term, within))\n", ""),),
        ("a: nodeos freezes", "a: is cut off"),
        "P1",
        guard=False,
        timing={"validity": 6},
    ),
    Mutant(
        "a nodeos that refuses to pause is asked for ever",
        (
            Edit(
                PRODUCTION,
                "pause_retry_at=min(step.now + doubled(tried), state.pause_by)",
                "pause_retry_at=step.now + 50",
            ),
        ),
        ("a: is cut off", "a: pause is refused"),
        "P1",
        guard=False,
    ),
    Mutant(
        "no margin",
        (Edit(STATE, "self.tenure.valid_until - self.identity.timing.margin if", "self.tenure.valid_until if"),),
        ("a: nodeos freezes", "a: is cut off"),
        "P1",
        guard=False,
        timing={"kill": 2, "validity": 7},
    ),
    Mutant(
        "E ignored after an unclean end",
        (Edit(STATE, "max(free, seen.heartbeat_since + standstill(validity), self", "max(free, self"),),
        ("lease",),
        "P1",
    ),
    Mutant(
        "first sight not counted as o",
        (
            Edit(
                TENURE,
                "step.now if anew else seen.heartbeat_since",
                "seen.heartbeat_since or step.now",
            ),
        ),
        (),
        "P1",
    ),
    Mutant(
        "epoch reused",
        (
            Edit(
                CAMPAIGN,
                "max(state.seen.max_epoch, state.ended_epoch, floor) + 1",
                "max(state.seen.max_epoch, state.ended_epoch, floor, 1)",
            ),
        ),
        ("del leader",),
        "R8",
    ),
    Mutant(
        "unknown outcome taken as success",
        (
            Edit(
                TENURE,
                UNKNOWN,
                '    if _close(step, event.request) == "confirm":\n'
                "        sent, record = step.tenure.sent_at(step.tenure.seq), heartbeat_of(step.state)\n"
                "        _confirmed(step, step.tenure.heartbeat_revision, sent, record)"
                "\n\n\ndef rejected",
            ),
        ),
        ("a: is cut off",),
        "P1",
    ),
    Mutant(
        "unknown outcome taken as failure",
        (
            Edit(
                TENURE,
                UNKNOWN,
                '    if _close(step, event.request) == "confirm":\n'
                "        step.set_tenure(seq=step.tenure.seq - 1, sent=step.tenure.sent[:-1])"
                "\n\n\ndef rejected",
            ),
        ),
        ("a: confirm: applied, the answer is late", "a: is cut off"),
        "P1",
        timing={"request": 5},
    ),
    Mutant(
        "late resume ignored",
        (
            Edit(PRODUCTION, "        if not state.resume_open:\n", "        if state.production:\n"),
            Edit(
                STATE,
                "return self.production is Production.STOPPED and not self.resume_call",
                "return self.production is Production.STOPPED",
            ),
        ),
        ("a: resume hangs",),
        "R5",
        calm=False,
    ),
    Mutant(
        "nominated node takes over without the old heartbeat's end",
        (Edit(CAMPAIGN, "    free = state.free_at()\n", "    free = 0 if state.nominated else state.free_at()\n"),),
        ("put leader b",),
        "P1",
    ),
    Mutant(
        "nomination without revision",
        (
            Edit(
                CAMPAIGN,
                TAKE,
                "nominated = state.nominated\n"
                "    compare = () if nominated else (Compare(names.leader, revision_of(leader)), "
                "Compare(names.heartbeat, revision_of(heartbeat)))",
            ),
        ),
        ("put leader b", "b: take is slow"),
        "R8",
    ),
    Mutant(
        "restart keeps leading without R1",
        (
            Edit(
                LEADERSHIP,
                "tenure=_tenure(record, record.lists if step.state.peered else ()),",
                "tenure=replace(_tenure(record, ()), valid_until=step.now + step.state.identity.timing.validity),",
            ),
        ),
        ("a: the agent dies", "a: is cut off"),
        "P1",
    ),
    Mutant(
        "tenure that began to stop adopted again",
        (
            Edit(
                TENURE,
                UNKNOWN,
                '    if _close(step, event.request) == "release":\n'
                "        step.set(phase=Phase.ELECTED, phase_since=step.now)\n"
                '        step.save("held")'
                "\n\n\ndef rejected",
            ),
        ),
        ("a: it is unhealthy", "a: release is slow"),
        "R3",
    ),
    Mutant(
        "a resume under way is forgotten when its process is gone",
        (
            Edit(
                STATE,
                "return self.production is Production.STOPPED and not self.resume_call",
                "return self.production is Production.STOPPED",
            ),
        ),
        ("a: nodeos dies",),
        "R5",
        calm=False,
        eager=False,
    ),
    Mutant(
        "seqs of the process before taken for own",
        (Edit(TENURE, "tenure.sent_at(record.seq) if ours else None", "tenure.sent_at(record.seq)"),),
        ("a: the agent dies", "a: is cut off"),
        "P1",
        timing={"slack": 0, "validity": 8},
    ),
    Mutant(
        "release put by hand believed",
        (Edit(STATE, "return not self.seen.forged or record.node == self.identity.node", "return True"),),
        ("a: is cut off", "put heartbeat released"),
        "P1",
    ),
    Mutant(
        "heartbeat of another epoch believed that no take-over put",
        (Edit(TENURE, "return leader is not None and leader.revision <= seen.keys_revision", "return False"),),
        ("a: is cut off", "put heartbeat of another epoch"),
        "P1",
    ),
    Mutant(
        "heartbeat believed that tells less validity than its holder did",
        (Edit(TENURE, "return shorter or record.seq <= known.seq", "return record.seq <= known.seq"),),
        ("a: is cut off", "put heartbeat of less validity"),
        "P1",
    ),
    Mutant(
        "release sent before the run-time file says stopping",
        (Edit(TENURE, 'if state.saved not in ("stopping", "stopped"):', "if False:"),),
        ("del leader", "a: the disk is slow", "a: the agent dies"),
        "R3",
    ),
    Mutant(
        "retried take-over rests on what came since",
        (
            Edit(
                CAMPAIGN,
                TAKE,
                "compare = (\n"
                "        Compare(names.leader, revision_of(state.seen.leader)),\n"
                "        Compare(names.heartbeat, revision_of(state.seen.heartbeat)),\n"
                "    )",
            ),
        ),
        ("a: take is slow",),
        "R8",
        calm=False,
    ),
    Mutant(
        "takes over at once in a store that forgot",
        (Edit(FORGETTING, "max(seen.barred_until, step.now + wait)", "seen.barred_until"),),
        ("etcd loses",),
        "P1",
    ),
    Mutant(
        "a store that forgot is not noticed",
        (
            Edit(FORGETTING, "    if back or _contradicts", "    if False and _contradicts"),
            Edit(FORGETTING, "    if asked > seen.answered and", "    if False and"),
        ),
        ("a snapshot", "b: is cut off", "etcd is restored"),
        "P1",
    ),
    Mutant(
        "only revisions are compared, which come again in a restored store",
        (
            Edit(TENURE, "lease = tenure.lease if tenure.leader_revision else None", "lease = None"),
            Edit(TENURE, "seen.value if seen and known else None", "None"),
            Edit(
                CAMPAIGN,
                TAKE,
                "compare = (Compare(names.leader, revision_of(leader)), "
                "Compare(names.heartbeat, revision_of(heartbeat)))",
            ),
        ),
        ("a snapshot", "b: is cut off", "etcd is restored"),
        "P1",
    ),
    Mutant(
        "a take-over counts though the store has forgotten what it rests on",
        (Edit(TENURE, " or step.now < step.state.seen.barred_until", ""),),
        ("a snapshot", "b: is cut off", "etcd is restored"),
        "P1",
    ),
    Mutant(
        "resume before the run-time file says so",
        (Edit(PRODUCTION, ' or state.saved != "held"', ""),),
        ("a: the agent dies",),
        "P1",
        calm=False,
        timing={"validity": 6},
    ),
)
