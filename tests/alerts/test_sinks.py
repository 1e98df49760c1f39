"""Alert channels: what is posted, how answers are judged; and that no URL leaks."""

from __future__ import annotations

import json
import socket
import struct
import time
from email.utils import formatdate
from typing import Any

import pytest

from agent.alerts.sinks import make_sink
from agent.config.alerts import AlertChannel
from agent.config.setting import SecretStr
from agent.ports import Delivery
from tests.support.alert_channel import NOTICE, SECRET, send
from tests.support.slow_server import Serve, Talk, answer, request


def test_a_webhook_gets_json(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """One POST to the whole path, with the key that a resolve will bear too; no proxy of the environment is asked."""
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    seen: list[tuple[bytes, bytes]] = []

    def talk(client: socket.socket) -> None:
        seen.append(request(client))
        client.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")

    assert send(serve(talk).port).ok
    ((head, body),) = seen
    assert head.startswith(f"POST /services/{SECRET}?k={SECRET} HTTP/1.1\r\n".encode())
    assert json.loads(body) == {
        "version": 1,
        "key": "stop/eos/7",
        "event": "leader_stops",
        "severity": "critical",
        "status": "firing",
        "lasts": False,
        "summary": "bp-a stops: <!channel> & co",
        "text": "[critical] bp-a stops: <!channel> & co",
        "runbook": "grafana/runbooks.md#leader_stops",
        "fields": {"node": "bp-a", "do": ""},
    }


def test_a_user_in_the_url_becomes_a_header(serve: Serve) -> None:
    """Basic authentication, with its percent signs undone."""
    seen: list[bytes] = []

    def talk(client: socket.socket) -> None:
        seen.append(request(client)[0])
        client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    url = SecretStr(f"http://joe:p%40ss@127.0.0.1:{serve(talk).port}/")
    assert make_sink(AlertChannel(name="ops", type="webhook", url=url)).send(NOTICE, 2).ok
    assert b"Authorization: Basic am9lOnBAc3M=" in seen[0]


def test_slack_gets_a_message_that_calls_nobody(serve: Serve) -> None:
    """Text is escaped, so that a reason cannot address a whole channel; empty fields are left out."""
    seen: list[dict[str, Any]] = []

    def talk(client: socket.socket) -> None:
        seen.append(json.loads(request(client)[1]))
        client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    assert send(serve(talk).port, kind="slack").ok
    assert seen[0]["text"] == "[critical] bp-a stops: &lt;!channel&gt; &amp; co"
    runbook = {"title": "runbook", "value": "grafana/runbooks.md#leader_stops", "short": True}
    assert seen[0]["attachments"][0]["fields"] == [{"title": "node", "value": "bp-a", "short": True}, runbook]


@pytest.mark.parametrize(
    ("talk", "expected"),
    [
        (answer("500 No"), Delivery(ok=False, retry=True, detail="HTTP 500")),
        (answer("429 No", Retry_After="7"), Delivery(ok=False, retry=True, retry_after_s=7.0, detail="HTTP 429")),
        (answer("503 No", Retry_After="soon"), Delivery(ok=False, retry=True, detail="HTTP 503")),
        (answer("503 No", Retry_After="-3"), Delivery(ok=False, retry=True, detail="HTTP 503")),
        (answer("404 No", b"no_service"), Delivery(ok=False, detail="HTTP 404: no_service")),
        (answer("403 No", b"see /services/" + SECRET.encode()), Delivery(ok=False, detail="HTTP 403")),
        (answer("200 OK", b"x" * 100_000), Delivery(ok=True)),
    ],
)
def test_answers_are_judged(serve: Serve, talk: Talk, expected: Delivery) -> None:
    """What may pass is worth another try, with the wait that was asked for; what will not pass is not."""
    assert send(serve(talk).port) == expected


def test_retry_after_may_be_a_date(serve: Serve) -> None:
    """A date in the future becomes seconds, one in the past none."""
    later = send(serve(answer("503 No", Retry_After=formatdate(time.time() + 60, usegmt=True))).port)
    assert later.retry_after_s is not None
    assert 50 < later.retry_after_s <= 60
    past = send(serve(answer("503 No", Retry_After="Wed, 21 Oct 2015 07:28:00 GMT")).port)
    assert past.retry_after_s == 0


def test_redirects_are_not_followed(serve: Serve) -> None:
    """A redirect would carry the alert to somebody else."""
    other = serve(answer("200 OK"))
    delivery = send(serve(answer("307 Moved", Location=f"http://127.0.0.1:{other.port}/")).port)
    assert not delivery.ok
    assert not delivery.retry
    assert other.connections == 0


def test_an_answer_without_end_is_cut_off(serve: Serve) -> None:
    """A server that talks for ever costs a megabyte, not the memory."""

    def talk(client: socket.socket) -> None:
        request(client)
        client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            client.sendall(b"x" * 65536)

    delivery = send(serve(talk).port, 10)
    assert not delivery.ok
    assert "more than 1048576 bytes" in delivery.detail


def test_a_refused_connection_is_worth_another_try() -> None:
    """Nobody listens there now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert send(port) == Delivery(ok=False, retry=True, detail="refused the connection")


def test_a_reset_connection_is_worth_another_try(serve: Serve) -> None:
    """The server slams the door after it has read."""

    def talk(client: socket.socket) -> None:
        request(client)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    assert send(serve(talk).port) == Delivery(ok=False, retry=True, detail="reset the connection")


def test_an_answer_that_breaks_off_is_worth_another_try(serve: Serve) -> None:
    """Half a head, or half a body."""
    for half in (b"", b"HTTP/1.1 2", b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", b"rubbish\r\n\r\n"):

        def talk(client: socket.socket, half: bytes = half) -> None:
            request(client)
            client.sendall(half)

        delivery = send(serve(talk).port)
        assert not delivery.ok
        assert delivery.retry
