"""One short run on real parts; `make chaos` is the long one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.lab.chaos.__main__ import say
from tests.lab.chaos.checker import check
from tests.lab.chaos.history import History
from tests.lab.chaos.plan import ROUND, make_plan
from tests.lab.chaos.report import findings
from tests.lab.chaos.run import Run

KINDS = 20
"""Kinds of fault in the plan of the first seed: it was chosen for having many."""


def played(seed: int, faults: int, root: Path, *, gate: bool = False) -> tuple[Run, History]:
    """Play a plan for two hosts; no promise was broken, and somebody produced after each rest (P1, P2)."""
    run = Run(make_plan(seed, faults, ("bp-a", "bp-b"), gate=gate), root, say)
    try:
        history = run.play()
    finally:
        run.close()
    verdict = check(history)
    assert verdict.violations == (), findings(history, verdict)
    assert len(history.rests) == -(-faults // ROUND)
    return run, history


def kinds(history: History) -> set[str]:
    """Return the kinds of fault that there were, done or not."""
    return {done.fault.kind for done in history.done}


def well(history: History) -> int:
    """Return how many faults were done, or could not be done on this machine."""
    return sum(not done.failed or "skipped" in done.failed for done in history.done)


@pytest.mark.real
@pytest.mark.timeout(480)  # takes 90 s; on a machine with ten times as much to do as it has cores, 220
def test_short_run_breaks_no_promise(tmp_path: Path) -> None:
    """Two dozen faults, alone and in pairs: no slot is signed twice (P1), somebody produces after each rest (P2)."""
    _, history = played(6754, 22, tmp_path)
    assert len(kinds(history)) >= KINDS
    assert well(history) >= 20
    assert len(history.signatures) > 40


@pytest.mark.real
@pytest.mark.timeout(300)  # takes 50 s at a load average of 12
def test_short_run_with_gates_signs_nothing_twice(tmp_path: Path) -> None:
    """With gates no slot is signed twice in any moment, nor after another one was elected (P1), and P2 holds.

    The plan freezes the nodeos that signs, lets a pause lie, kills an agent, freezes a gate, takes etcd away: 40 s.
    """
    run, history = played(3310, 8, tmp_path, gate=True)
    assert kinds(history) >= {"signer-frozen", "pause-lies", "agent-killed", "gate-frozen"}
    assert well(history) >= 7
    assert sum(host.gate is not None and host.gate.process.log.exists() for host in run.world.hosts.values()) == 2
    assert len(history.signatures) > 8, "without blocks nothing is shown"
