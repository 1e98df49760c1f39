"""The last act: whatever the outside does, nodeos is stopped in time if anything can stop it, and nothing is raised."""

from __future__ import annotations

from typing import Any

import pytest

from agent.core.leadership.state import Phase, Production, State, Tenure
from agent.errors import GateError
from agent.runtime.halt import halt
from tests.core.parts import SETUP
from tests.simulation.surroundings import CALLS, SimFence, SimGate, SimNodeos, Surroundings

TIMING = SETUP.timing


class Bench:
    """A host whose nodeos produces, on simulated time: each call lets as much pass as it takes."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100_000
        self.around = Surroundings(lambda: self.now, lambda _span, _do: None)
        self.around.took = 0
        self.nodeos = SimNodeos(self.around, lambda: True)
        self.nodeos.paused_flag = False
        self.fence = SimFence(self.around, self.nodeos, helpless=False)
        self.gate: SimGate | None = None
        self.state = State(
            SETUP, Phase.LEADING, production=Production.PRODUCING, tenure=Tenure(1, "i", 1, 7, valid_until=106_000)
        )
        monkeypatch.setattr("agent.runtime.halt.time.sleep", self._sleep)

    def _sleep(self, seconds: float) -> None:
        self.now += round(seconds * 1000)

    def boot(self) -> int:
        """See the port `Clock`: what the last call took is over."""
        self.now += self.around.took
        self.around.took = 0
        return self.now

    def halt(self) -> int:
        """Do the last act; return how long it took."""
        begun, clock = self.now, self
        halt(self.state, self.nodeos, self.fence, self.gate, clock)  # type: ignore[arg-type] # of a clock it needs boot
        return self.boot() - begun

    @property
    def over(self) -> bool:
        """Whether nothing can be signed any more, once the block in flight is done."""
        return not self.nodeos.signs(self.now + TIMING.block)


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    """Return a host whose nodeos produces."""
    return Bench(monkeypatch)


def test_it_is_paused(bench: Bench) -> None:
    """R3: a nodeos that answers is paused, and goes on as a process."""
    assert bench.halt() < TIMING.pause
    assert bench.over
    assert bench.nodeos.pid


def _freeze(bench: Bench) -> None:
    bench.nodeos.frozen = True


def _slow(bench: Bench) -> None:
    bench.nodeos.slow = 3000


def _refuses(bench: Bench) -> None:
    bench.nodeos.refuses = CALLS


def _broken(bench: Bench) -> None:
    def pause(_timeout_s: float) -> None:
        raise MemoryError

    bench.nodeos.pause = pause  # type: ignore[method-assign,assignment] # what is tested


def _resume_open(bench: Bench) -> None:
    bench.state = State(
        SETUP, Phase.ELECTED, production=Production.RESUMING, resume_open=True, tenure=bench.state.tenure
    )


@pytest.mark.parametrize("fault", [_freeze, _slow, _refuses, _broken, _resume_open])
def test_what_is_not_proven_by_a_pause_is_ended(bench: Bench, fault: Any) -> None:
    """R3, R4: no answer, a refusal, a defect, a resume that may act later: then the process ends, within A."""
    fault(bench)
    took = bench.halt()
    assert not bench.nodeos.pid
    assert took <= TIMING.pause + SETUP.term + TIMING.kill


def test_refusal_is_asked_again(bench: Bench) -> None:
    """A nodeos that is busy for a moment is not ended for it."""
    refused = iter((True, True, False))
    pause = bench.nodeos.pause

    def busy(timeout_s: float) -> None:
        bench.nodeos.refuses = CALLS if next(refused) else ()
        pause(timeout_s)

    bench.nodeos.pause = busy  # type: ignore[method-assign] # what is tested
    bench.halt()
    assert bench.over
    assert bench.nodeos.pid


@pytest.mark.parametrize("fails", [False, True])
def test_the_gate_is_closed_first(bench: Bench, fails: bool) -> None:
    """R3: with a gate it signs nothing from then on, and nodeos is paused all the same, also when the gate hangs."""
    bench.gate = SimGate(bench.around, bench.boot)
    bench.gate.until, bench.gate.hangs = 106_000, fails
    bench.halt()
    assert not bench.gate.may_sign()
    assert bench.over


def test_nothing_that_fails_is_raised(bench: Bench) -> None:
    """When nothing helps, it says so and returns: the guard comes next."""

    class Gate:
        def close(self, _timeout_s: float) -> None:
            raise GateError("?")

    bench.gate = Gate()  # type: ignore[assignment] # what is tested
    bench.nodeos.frozen = True
    bench.fence.helpless = True
    bench.halt()
    assert bench.nodeos.pid


def test_nodeos_that_is_proven_stopped_is_left_alone(bench: Bench) -> None:
    """A node without the lead, whose nodeos is stopped, says nothing to it."""
    bench.state = State(SETUP, Phase.STANDBY, production=Production.STOPPED)
    bench.nodeos.refuses = CALLS
    assert bench.halt() == 0
    assert bench.nodeos.pid
