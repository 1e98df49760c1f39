"""What stops nodeos without the agent keeps to its spans: a pause, the question after it, and nodeos's end."""

from __future__ import annotations

import json
from typing import Any

import pytest

from agent.core.model.chain import ProcessId
from agent.core.model.fields import RecordError
from agent.errors import FenceError
from agent.guard import stop as means
from agent.guard.stop import Means
from agent.host.deadline import NoAnswer, NotSent
from agent.net.endpoint import parse_endpoint
from agent.net.http import Answer
from agent.nodeos.finder import FencePlan
from tests.support.moved_time import MovedTime
from tests.support.recorder import Recorder

PRODUCER, REST = "http://127.0.0.1:1", "http://127.0.0.1:2"
NODEOS = ProcessId(5, 77)
OK, TRUE, FALSE = (Answer(201, {}, body) for body in (b"{}", b"true\n", b"false"))
UNKNOWN = Answer(404, {}, b"")


@pytest.fixture
def http(monkeypatch: pytest.MonkeyPatch, moved: MovedTime) -> Recorder:
    """Record each request; it takes 100 ms."""
    found = Recorder({"call": [OK, TRUE]}, moved, takes_ms=100)
    monkeypatch.setattr(means, "call", found.call)
    return found


def stop(url: str = REST) -> Means:
    """Return means with P 0.3 s and K 0.5 s."""
    return Means(parse_endpoint(PRODUCER), FencePlan(url), 0.3, 0.5, 0.5, 0.1, 1.0)


def asked(http: Recorder) -> list[tuple[str, str, Any]]:
    """Return where, what, and for how long was asked."""
    return [(str(where), path, pytest.approx(span)) for _, (where, path, span) in http.calls]


def test_the_question_after_a_pause_gets_what_the_pause_left(http: Recorder) -> None:
    """R3: pause and look together have P; R4: an `ok` alone proves nothing."""
    assert stop().paused()
    assert asked(http) == [(PRODUCER, "/v1/producer/pause", 0.3), (PRODUCER, "/v1/producer/paused", 0.2)]


def test_where_the_producer_listener_does_not_know_the_other_one_is_asked(http: Recorder) -> None:
    """A listener for producer_rw alone: the rest is asked, with what is left of P."""
    http.says["call"] = [OK, UNKNOWN, TRUE]
    assert stop().paused()
    assert asked(http)[1:] == [(PRODUCER, "/v1/producer/paused", 0.2), (REST, "/v1/producer/paused", 0.1)]
    http.says["call"] = [OK, UNKNOWN]
    assert not stop(PRODUCER).paused(), "there is no other"


@pytest.mark.parametrize(
    "answers",
    [
        [Answer(500, {}, b""), TRUE],
        [Answer(199, {}, b""), TRUE],
        [Answer(300, {}, b""), TRUE],
        [OK, FALSE],
        [OK, Answer(500, {}, b"true")],
        [OK, Answer(300, {}, b"true")],
        [OK, Answer(199, {}, b"true")],
        [OK, Answer(201, {}, b"")],
        [NotSent("x")],
        [OK, NoAnswer("x")],
        [OK, TimeoutError("x")],
    ],
)
def test_whatever_is_no_clear_yes_is_no_pause(http: Recorder, answers: list[Any]) -> None:
    """R4: a refusal, another status, another word, or no answer prove nothing, and raise nothing."""
    http.says["call"] = answers
    assert not stop().paused()


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_nodeos_is_asked_again_and_not_ended(http: Recorder, status: int) -> None:
    """R3: one answer that it is busy is no reason to end nodeos; it is asked again within P."""
    http._takes_ms = 20
    http.says["call"] = [Answer(status, {}, b""), Answer(status, {}, b""), OK, TRUE]
    assert stop().paused()


def test_a_nodeos_that_stays_busy_is_given_up_in_time(http: Recorder, moved: MovedTime) -> None:
    """R3: the tries together have P, and each wait is as long as all before it."""
    http._takes_ms = 20
    http.says["call"] = Answer(429, {}, b"")
    assert not stop().paused()
    assert moved.slept == [0.05, 0.09]
    assert moved.passed_s <= 0.3


def test_a_pause_that_took_all_of_its_time_is_no_proof(http: Recorder, moved: MovedTime) -> None:
    """No question is sent once P is over."""
    http._takes_ms = 300
    assert not stop().paused()
    assert len(http.calls) == 1


@pytest.mark.parametrize(
    ("error", "listens"),
    [
        (None, True),
        (NoAnswer("x"), True),
        (TimeoutError("x"), True),
        (NotSent("x"), True),
        (ConnectionRefusedError(), False),
        (FileNotFoundError(), False),
        (PermissionError(), True),
    ],
)
def test_only_a_refused_connection_says_that_nobody_listens(
    http: Recorder, error: OSError | None, listens: bool
) -> None:
    """Whatever else goes wrong, somebody may be there; the question has P."""
    if isinstance(error, (ConnectionRefusedError, FileNotFoundError, PermissionError)):
        told = NotSent("x")
        told.__cause__ = error
        error = told
    http.says["call"] = error or OK
    assert stop().listens() is listens
    assert asked(http) == [(PRODUCER, "/v1/producer/paused", 0.3)]


@pytest.mark.parametrize(("term_s", "whole_s"), [(0.0, 0.5), (0.7, 1.2)])
def test_the_end_of_nodeos_has_its_grace_and_k(monkeypatch: pytest.MonkeyPatch, term_s: float, whole_s: float) -> None:
    """R3: the deadline of the end is SIGTERM's grace and K; by default there is no grace."""
    fence = Recorder({"stop": "ended by SIGKILL"})
    made: list[Any] = []

    def make(*given: Any) -> Recorder:
        made.append(given)
        return fence

    monkeypatch.setattr(means, "ProcessFence", make)
    assert stop().end(NODEOS, term_s) == "nodeos ended by SIGKILL"
    assert fence.calls == [("stop", (term_s, pytest.approx(whole_s)))]
    assert made == [(stop().plan, NODEOS)]
    stop().end(NODEOS)
    assert fence.calls[-1] == ("stop", (0.0, 0.5))


def test_an_end_that_is_not_seen_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is not proven is said (R4)."""
    monkeypatch.setattr(means, "ProcessFence", lambda *_: Recorder(FenceError("still there")))
    with pytest.raises(FenceError):
        stop().end(NODEOS)


def written(plan: dict[str, Any] | None = None, **guard: Any) -> bytes:
    """Return a plan file, as an agent writes it but for some fields."""
    whole = {"url": REST, "pid_file": "", "unit": "", "command": [], "enabled": True, **(plan or {})}
    return json.dumps(
        {"guard": {"producer_url": PRODUCER, "pause_ms": 300, "kill_ms": 500, "plan": whole, **guard}}
    ).encode()


def test_what_a_file_says_is_in_milliseconds_and_what_an_older_one_leaves_out_is_nothing() -> None:
    """R3: the spans of the core in seconds; block, slack, term and the gate may be missing."""
    found = means.read_means(written(block_ms=450, slack_ms=200, term_ms=1500, gated=True))
    assert (found.pause_s, found.block_s, found.kill_s) == (0.3, 0.45, 0.5)
    assert (found.slack_s, found.term_s, found.gated) == (0.2, 1.5, True)
    least = means.read_means(written())
    assert (least.block_s, least.slack_s, least.term_s, least.gated) == (0.0, 0.0, 0.0, False)


@pytest.mark.parametrize("name", ["pause_ms", "block_ms", "kill_ms", "slack_ms", "term_ms"])
def test_a_span_that_cannot_be_is_refused_by_its_name(name: str) -> None:
    """A guard that would wait for hours is none."""
    means.read_means(written(None, **{name: means.LONGEST_MS - 1}))
    wrong: Any
    for wrong in (means.LONGEST_MS, -1, 0.5, "1", True):
        with pytest.raises(RecordError, match=name):
            means.read_means(written(None, **{name: wrong}))


def test_a_file_without_end_is_not_read() -> None:
    """A guard reads what anybody with the directory may write, and stays small."""
    with pytest.raises(RecordError, match=f"at most {means.LONGEST} are read"):
        means.read_means(written({"pid_file": "x" * means.LONGEST}))
