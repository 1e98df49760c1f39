"""What is reached over IPv4 is reached over IPv6 as well: nodeos, pages, metrics, the pause of the guard, doctor."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from agent.cli.status import livez
from agent.config.load import load
from agent.doctor import agent, gather_nodeos
from agent.host.deadline import Deadline
from agent.net import http
from agent.net.endpoint import bracketed, here, parse_endpoint
from agent.net.resolver import Resolver
from agent.nodeos import listener
from agent.nodeos.client import HttpNodeos
from agent.telemetry.http_server import HttpServer
from tests.support.pages import FakePages
from tests.support.slow_server import OK, Server, request

pytestmark = pytest.mark.usefixtures("no_leaks")


@pytest.fixture
def port() -> Iterator[int]:
    """Run a paused nodeos, as far as it is asked that, on [::1]; skip where there is no such address."""

    def talk(client: socket.socket) -> None:
        """Answer, if the Host header is as nodeos wants it."""
        good = f"\r\nHost: [::1]:{server.port}\r\n".encode() in request(client)[0] + b"\r\n"
        client.sendall(OK if good else b"HTTP/1.1 400 No\r\nContent-Length: 0\r\n\r\n")

    try:
        server = Server(talk, host="::1")
    except OSError:
        pytest.skip("this host has no address ::1")
    with closing(server):
        yield server.port


def test_nodeos_is_asked_paused_and_found_over_ipv6(port: int) -> None:
    """The client, the guard's own HTTP, and the look for the process that listens: with the Host header of nodeos."""
    url = f"http://[::1]:{port}"
    assert HttpNodeos(url).paused(5.0) is True
    assert http.call(parse_endpoint(url), "/v1/producer/pause", 5.0)[::2] == (201, b"true")
    held = listener.listeners(parse_endpoint(url), Resolver(), Deadline(5.0))
    assert [each.id.pid for each in held] == [os.getpid()]
    for each in held:
        each.close()


@pytest.mark.parametrize("listen", ["[::1]", "[::]"])
def test_pages_and_metrics_are_served_and_read_over_ipv6(listen: str, tmp_path: Path) -> None:
    """http.listen on ::1 or on every address: livez and doctor find it on loopback."""
    with socket.socket(socket.AF_INET6) as probe, suppress(OSError):
        probe.bind(("::1", 0))
        free = probe.getsockname()[1]
    path = tmp_path / "config.toml"
    path.write_text(
        'group = "eos"\nnode = "bp-a"\nproducer = "myproducer11"\nnodeos.url = "http://[::1]:8888"\n'
        f'etcd.endpoints = ["http://[::1]:2379"]\nhttp.listen = "{listen}:{free}"\nhttp.public = true\n'
    )
    config = load(path, {})
    assert config.http.address is not None
    with closing(HttpServer(config.http.address, FakePages())) as server:
        server.start()
        assert livez(*config.http.address, 5.0)[0] is True
        facts = agent.gather(config)
        assert facts.error == ""
        assert facts.pid == os.getpid()


def test_addresses_are_written_as_a_url_wants_them() -> None:
    """An IPv6 address stands in brackets, and what listens on every address is asked on loopback."""
    assert here("::", 1) == ("::1", "[::1]:1")
    assert here("0.0.0.0", 1) == ("127.0.0.1", "127.0.0.1:1")
    assert here("fd00::2", 1)[1] == bracketed("fd00::2", 1) == "[fd00::2]:1"


def test_doctor_tries_the_producer_api_at_the_hosts_ipv6_addresses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A producer API that is closed to IPv4 may be open to IPv6: global addresses count, loopback and link do not."""
    known = tmp_path / "if_inet6"
    lines = ("fd000000000000000000000000000002 04 40 00 82 eth0", "fe8000000000000000fc00fffe000001 04 40 20 80 eth0")
    known.write_text("\n".join((*lines, "00000000000000000000000000000001 01 80 10 80 lo")))
    monkeypatch.setattr(gather_nodeos, "IF_INET6", known)
    assert [each for each in gather_nodeos.own_addresses() if ":" in each] == ["fd00::2"]
    monkeypatch.setattr(gather_nodeos, "IF_INET6", tmp_path / "none")
    assert not [each for each in gather_nodeos.own_addresses() if ":" in each]
