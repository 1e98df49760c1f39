"""A nodeos that hangs in its own window: with a required gate the first silence and a missed slot move the lead."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent.core.health import checks
from agent.core.health.checks import GateProbed, PausedProbed
from agent.core.health.hysteresis import CheckState, Thresholds
from agent.core.leadership.state import Phase, Production, State, Tenure
from agent.core.leadership.timing import GateMode, Timing
from agent.core.model.chain import Schedule
from agent.core.model.slots import date
from agent.core.node import step as core
from agent.core.node.state import LiveSettings, Node
from agent.core.node.urgency import GATE_FRESH, MISSED
from tests.core.node.test_urgency import ROUND, TWENTY_ONE
from tests.core.parts import LIMITS, SCHEDULE, SETUP

NOW = 50_000
ALONE = replace(SCHEDULE, producers=SCHEDULE.producers[1:])
GATES = {"main_thread": Thresholds(2, 3), "gate": Thresholds(1, 1)}


def leader(
    signed_at: int, schedule: Schedule = ALONE, gate: GateMode = GateMode.REQUIRED, silent: int = MISSED
) -> Node:
    """Return a leader whose gate signed last at the date of a slot (0 is our first in the round), `silent` ms ago."""
    state = State(
        replace(SETUP, timing=Timing(gate=gate)),
        phase=Phase.LEADING,
        phase_since=NOW - 30_000,
        production=Production.PRODUCING,
        started=True,
        tenure=Tenure(3, "f00d", 1, 7, 5, 5, NOW + 5000),
    )
    wall = date(ROUND * 1_000_000 + signed_at) + silent
    well = CheckState(ok=True, reason="", known=True)
    health = checks.Health(dict.fromkeys(GATES, well), info_wall=wall, info_at=NOW, schedule=schedule)
    settings = LiveSettings("lab", replace(LIMITS, thresholds=GATES))
    return Node(settings, state, health)


def silence(node: Node, gate: GateProbed) -> bool:
    """Have the gate tell, then one question of the main thread stay without answer; tell whether that was enough."""
    for probe in (gate, PausedProbed(NOW - 400, None, "no answer in time")):
        node, _ = core.step(node, probe, NOW)
    return not node.health.checks["main_thread"].ok


def test_one_silence_is_enough_once_a_slot_is_missed() -> None:
    """P2: no signature for longer than a slot, by the gate's own word, and no answer: it hangs."""
    assert silence(leader(3), GateProbed(NOW, "", 1, NOW - MISSED))


@pytest.mark.parametrize("slot", [0, 5, 9])
def test_within_the_own_window_too(slot: int) -> None:
    """On a chain of 21 producers the same, as long as another slot of the window is due."""
    assert silence(leader(slot, TWENTY_ONE), GateProbed(NOW, "", 1, NOW - MISSED))


@pytest.mark.parametrize(
    ("node", "gate"),
    [
        (leader(3), GateProbed(NOW, "", 1, NOW - MISSED + 1)),
        (leader(3), GateProbed(NOW - GATE_FRESH - 1, "", 1, NOW - GATE_FRESH - MISSED - 1)),
        (leader(3), GateProbed(NOW, "", 1, None)),
        (leader(3), GateProbed(NOW, "", 1, NOW - 31_000)),
        (leader(3), GateProbed(NOW, "no answer")),
        (leader(3, gate=GateMode.ON), GateProbed(NOW, "", 1, NOW - MISSED)),
        (leader(3, gate=GateMode.OFF), GateProbed(NOW, "", 1, NOW - MISSED)),
        (leader(11, TWENTY_ONE), GateProbed(NOW, "", 1, NOW - MISSED)),
        (leader(10, TWENTY_ONE), GateProbed(NOW, "", 1, NOW - MISSED)),
        (leader(40, TWENTY_ONE), GateProbed(NOW, "", 1, NOW - MISSED)),
    ],
    ids=[
        "signed a slot ago",
        "the gate told that long ago",
        "never signed",
        "signed before this tenure alone",
        "the gate itself gives no answer",
        "the gate is not required",
        "no gate",
        "the last of the window was signed",
        "perhaps the last of the window was signed",
        "not in the window",
    ],
)
def test_else_silence_has_to_last(node: Node, gate: GateProbed) -> None:
    """P3: a busy host is late as well; without a missed slot, or where the process would be ended, `fall` counts."""
    assert not silence(node, gate)


def test_a_missed_slot_alone_is_no_fault() -> None:
    """P3: a main thread that answers is not given up for one slot."""
    node, _ = core.step(leader(3), GateProbed(NOW, "", 1, NOW - MISSED), NOW)
    node, _ = core.step(node, PausedProbed(NOW, paused=False), NOW)
    assert node.health.checks["main_thread"].ok
