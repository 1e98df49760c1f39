"""Alert channels against servers that hang, drip, refuse, redirect and talk too much; and that no URL leaks."""

from __future__ import annotations

import json
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from agent.adapters.sinks import make_sink
from agent.alerts import AlertDesk, Channel
from agent.config import AlertChannel
from agent.core.notice import Notice
from agent.errors import ConfigError
from agent.lab.tls import Certificates, make_certificates
from agent.ports import Delivery

SECRET = "T0-B0-secretpath"
NOTICE = Notice(
    "stop/eos/7", "leader_stops", "critical", "bp-a stops: <!channel> & co", fields={"node": "bp-a", "do": ""}
)
Talk = Callable[[socket.socket], None]


class Server:
    """A server on loopback whose every connection is handled by `talk`, with what it received."""

    def __init__(self, talk: Talk, context: ssl.SSLContext | None = None) -> None:
        self._talk = talk
        self._context = context
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.connections = 0
        self.over = threading.Event()
        self._open: list[socket.socket] = []
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while not self.over.is_set():
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(client)
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with suppress(OSError):
            if self._context is not None:
                client = self._context.wrap_socket(client, server_side=True)
                self._open.append(client)
            self._talk(client)
            client.close()

    def close(self) -> None:
        """End all."""
        self.over.set()
        for each in (self._listener, *self._open):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    """Start servers that end with the test."""
    servers: list[Server] = []

    def start(talk: Talk, context: ssl.SSLContext | None = None) -> Server:
        servers.append(Server(talk, context))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


def request(client: socket.socket) -> tuple[bytes, bytes]:
    """Read one request; return its head and its body."""
    data = b""
    while b"\r\n\r\n" not in data:
        chunk = client.recv(65536)
        if not chunk:
            return data, b""
        data += chunk
    head, body = data.split(b"\r\n\r\n", 1)
    length = next(int(line.split(b":")[1]) for line in head.splitlines() if line.lower().startswith(b"content-length"))
    while len(body) < length:
        body += client.recv(65536)
    return head, body


def answer(status: str, body: bytes = b"", **headers: str) -> Talk:
    """Answer every request like this."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]

    def talk(client: socket.socket) -> None:
        request(client)
        client.sendall("\r\n".join([*lines, "", ""]).encode() + body)

    return talk


def channel(port: int, kind: str = "webhook", scheme: str = "http", **other: Any) -> AlertChannel:
    """Return a channel whose URL has a secret path."""
    fields = {
        "name": "ops",
        "type": kind,
        "url": SecretStr(f"{scheme}://127.0.0.1:{port}/services/{SECRET}?k={SECRET}"),
    }
    return AlertChannel.model_validate(fields | other)


def send(port: int, timeout_s: float = 2.0, **settings: Any) -> Delivery:
    """Send the notice once; whatever comes of it, nothing of the URL is in it."""
    delivery = make_sink(channel(port, **settings)).send(NOTICE, timeout_s)
    assert SECRET not in repr(delivery)
    assert "services" not in repr(delivery)
    return delivery


def test_a_webhook_gets_json(serve: Callable[..., Server], monkeypatch: pytest.MonkeyPatch) -> None:
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
        "summary": "bp-a stops: <!channel> & co",
        "fields": {"node": "bp-a", "do": ""},
    }


def test_a_user_in_the_url_becomes_a_header(serve: Callable[..., Server]) -> None:
    """Basic authentication, with its percent signs undone."""
    seen: list[bytes] = []

    def talk(client: socket.socket) -> None:
        seen.append(request(client)[0])
        client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    url = SecretStr(f"http://joe:p%40ss@127.0.0.1:{serve(talk).port}/")
    assert make_sink(AlertChannel(name="ops", type="webhook", url=url)).send(NOTICE, 2).ok
    assert b"Authorization: Basic am9lOnBAc3M=" in seen[0]


def test_slack_gets_a_message_that_calls_nobody(serve: Callable[..., Server]) -> None:
    """Text is escaped, so that a reason can not address a whole channel; empty fields are left out."""
    seen: list[dict[str, Any]] = []

    def talk(client: socket.socket) -> None:
        seen.append(json.loads(request(client)[1]))
        client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    assert send(serve(talk).port, kind="slack").ok
    assert seen[0]["text"] == "[critical] bp-a stops: &lt;!channel&gt; &amp; co"
    assert seen[0]["attachments"][0]["fields"] == [{"title": "node", "value": "bp-a", "short": True}]


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
def test_answers_are_judged(serve: Callable[..., Server], talk: Talk, expected: Delivery) -> None:
    """What may pass is worth another try, with the wait that was asked for; what will not pass is not."""
    assert send(serve(talk).port) == expected


def test_retry_after_may_be_a_date(serve: Callable[..., Server]) -> None:
    """A date in the future becomes seconds, one in the past none."""
    later = send(serve(answer("503 No", Retry_After=formatdate(time.time() + 60, usegmt=True))).port)
    assert later.retry_after_s is not None
    assert 50 < later.retry_after_s <= 60
    past = send(serve(answer("503 No", Retry_After="Wed, 21 Oct 2015 07:28:00 GMT")).port)
    assert past.retry_after_s == 0


def test_redirects_are_not_followed(serve: Callable[..., Server]) -> None:
    """A redirect would carry the alert to somebody else."""
    other = serve(answer("200 OK"))
    delivery = send(serve(answer("307 Moved", Location=f"http://127.0.0.1:{other.port}/")).port)
    assert not delivery.ok
    assert not delivery.retry
    assert other.connections == 0


def test_an_answer_without_end_is_cut_off(serve: Callable[..., Server]) -> None:
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


def test_a_reset_connection_is_worth_another_try(serve: Callable[..., Server]) -> None:
    """The server slams the door after it has read."""

    def talk(client: socket.socket) -> None:
        request(client)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    assert send(serve(talk).port) == Delivery(ok=False, retry=True, detail="reset the connection")


def test_an_answer_that_breaks_off_is_worth_another_try(serve: Callable[..., Server]) -> None:
    """Half a head, or half a body."""
    for half in (b"", b"HTTP/1.1 2", b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", b"rubbish\r\n\r\n"):

        def talk(client: socket.socket, half: bytes = half) -> None:
            request(client)
            client.sendall(half)

        delivery = send(serve(talk).port)
        assert not delivery.ok
        assert delivery.retry


def hang(client: socket.socket) -> None:
    """Read, and never answer."""
    request(client)
    while client.recv(1):
        pass


def drip(client: socket.socket) -> None:
    """Answer with a byte now and then, for ever."""
    request(client)
    client.sendall(b"HTTP/1.1 200 OK\r\nX-Drip: ")
    while True:
        client.sendall(b"x")
        time.sleep(0.05)


def drip_body(client: socket.socket) -> None:
    """Give the head at once and the body drop by drop."""
    request(client)
    client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    while True:
        client.sendall(b"x")
        time.sleep(0.05)


def deaf(client: socket.socket) -> None:
    """Accept, and read nothing: TLS does not even begin."""
    while not client.recv(1, socket.MSG_PEEK):
        pass
    time.sleep(10)


@pytest.mark.parametrize("talk", [hang, drip, drip_body, deaf])
def test_the_deadline_is_total(serve: Callable[..., Server], talk: Talk) -> None:
    """Whether the server hangs or drips, the try ends in time and is worth another."""
    begin = time.monotonic()
    delivery = send(serve(talk).port, 0.4)
    assert time.monotonic() - begin < 0.4 + 0.4
    assert delivery == Delivery(ok=False, retry=True, detail="no complete answer within 0.4 s")


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Make a CA and a certificate for 127.0.0.1."""
    return make_certificates(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def tls(certificates: Certificates) -> ssl.SSLContext:
    """Return the context of a server."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates.server, certificates.server_key)
    return context


def test_tls_works_with_a_ca_of_our_own(
    serve: Callable[..., Server], tls: ssl.SSLContext, certificates: Certificates
) -> None:
    """A channel inside may have a private CA; without it the certificate is not trusted, and that is said."""
    port = serve(answer("200 OK"), tls).port
    assert send(port, scheme="https", ca_file=certificates.ca).ok
    delivery = send(port, scheme="https")
    assert delivery.retry
    assert "certificate is not trusted" in delivery.detail


@pytest.mark.parametrize("talk", [hang, drip, drip_body])
def test_the_deadline_is_total_under_tls(
    serve: Callable[..., Server], tls: ssl.SSLContext, certificates: Certificates, talk: Talk
) -> None:
    """The same, when the bytes drip inside TLS records."""
    begin = time.monotonic()
    delivery = send(serve(talk, tls).port, 0.5, scheme="https", ca_file=certificates.ca)
    assert time.monotonic() - begin < 0.5 + 0.4
    assert delivery == Delivery(ok=False, retry=True, detail="no complete answer within 0.5 s")


def test_the_deadline_is_total_in_the_handshake(serve: Callable[..., Server], certificates: Certificates) -> None:
    """A server that never answers the TLS hello does not hold the channel."""
    begin = time.monotonic()
    delivery = send(serve(deaf).port, 0.4, scheme="https", ca_file=certificates.ca)
    assert time.monotonic() - begin < 0.4 + 0.4
    assert delivery.detail == "no complete answer within 0.4 s"


def test_plain_http_behind_https_is_told(serve: Callable[..., Server], certificates: Certificates) -> None:
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


def test_the_desk_and_its_channels_never_hold_anybody_up(
    serve: Callable[..., Server], caplog: pytest.LogCaptureFixture
) -> None:
    """With real servers that hang, drip and fail: telling stays instant, closing bounded, logs free of the URL."""
    caplog.set_level("DEBUG")
    ports = [serve(talk).port for talk in (hang, drip, answer("500 No"), answer("200 OK"))]
    desk = AlertDesk(
        [Channel(make_sink(channel(port, name=f"c{port}")), "info", 0.3) for port in ports], first_wait_s=0.05
    )
    spans = []
    for number in range(100):
        begin = time.perf_counter()
        desk.tell(Notice(str(number), "event", "critical", "summary"))
        spans.append(time.perf_counter() - begin)
        time.sleep(0.002)
    assert sum(span >= 0.01 for span in spans) <= 1, spans  # the processor may be taken away from us once
    deadline = time.monotonic() + 5
    while desk.stats()[3].sent["ok"] < 100:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    begin = time.monotonic()
    desk.close(0.5)
    assert time.monotonic() - begin < 1.0
    ours = "\n".join(record.getMessage() for record in caplog.records if record.name.startswith("agent"))
    assert "does not deliver" in ours
    assert SECRET not in ours
