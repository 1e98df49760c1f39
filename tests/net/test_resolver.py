"""Names and addresses: what a resolver may do to a call, and which URLs are understood."""

from __future__ import annotations

import socket
import threading
from contextlib import closing

import pytest

from agent.errors import ConfigError
from agent.host.deadline import Deadline, NotSent
from agent.net.dial import dial
from agent.net.endpoint import parse_endpoint
from agent.net.resolver import Resolver
from tests.support.slack import within
from tests.support.slow_server import OK, Serve, answer, full_listener

SHORT_S = 0.3


def test_hanging_resolver_is_given_up_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A resolver that does not answer costs no more than the deadline, and not a thread for each call."""
    over = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [][: over.wait(10.0)])
    names = Resolver()
    for _ in range(3):
        with within(0.1), pytest.raises(TimeoutError):
            names.find("slow.example", 80, Deadline(0.1))
    assert [each.name for each in threading.enumerate()].count("resolve-slow.example") == 1
    over.set()


def test_addresses_are_kept_until_they_fail(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name is looked up once; when nothing listens at its addresses any more, it is looked up anew."""
    asked: list[object] = []
    here = serve(answer(OK))
    real = socket.getaddrinfo

    def count(*arguments: object, **more: object) -> object:
        asked.append(arguments[0])
        return real("127.0.0.1", here.port, type=socket.SOCK_STREAM)

    monkeypatch.setattr(socket, "getaddrinfo", count)
    names = Resolver()
    endpoint = parse_endpoint(f"http://nodeos.example:{here.port}")
    for _ in range(2):
        with closing(dial(endpoint, Deadline(SHORT_S), names)):
            pass
    assert asked == ["nodeos.example"]
    here.close()
    for _ in range(2):
        with pytest.raises(NotSent, match="refused"):
            dial(endpoint, Deadline(SHORT_S), names)
    assert len(asked) == 2


def test_address_that_fails_leaves_the_next(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the first address of a name refuses or swallows everything, the second one is tried in time."""
    here = serve(answer(OK))
    with full_listener() as full:
        for port in (1, full):
            found = [(socket.AF_INET, ("127.0.0.1", port)), (socket.AF_INET, ("127.0.0.1", here.port))]
            names = Resolver()
            monkeypatch.setattr(names, "find", lambda *_, found=found: found)
            with closing(dial(parse_endpoint("http://nodeos.example"), Deadline(1.0), names)) as sock:
                assert sock.getpeername()[1] == here.port


@pytest.mark.parametrize(
    ("url", "header"),
    [
        ("http://127.0.0.1:8888", "127.0.0.1:8888"),
        ("http://localhost", "localhost"),
        ("http://[::1]:8888/", "[::1]:8888"),
        ("https://bp.example", "bp.example"),
        ("https://bp.example:80", "bp.example:80"),
        ("unix:///run/nodeos.sock", "localhost"),
    ],
)
def test_endpoint(url: str, header: str) -> None:
    """Every form of URL is understood; the Host header names the port unless it is the scheme's own."""
    endpoint = parse_endpoint(url)
    assert (endpoint.host_header, str(endpoint)) == (header, url)


@pytest.mark.parametrize(
    ("url", "port"), [("http://x", 80), ("https://x", 443), ("http://x:81", 81), ("https://x:1", 1)]
)
def test_a_port_that_is_not_named_is_the_schemes_own(url: str, port: int) -> None:
    """80 and 443, as everywhere."""
    assert parse_endpoint(url).port == port


@pytest.mark.parametrize(
    "url",
    [
        "/",
        "127.0.0.1:8888",
        "ftp://x",
        "http://",
        "http://x:0",
        "http://x:99999",
        "http://x/v1",
        "http://x?a=b",
        "unix://x/y",
        "unix:///",
        "http://u:p@x",
        "http://[",
    ],
)
def test_endpoint_that_is_none(url: str) -> None:
    """What is no such URL is a fault of the configuration that names the right forms and no password."""
    with pytest.raises(ConfigError, match="unix:///path/to/socket") as caught:
        parse_endpoint(url)
    assert "u:p" not in str(caught.value)
