"""One short run on real parts; `make chaos` is the long one."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from tests.lab.chaos.__main__ import say
from tests.lab.chaos.checker import check
from tests.lab.chaos.plan import make_plan
from tests.lab.chaos.report import findings
from tests.lab.chaos.run import Run

FAULTS = 22
SEED = 8843
KINDS = 20
"""Kinds of fault in the plan of this seed: it was chosen for having many."""


GATE_FAULTS = 8
GATE_SEED = 12184
"""Its plan freezes the nodeos that signs, lets a pause lie, kills an agent, freezes a gate, takes etcd away: 40 s."""


@pytest.mark.real
@pytest.mark.timeout(480)  # takes 90 s; on a machine with ten times as much to do as it has cores, 220
def test_short_run_breaks_no_promise(tmp_path: Path) -> None:
    """Two dozen faults, alone and in pairs: no slot is signed twice (P1), somebody produces after each rest (P2)."""
    plan = make_plan(SEED, FAULTS, ("bp-a", "bp-b"))
    assert len({fault.kind for fault in itertools.chain(*plan.rounds)}) >= KINDS
    run = Run(plan, tmp_path, say)
    try:
        history = run.play()
    finally:
        run.close()
    verdict = check(history)
    assert verdict.violations == (), findings(history, verdict)
    assert sum(not done.failed or "skipped" in done.failed for done in history.done) >= 20
    assert len(history.signatures) > 40
    assert len(history.rests) == len(plan.rounds)


@pytest.mark.real
@pytest.mark.timeout(300)  # takes 50 s at a load average of 12
def test_short_run_with_gates_signs_nothing_twice(tmp_path: Path) -> None:
    """With gates no slot is signed twice in any moment, nor after another one was elected (P1), and P2 holds."""
    plan = make_plan(GATE_SEED, GATE_FAULTS, ("bp-a", "bp-b"), gate=True)
    kinds = {fault.kind for fault in itertools.chain(*plan.rounds)}
    assert kinds >= {"signer-frozen", "pause-lies", "agent-killed", "gate-frozen"}
    run = Run(plan, tmp_path, say)
    try:
        history = run.play()
    finally:
        run.close()
    verdict = check(history)
    assert verdict.violations == (), findings(history, verdict)
    assert sum(not done.failed or "skipped" in done.failed for done in history.done) >= GATE_FAULTS - 1
    assert sum(host.gate is not None and host.gate.process.log.exists() for host in run.world.hosts.values()) == 2
    assert len(history.signatures) > 8, "without blocks nothing is shown"
    assert len(history.rests) == len(plan.rounds)
