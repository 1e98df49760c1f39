"""Whether two members can serve one group: what each tells of itself, compared. Pure; nothing is decided here.

A group is one producer on one chain, with a nodeos of its own beside each agent. A member that breaks this makes both
sides do harm: it would take over where it cannot sign for us, or pause the nodeos that another agent leads with. So an
agent looks before it touches anything (`agent.runtime.joining`), and a member that does not fit later counts for
nothing: it is no candidate, no measure and no witness (`Node.members`).

Two block-signing keys are no contradiction, for an account may have several; `doctor` tells of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations

from agent.core.model.chain import ProcessId


@dataclass(frozen=True, slots=True)
class Belonging:
    """What one agent serves. An empty text is not known yet, and contradicts nothing.

    chain    the chain id that its nodeos tells
    key      the block-signing key that is configured
    process  its nodeos: host, boot, pid namespace, pid and start time (see `process_text`)
    """

    producer: str = ""
    chain: str = ""
    key: str = ""
    process: str = ""


def process_text(host: str, process: ProcessId | None) -> str:
    """Return what no other process has; empty when it is not known. `host`: the boot id and the pid namespace.

    A pid of 0 stands for a process that could not be found.
    """
    return f"{host}:{process.pid}:{process.start_ticks}" if host and process is not None and process.pid else ""


def clash(mine: Belonging, theirs: Belonging, them: str) -> str:
    """Return why the member `them` cannot be in one group with us, with the remedy; empty when it can."""
    match difference(mine, theirs):
        case "producer":
            return (
                f"{them} serves producer {theirs.producer}, this agent {mine.producer}: "
                "correct `producer`, or give each producer a `group` of its own"
            )
        case "chain":
            return (
                f"the nodeos of {them} is on chain {theirs.chain}, ours on {mine.chain}: "
                "correct `nodeos.url`, or give each chain a `group` of its own"
            )
        case "process":
            return f"{them} governs the same nodeos as this agent: correct `nodeos.url` of one of the two"
    return ""


def difference(mine: Belonging, theirs: Belonging) -> str:
    """Return by which field two members contradict each other; empty when they do not."""
    if mine.producer and theirs.producer and mine.producer != theirs.producer:
        return "producer"
    if mine.chain and theirs.chain and mine.chain != theirs.chain:
        return "chain"
    return "process" if mine.process and mine.process == theirs.process else ""


def clashes(told: Mapping[str, Belonging]) -> list[str]:
    """Return for every two members that cannot be in one group why not; `told` is by node."""
    return [
        f"{one} and {two} do not belong together: {_apart(field, mine, theirs)}"
        for (one, mine), (two, theirs) in combinations(sorted(told.items()), 2)
        if (field := difference(mine, theirs))
    ]


def _apart(field: str, mine: Belonging, theirs: Belonging) -> str:
    if field == "process":
        return "both govern one nodeos"
    return f"{field} {getattr(mine, field)} and {getattr(theirs, field)}"
