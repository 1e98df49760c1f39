"""A channel behind a proxy: asked only when it is named, for plain and TLS alike, within the deadline, and told of."""

from __future__ import annotations

import base64
import socket
import ssl
from contextlib import closing, suppress
from pathlib import Path

import pytest

from agent.alerts.external import AppriseSink
from agent.alerts.text import Words
from agent.config.alerts import AlertChannel
from agent.config.secrets import channel_texts
from agent.config.setting import Invalid, SecretStr
from tests.lab.tls import make_certificates
from tests.support.alert_channel import channel, send
from tests.support.slow_server import Serve, Talk, request

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
