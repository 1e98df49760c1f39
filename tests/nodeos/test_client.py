"""The client of nodeos: where each question goes, with what, for how long, and what an answer or none means (R2)."""

from __future__ import annotations

import json
import socket
from typing import Any

import pytest

from agent.errors import NodeosAnswer, NodeosError, NodeosTimeout, NodeosUnreachable
from agent.host.deadline import NoAnswer, NotSent
from agent.net.endpoint import parse_endpoint
from agent.net.http import Answer, TooMuch, call
from agent.nodeos import client as nodeos
from agent.nodeos.client import HttpNodeos
from tests.support.moved_time import MovedTime
from tests.support.recorder import Recorder

CHAIN, PRODUCER = "http://127.0.0.1:1", "http://127.0.0.1:2"
OK = Answer(201, {}, b'{"result":"ok"}')
TRUE = Answer(201, {}, b"true")
UNKNOWN = Answer(404, {}, b'{"code":404,"message":"Not Found","error":{"code":0,"name":"x","what":"Unknown"}}')
BLOCK = {
    "timestamp": "2026-01-01T00:00:00.500",
    "producer": "prod",
    "confirmed": 0,
    "previous": "0" * 64,
    "transaction_mroot": "0" * 64,
    "action_mroot": "0" * 64,
    "schedule_version": 1,
    "producer_signature": "SIG_K1_x",
    "id": "00000001" + "0" * 56,
    "block_num": 1,
    "ref_block_prefix": 1,
}


@pytest.fixture
def http(monkeypatch: pytest.MonkeyPatch, moved: MovedTime) -> Recorder:
    """Record each request; it takes 100 ms."""
    found = Recorder({"call": OK}, moved, takes_ms=100)

    def call(endpoint: Any, path: str, timeout_s: float, **more: Any) -> Any:
        assert (more["context"] is not None) == endpoint.tls, "certificates are checked where TLS is used"
        return found.call(str(endpoint), path, more["body"], timeout_s)

    monkeypatch.setattr(nodeos, "call", call)
    return found


def asked(http: Recorder) -> list[tuple[str, str, Any]]:
    """Return where, what and for how long was asked."""
    return [(where, path, pytest.approx(span)) for _, (where, path, _body, span) in http.calls]


def test_tls_is_used_where_an_address_says_so(http: Recorder) -> None:
    """For either listener, with the host's authorities."""
    HttpNodeos("https://127.0.0.1:1").pause(0.3)
    assert len(http.calls) == 1


@pytest.mark.parametrize("name", ["pause", "resume"])
def test_words_to_the_producer_go_to_its_listener_with_all_of_the_time(http: Recorder, name: str) -> None:
    """Where producer_rw has a listener of its own; else to the one that there is. The body is empty."""
    getattr(HttpNodeos(CHAIN, PRODUCER), name)(0.3)
    getattr(HttpNodeos(CHAIN), name)(0.3)
    assert asked(http) == [(PRODUCER, f"/v1/producer/{name}", 0.3), (CHAIN, f"/v1/producer/{name}", 0.3)]
    assert {arguments[2] for _, arguments in http.calls} == {b""}


def test_the_other_listener_is_asked_with_what_is_left(http: Recorder) -> None:
    """R3: a listener for producer_rw alone does not know the question; both tries share the time of the call."""
    http.says["call"] = [UNKNOWN, TRUE]
    assert HttpNodeos(CHAIN, PRODUCER).paused(0.3) is True
    assert asked(http) == [(PRODUCER, "/v1/producer/paused", 0.3), (CHAIN, "/v1/producer/paused", 0.2)]


@pytest.mark.parametrize(("producer", "status"), [(None, 404), (PRODUCER, 500), (PRODUCER, 403)])
def test_no_other_is_asked_where_there_is_none_or_an_error_came(
    http: Recorder, producer: str | None, status: int
) -> None:
    """Only a listener that does not know the question leads to another one."""
    http.says["call"] = UNKNOWN._replace(status=status)
    with pytest.raises(NodeosAnswer):
        HttpNodeos(CHAIN, producer).paused(0.3)
    assert len(http.calls) == 1


def test_a_whole_block_is_asked_for_with_what_is_left_and_from_then_on(http: Recorder) -> None:
    """Before EOSIO 2.1 there is no get_block_info: that is found out once, within the time of the call."""
    http.says["call"] = [UNKNOWN, Answer(200, {}, json.dumps(BLOCK).encode())]
    client = HttpNodeos(CHAIN)
    assert client.block(1, 1.0).num == 1
    assert client.block(1, 1.0).num == 1
    assert asked(http) == [
        (CHAIN, "/v1/chain/get_block_info", 1.0),
        (CHAIN, "/v1/chain/get_block", 0.9),
        (CHAIN, "/v1/chain/get_block", 1.0),
    ]
    assert [json.loads(arguments[2]) for _, arguments in http.calls[:2]] == [{"block_num": 1}, {"block_num_or_id": "1"}]


def test_a_block_that_neither_knows_changes_nothing(http: Recorder) -> None:
    """One that is not there is no sign of an old nodeos."""
    http.says["call"] = UNKNOWN
    client = HttpNodeos(CHAIN)
    for _ in range(2):
        with pytest.raises(NodeosAnswer):
            client.block(1, 1.0)
    assert [path for _, path, _ in asked(http)] == ["/v1/chain/get_block_info", "/v1/chain/get_block"] * 2


def test_only_of_nodeos_is_said_that_nodeos_is_down() -> None:
    """Agents are asked by the same words, and so are proxies: what a refusal means is told by who knows what it is."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(NodeosUnreachable, match=r"nothing listens there \(nodeos down or replaying\?\)$"):
            HttpNodeos(url).info(1.0)
        with pytest.raises(NotSent, match=r"nothing listens there$"):
            call(parse_endpoint(url), "/livez", 1.0)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (NotSent("x"), NodeosUnreachable),
        (NoAnswer("x", sent=True), NodeosTimeout),
        (TooMuch("x"), NodeosTimeout),
    ],
)
@pytest.mark.parametrize("name", ["pause", "resume", "paused", "info", "peers", "schedule"])
def test_what_may_have_been_delivered_is_told_so(
    http: Recorder, error: Exception, kind: type[NodeosError], name: str
) -> None:
    """R2: only a request of which nothing has left was certainly not acted upon."""
    http.says["call"] = error
    with pytest.raises(kind) as caught:
        getattr(HttpNodeos(CHAIN), name)(0.3)
    assert type(caught.value) is kind


@pytest.mark.parametrize("status", [100, 199, 203, 204, 300, 400, 403, 404, 408, 429, 500, 502, 503, 504])
def test_a_status_that_is_no_answer_of_nodeos_is_no_success(http: Recorder, status: int) -> None:
    """R4: a pause is answered by 200 to 202 alone; what a proxy says of its waiting may still be acted upon."""
    http.says["call"] = OK._replace(status=status)
    with pytest.raises(NodeosError) as caught:
        HttpNodeos(CHAIN).pause(0.3)
    assert isinstance(caught.value, NodeosTimeout if status in (408, 502, 504) else NodeosAnswer)


@pytest.mark.parametrize("status", [200, 201, 202])
def test_each_version_of_nodeos_has_its_status(http: Recorder, status: int) -> None:
    """201 up to Leap 4, 200 or 202 in some others."""
    http.says["call"] = OK._replace(status=status)
    HttpNodeos(CHAIN).pause(0.3)
    http.says["call"] = Answer(status, {}, b"no json")
    with pytest.raises(NodeosError):
        HttpNodeos(CHAIN).pause(0.3)
