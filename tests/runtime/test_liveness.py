"""The sign of life: given by completed steps of the real loop, and by nothing else; when a device may be fed."""

from __future__ import annotations

import logging
import os
import threading
import time
from dataclasses import replace
from typing import Any

import pytest

from agent.config.protocol import FEED_MS
from agent.core.leadership.events import Shutdown, Started
from agent.core.leadership.state import Phase, Production, State, Tenure
from agent.core.leadership.timing import FENCE_START, Timing
from agent.core.node import step
from agent.core.node.snapshot import NodeSnapshot
from agent.core.node.state import LiveSettings, NodeAction
from agent.host.clock import SystemClock
from agent.host.paths import PULSE_FD
from agent.host.systemd import Notifier
from agent.host.watchdog import Watchdog
from agent.runtime.liveness import GuardPipe, Liveness, describe, may_feed
from agent.runtime.loop import Loop
from tests.core.parts import LIMITS, SETUP
from tests.support.children import wait_until

TENURE = Tenure(7, "f00d", 3, 99, valid_until=10_000)
LEADING = State(SETUP, Phase.LEADING, production=Production.PRODUCING, tenure=TENURE, started=True)


class Bowl(Watchdog):
    """A watchdog that counts its food."""

    def __init__(self, timeout_s: int | None = 4) -> None:
        self.timeout_s = timeout_s
        self.fed: list[float] = []
        self.closed = False

    def feed(self) -> None:
        """Eat."""
        self.fed.append(time.monotonic())

    def close(self) -> None:
        """Be disarmed."""
        self.closed = True


class Told(Notifier):
    """A notifier that notes its words."""

    def __init__(self) -> None:
        super().__init__({})
        self.watchdog_s = 3.0
        self.words: list[str] = []

    def send(self, *lines: str) -> None:
        """Note the first word."""
        self.words.append(lines[0].partition("=")[0] if "STATUS" not in lines[0] else lines[0])


class IdleEffects:
    """Does nothing; can hold the loop up."""

    def __init__(self) -> None:
        self.hold = threading.Event()
        self.hold.set()

    def do(self, action: NodeAction) -> None:
        """Carry nothing out."""

    def stepped(self, event: object, snapshot: NodeSnapshot) -> None:
        """Be what a step waits for."""
        self.hold.wait(10)

    def halt(self, state: State) -> None:
        """Stop nothing."""


def snapshot(state: State) -> NodeSnapshot:
    """Return what the loop shows."""
    return NodeSnapshot(step.begin(LiveSettings("g", LIMITS, 100, False, "0", ""), state), 0)


def test_only_completed_steps_give_a_sign() -> None:
    """A loop that hangs in a step falls silent to systemd, parent and device at once, and goes on when it does."""
    told, bowl = Told(), Bowl()
    effects: Any = IdleEffects()
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    pulse = Liveness(SystemClock(), told, GuardPipe({PULSE_FD: str(writer)}), bowl)
    begin = step.begin(LiveSettings("g", LIMITS, 100, False, "0", ""), State(SETUP))
    loop = Loop(begin, SystemClock(), lambda _loop: effects, pulse)
    thread = threading.Thread(target=loop.run, daemon=True)
    loop.emit(Started(None, None))
    thread.start()
    wait_until(lambda: told.words.count("WATCHDOG") >= 2 and len(bowl.fed) >= 4)
    assert told.words[0] in ("WATCHDOG", "READY")
    assert told.words.count("READY") == 1
    assert set(os.read(reader, 100)) == set(b".")
    effects.hold.clear()
    time.sleep(0.4)
    before = len(told.words), len(bowl.fed)
    time.sleep(1.2)
    assert (len(told.words), len(bowl.fed)) == before
    effects.hold.set()
    wait_until(lambda: len(bowl.fed) > before[1])
    loop.emit(Shutdown())
    thread.join(10)
    assert "STOPPING" in told.words
    os.close(reader)
    os.close(writer)


def test_a_device_is_fed_often_enough() -> None:
    """Where there is a device the loop steps at least every FEED_MS, though nothing happens."""
    bowl = Bowl()
    pulse = Liveness(SystemClock(), Told(), GuardPipe({}), bowl)
    assert pulse.every == FEED_MS
    assert FEED_MS < FENCE_START, "below the least slack (G)"
    assert Liveness(SystemClock(), Told(), GuardPipe({}), Bowl(None)).every > FEED_MS


@pytest.mark.parametrize(
    ("state", "now", "expected"),
    [
        (LEADING, 6_000, True),
        (LEADING, 6_001, False),
        (replace(LEADING, phase=Phase.STOPPING, production=Production.SETTLING), 6_001, False),
        (replace(LEADING, phase=Phase.RELEASING, production=Production.STOPPED), 9_999, True),
        (replace(LEADING, phase=Phase.STANDBY, production=Production.UNKNOWN, tenure=None), 99_999, True),
        (replace(LEADING, phase=Phase.STOPPING, production=Production.FENCING), 20_000, False),
    ],
)
def test_a_reset_comes_by_the_end_of_the_validity(state: State, now: int, expected: bool) -> None:
    """R3: with T = 4 s a tenure that is not proven stopped is fed for until V - T, so that the reset comes by V."""
    assert may_feed(state, now, 4000) is expected


def test_a_stop_in_time_resets_nobody() -> None:
    """R3: the last feeding is after V - T - FEED_MS, and a stop is proven by V - G, which is earlier than the reset."""
    timing = Timing()
    earliest_reset = TENURE.valid_until - FEED_MS
    assert TENURE.valid_until - timing.slack < earliest_reset


def test_only_a_proven_stop_disarms_it() -> None:
    """An agent that ends without a proof leaves the device armed: then the host is reset (R3)."""
    for state, expected in (
        (LEADING, False),
        (replace(LEADING, production=Production.STOPPED), True),
        (replace(LEADING, tenure=None, production=Production.UNKNOWN, phase=Phase.STANDBY), True),
    ):
        bowl = Bowl()
        Liveness(SystemClock(), Told(), GuardPipe({}), bowl).close(snapshot(state))
        assert bowl.closed is expected


def test_a_parent_that_is_gone_or_frozen_holds_nobody_up(caplog: pytest.LogCaptureFixture) -> None:
    """A pipe that is full is left as it is; one without a reader is told of once."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    heart = GuardPipe({PULSE_FD: str(writer)})
    begin = time.monotonic()
    for _ in range(70_000):
        heart.beat()
    assert time.monotonic() - begin < 5
    os.close(reader)
    with caplog.at_level(logging.WARNING):
        heart.beat()
        heart.beat()
    assert caplog.text.count("the parent guard is gone") == 1
    os.close(writer)


def test_the_status_says_where_the_agent_stands() -> None:
    """`systemctl status` shows the phase, the epoch, and what is not proven."""
    assert describe(LEADING) == "leading, epoch 7"
    assert describe(replace(LEADING, phase=Phase.STARTING, tenure=None)) == "starting, nodeos is not proven stopped"
    assert describe(replace(LEADING, leaving=True)) == "leading, epoch 7, ending"
