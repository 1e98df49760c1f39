"""Alert channels: what is posted, how answers are judged, total deadlines, proxies; and that no URL leaks."""

from __future__ import annotations

import base64
import json
import socket
import ssl
import struct
import time
from contextlib import closing, suppress
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest

from agent.alerts.dispatcher import AlertDispatcher
from agent.alerts.external import AppriseSink
from agent.alerts.sinks import make_sink
from agent.alerts.text import Words
from agent.alerts.worker import Channel
from agent.config.alerts import AlertChannel
from agent.config.secrets import channel_texts
from agent.config.section import Invalid, SecretStr
from agent.core.alerts.notice import Notice
from agent.errors import ConfigError
from agent.ports import Delivery
from tests.lab.tls import Certificates, make_certificates
from tests.support.alert_channel import NOTICE, SECRET, channel, send
from tests.support.slack import within
from tests.support.slow_server import Serve, Talk, answer, deaf, drip, drip_body, hang, request


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


@pytest.mark.parametrize("talk", [hang, drip, drip_body, deaf])
def test_the_deadline_is_total(serve: Serve, talk: Talk) -> None:
    """Whether the server hangs or drips, the try ends in time and is worth another."""
    with within(0.4):
        delivery = send(serve(talk).port, 0.4)
    assert delivery == Delivery(ok=False, retry=True, detail="no complete answer within 0.4 s")


@pytest.fixture
def tls(certificates: Certificates) -> ssl.SSLContext:
    """Return the context of a server."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.server, certificates.server_key)
    return context


def test_tls_works_with_a_ca_of_our_own(serve: Serve, tls: ssl.SSLContext, certificates: Certificates) -> None:
    """A channel inside may have a private CA; without it the certificate is not trusted, and that is said."""
    port = serve(answer("200 OK"), tls).port
    assert send(port, scheme="https", ca_file=certificates.ca).ok
    delivery = send(port, scheme="https")
    assert delivery.retry
    assert "certificate is not trusted" in delivery.detail


@pytest.mark.parametrize("talk", [hang, drip, drip_body])
def test_the_deadline_is_total_under_tls(
    serve: Serve, tls: ssl.SSLContext, certificates: Certificates, talk: Talk
) -> None:
    """The same, when the bytes drip inside TLS records."""
    with within(0.5):
        delivery = send(serve(talk, tls).port, 0.5, scheme="https", ca_file=certificates.ca)
    assert delivery == Delivery(ok=False, retry=True, detail="no complete answer within 0.5 s")


def test_the_deadline_is_total_in_the_handshake(serve: Serve, certificates: Certificates) -> None:
    """A server that never answers the TLS hello does not hold the channel."""
    with within(0.4):
        delivery = send(serve(deaf).port, 0.4, scheme="https", ca_file=certificates.ca)
    assert delivery.detail == "no complete answer within 0.4 s"


def test_plain_http_behind_https_is_told(serve: Serve, certificates: Certificates) -> None:
    """A URL with the wrong scheme is a common mistake."""

    def talk(client: socket.socket) -> None:
        client.recv(10)
        client.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")

    delivery = send(serve(talk).port, scheme="https", ca_file=certificates.ca)
    assert "only http" in delivery.detail or "reset" in delivery.detail


def test_a_ca_file_that_is_none_is_a_configuration_error(tmp_path: Path) -> None:
    """It is told at the start, with the channel's name, and without its URL."""
    file = tmp_path / "ca.pem"
    file.write_text("nothing")
    with pytest.raises(ConfigError, match=r"alerts ops: ca_file") as caught:
        make_sink(channel(1, scheme="https", ca_file=file))
    assert SECRET not in str(caught.value)


def test_the_desk_and_its_channels_never_hold_anybody_up(serve: Serve, caplog: pytest.LogCaptureFixture) -> None:
    """With real servers that hang, drip and fail: telling stays instant, closing bounded, logs free of the URL."""
    caplog.set_level("DEBUG")
    ports = [serve(talk).port for talk in (hang, drip, answer("500 No"), answer("200 OK"))]
    dispatcher = AlertDispatcher(
        [Channel(make_sink(channel(port, name=f"c{port}")), "info", 0.3) for port in ports], first_wait_s=0.05
    )
    spans = []
    for number in range(100):
        begin = time.perf_counter()
        dispatcher.tell(Notice(str(number), "event", "critical", "summary"))
        spans.append(time.perf_counter() - begin)
        time.sleep(0.002)
    assert max(spans) < 0.3, spans  # one that waited for a channel would take its time-out; a busy machine takes less
    deadline = time.monotonic() + 5
    while dispatcher.stats()[3].sent["ok"] < 100:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    with within(0.5):
        dispatcher.close(0.5)
    ours = "\n".join(record.getMessage() for record in caplog.records if record.name.startswith("agent"))
    assert "does not deliver" in ours
    assert SECRET not in ours


PASSWORD = "pass-word"
SHOWN = base64.b64encode(f"joe:{PASSWORD}".encode()).decode()


def taking(seen: list[bytes]) -> Talk:
    """Return a channel that takes what comes, and notes its head."""

    def talk(client: socket.socket) -> None:
        seen.append(request(client)[0])
        client.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")

    return talk


def tunnelling(seen: list[bytes]) -> Talk:
    """Return a proxy that connects to wherever it is told, and notes what it was asked."""

    def talk(client: socket.socket) -> None:
        head = request(client)[0]
        seen.append(head)
        host, _, port = head.split()[1].decode().rpartition(":")
        with closing(socket.create_connection((host, int(port)), 5)) as there, suppress(OSError):
            client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            for each in (client, there):
                each.settimeout(0.01)
            while True:
                for source, target in ((client, there), (there, client)):
                    with suppress(TimeoutError):
                        if not (data := source.recv(65536)):
                            return
                        target.sendall(data)

    return talk


def test_a_plain_channel_is_handed_on(serve: Serve) -> None:
    """The proxy gets the whole URL, and its own credentials, which no error and no log line shows."""
    seen: list[bytes] = []
    proxy = serve(taking(seen))
    url = f"http://joe:{PASSWORD}@127.0.0.1:{proxy.port}"
    assert send(1, proxy=SecretStr(url)).ok
    assert seen[0].startswith(b"POST http://127.0.0.1:1/services/")
    assert f"Proxy-Authorization: Basic {SHOWN}".encode() in seen[0]
    assert PASSWORD in channel_texts(channel(1, proxy=SecretStr(url)))
    assert PASSWORD not in repr(channel(1, proxy=SecretStr(url)))


def test_tls_goes_through_and_the_proxy_sees_nothing_of_it(serve: Serve, tmp_path: Path) -> None:
    """It is told where to connect, and no more; the channel's certificate is checked, and it gets no proxy's header."""
    files = make_certificates(tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(files.server, files.server_key)
    asked: list[bytes] = []
    got: list[bytes] = []
    there = serve(taking(got), context)
    proxy = serve(tunnelling(asked))
    named = SecretStr(f"http://joe:{PASSWORD}@127.0.0.1:{proxy.port}")
    assert send(there.port, scheme="https", ca_file=str(files.ca), proxy=named).ok
    assert asked[0].startswith(f"CONNECT 127.0.0.1:{there.port} HTTP/1.1\r\n".encode())
    assert f"Proxy-Authorization: Basic {SHOWN}".encode() in asked[0]
    assert got[0].startswith(b"POST /services/")
    assert b"Proxy-Authorization" not in got[0]


def test_the_environment_is_asked_only_when_told(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """With "environment" HTTP_PROXY and NO_PROXY hold, without it neither."""
    direct: list[bytes] = []
    handed: list[bytes] = []
    there = serve(taking(direct))
    proxy = serve(taking(handed))
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.port}")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    assert send(there.port).ok
    assert (len(direct), len(handed)) == (1, 0)
    assert send(there.port, proxy=SecretStr("environment")).ok
    assert (len(direct), len(handed)) == (1, 1)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert send(there.port, proxy=SecretStr("environment")).ok
    assert (len(direct), len(handed)) == (2, 1)


@pytest.mark.parametrize(
    "answer", [b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\n"]
)
def test_a_proxy_that_refuses_is_told(serve: Serve, answer: bytes) -> None:
    """What it answers to CONNECT, or that it answers nothing, is a failure that may pass; the setting is named."""

    def talk(client: socket.socket) -> None:
        request(client)
        client.sendall(answer)

    proxy = serve(talk)
    delivery = send(1, scheme="https", proxy=SecretStr(f"http://127.0.0.1:{proxy.port}"))
    assert (delivery.ok, delivery.retry) == (False, True)
    assert "the proxy does not connect it; correct proxy" in delivery.detail


def test_a_proxy_that_falls_silent_keeps_the_deadline(serve: Serve) -> None:
    """An answer to CONNECT that never ends costs no more than the time of one try."""

    def talk(client: socket.socket) -> None:
        request(client)
        client.sendall(b"HTTP/1.1 200")
        client.recv(1)

    proxy = serve(talk)
    delivery = send(1, 0.5, scheme="https", proxy=SecretStr(f"http://127.0.0.1:{proxy.port}"))
    assert "no complete answer within 0.5 s" in delivery.detail


def test_apprise_is_given_the_proxy_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its process has the environment's proxies only when told, and the named one instead of them."""
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: object())
    monkeypatch.setenv("HTTPS_PROXY", "http://other:1")

    def environment(proxy: str) -> dict[str, str]:
        found = AppriseSink("ops", "tgram://x/y", Words(), proxy)._environment()
        return {name: text for name, text in found.items() if name.lower() == "https_proxy"}

    assert environment("") == {}
    assert environment("environment") == {"HTTPS_PROXY": "http://other:1"}
    assert environment("http://p:3128") == {"https_proxy": "http://p:3128"}


@pytest.mark.parametrize("proxy", ["proxy:3128", "socks5://proxy:1080", "http://", f"http://joe:{PASSWORD}@proxy:0"])
def test_what_is_no_proxy_is_refused_without_being_repeated(proxy: str) -> None:
    """The error names the form that is wanted; a password in it is not shown."""
    with pytest.raises(Invalid) as caught:
        AlertChannel(name="ops", type="slack", url=SecretStr("https://x/y"), proxy=SecretStr(proxy))
    assert "http://HOST:PORT" in str(caught.value)
    assert PASSWORD not in str(caught.value) + repr(caught.value.faults)
