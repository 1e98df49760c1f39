"""Addresses of peers: numbers only, in one form each, and the one that leads to etcd."""

from __future__ import annotations

import socket
from typing import Self

import pytest

from agent.host.deadline import Deadline
from agent.net.resolver import Address, Resolver
from agent.peers.address import PeerAddress, any_address, local_end, parse, plain, target


@pytest.mark.parametrize("text", ["10.0.0.1:9878", "[::1]:1", "[2001:db8::7]:65535", "0.0.0.0:9878"])
def test_an_address_is_read_and_written_alike(text: str) -> None:
    """IPv4 and IPv6, with a port."""
    assert str(parse(text)) == text


@pytest.mark.parametrize(
    "text",
    ["", "bp-a:9878", "10.0.0.1", "10.0.0.1:0", "10.0.0.1:65536", "::1:9878", "[10.0.0.1]:1", "1.2.3:4", "[::1]"],
)
def test_what_is_none_is_refused_with_the_form(text: str) -> None:
    """A name, no port, a port that is none, IPv6 without brackets."""
    with pytest.raises(ValueError, match="write IP:PORT"):
        parse(text)


def test_a_socket_for_both_kinds_writes_ipv4_its_own_way() -> None:
    """What it shows is compared with what members report; what it sends to is written as it wants."""
    assert plain("::ffff:10.0.0.1") == "10.0.0.1"
    assert plain("2001:db8::1") == "2001:db8::1"
    assert target(PeerAddress("10.0.0.1", 5), six=True) == ("::ffff:10.0.0.1", 5)
    assert target(PeerAddress("10.0.0.1", 5), six=False) == ("10.0.0.1", 5)
    with pytest.raises(OSError, match="IPv4 only"):
        target(PeerAddress("::1", 5), six=False)
    assert any_address("::")
    assert any_address("0.0.0.0")
    assert not any_address("::1")


def test_the_local_end_is_one_that_others_can_reach_if_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """An etcd on this host is reached over the loopback, which is no address to tell others, unless all are there."""
    find = Resolver().find
    assert local_end([("127.0.0.1", 2379)], lambda host, port: find(host, port, Deadline(1))) == "127.0.0.1"

    def fails(host: str, _port: int) -> list[Address]:
        raise OSError(host)

    assert local_end([("no-such-host.invalid", 2379)], fails) is None
    ends = iter([("127.0.0.1", 1), ("10.9.8.7", 2)])
    monkeypatch.setattr(socket, "socket", lambda *_: _Sock(next(ends)))
    targets = [("127.0.0.1", 2379), ("127.0.0.2", 2379)]
    assert local_end(targets, lambda host, port: find(host, port, Deadline(1))) == "10.9.8.7"


class _Sock:
    def __init__(self, name: tuple[str, int]) -> None:
        self._name = name

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...

    def connect(self, _end: object) -> None: ...

    def getsockname(self) -> tuple[str, int]:
        return self._name
