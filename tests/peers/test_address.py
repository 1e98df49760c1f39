"""Who a peer is: its address, in one form; its host's id, made once and kept (R13); and the group's key in etcd."""

from __future__ import annotations

import socket
import threading
from pathlib import Path
from typing import Self

import pytest

from agent.core.model.keys import keys
from agent.core.model.store import KeyValue, Snapshot
from agent.host.deadline import Deadline
from agent.net.resolver import Address, Resolver
from agent.peers import key
from agent.peers.address import PeerAddress, any_address, local_end, parse, plain, target
from agent.peers.host_id import cards, host_id, read_id
from tests.support.memory_store import MemoryEtcd, MemoryStore


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


def test_it_is_made_once_and_kept(tmp_path: Path) -> None:
    """A restart reads the same; the directory is made; nothing else is left in it."""
    first = host_id(tmp_path / "state", tmp_path)
    assert len(first) == 32
    assert host_id(tmp_path / "state", tmp_path) == first
    assert [each.name for each in (tmp_path / "state").iterdir()] == ["host-id"]
    assert host_id(tmp_path / "other") != first


def test_agents_that_start_at_once_agree(tmp_path: Path) -> None:
    """Of several agents of one host the first one's id counts for all."""
    found: list[str] = []
    threads = [threading.Thread(target=lambda: found.append(host_id(tmp_path))) for _ in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len(set(found)) == 1
    assert len(found) == 8


def test_a_damaged_one_is_told_and_not_replaced(tmp_path: Path) -> None:
    """A new id by itself would make another host of this one: the operator says so, by removing the file."""
    (tmp_path / "host-id").write_text("garbage")
    with pytest.raises(ValueError, match="remove it"):
        host_id(tmp_path)


def test_without_a_place_to_keep_it_there_is_none(tmp_path: Path) -> None:
    """Who cannot keep an id has none (R13)."""
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        host_id(tmp_path / "file" / "state")


def host(path: Path, *addresses: str) -> Path:
    """Return what the kernel shows of a host's network cards, beside one that software has made up."""
    (path / "lo").mkdir(parents=True)
    (path / "lo" / "address").write_text("00:00:00:00:00:00\n")
    for number, each in enumerate(addresses):
        (path / f"eth{number}" / "device").mkdir(parents=True)
        (path / f"eth{number}" / "address").write_text(f"{each}\n")
    return path


def test_a_clone_with_its_disk_has_no_id(tmp_path: Path) -> None:
    """P1, R13: a copy of the disk on a host with other network cards is not the one that is named, and is told why."""
    first, clone = host(tmp_path / "first", "52:54:00:00:00:01"), host(tmp_path / "clone", "52:54:00:00:00:02")
    found = host_id(tmp_path / "state", first)
    for read in (host_id, read_id):
        with pytest.raises(ValueError, match=r"other network cards .*:01\): if this host is a copy, remove .*/host-id"):
            read(tmp_path / "state", clone)
    assert host_id(tmp_path / "state", first) == found
    (tmp_path / "state" / "host-id").unlink()
    new = host_id(tmp_path / "state", clone)
    assert new != found
    assert read_id(tmp_path / "state", clone) == new


def test_a_host_keeps_its_id_while_one_of_its_cards_stays(tmp_path: Path) -> None:
    """P2, R13: a card that is added, replaced or renamed beside another costs nothing; nor do cards nobody can see."""
    one, two = "52:54:00:00:00:01", "52:54:00:00:00:02"
    found = host_id(tmp_path / "state", host(tmp_path / "first", one))
    assert host_id(tmp_path / "state", host(tmp_path / "second", one, two)) == found
    assert host_id(tmp_path / "state", host(tmp_path / "third", two)) == found
    assert host_id(tmp_path / "state", host(tmp_path / "none")) == found
    assert cards(tmp_path / "nowhere") == frozenset()


NAMES = keys("/nodeos-failover", "eos")


def test_the_first_agent_makes_it_and_no_other_changes_it() -> None:
    """Two agents that start at once use one key: the second transaction changes nothing."""
    store = MemoryStore(MemoryEtcd(lambda: 0))
    assert key.find(NAMES, store.range(NAMES.root, 1)) == (False, None)
    assert store.txn(key.make(NAMES), 1).applied
    there, first = key.find(NAMES, store.range(NAMES.root, 1))
    assert there
    assert first is not None
    assert len(first) == key.BYTES
    assert not store.txn(key.make(NAMES), 1).applied
    assert key.find(NAMES, store.range(NAMES.root, 1)) == (True, first)


def test_what_no_agent_wrote_is_no_key() -> None:
    """A value of another form is reported, never used: an agent without a key hears nobody."""
    for value in (b"", b"secret", b"0" * 63, b"G" * 64, b"\xff" * 64):
        assert key.find(NAMES, Snapshot(1, (KeyValue(NAMES.peers_key, value, 1),))) == (True, None)
    assert key.find(NAMES, Snapshot(1, (KeyValue(NAMES.peers_key, b"0" * 64 + b"\n", 1),))) == (True, bytes(32))


def test_each_key_is_another_one() -> None:
    """It is random."""
    assert key.make(NAMES) != key.make(NAMES)
