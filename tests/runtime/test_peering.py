"""Whom an agent reaches beside etcd, with which key, and where etcd's own leader runs (R13 to R17)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agent.core.leadership import events as ev
from agent.core.leadership.actions import SendBeat, SendPromise
from agent.core.model.copying import replace
from agent.core.model.keys import keys
from agent.core.model.peers import Beat, Promise
from agent.core.model.records import GroupView, Member
from agent.core.model.store import KeyValue, Snapshot
from agent.errors import StoreRejected, StoreUnavailable
from agent.etcd.info import EtcdMember
from agent.runtime.peering import (
    ASK_AGAIN_MS,
    ASK_EVERY_MS,
    KEY_AGAIN_MS,
    LOOK_UP_S,
    MOVE_AGAIN_MS,
    EtcdLeaderWatch,
    Peering,
    read_host_id,
)
from tests.support.recorder import Recorder
from tests.test_units import config

NAMES = keys("/nodeos-failover", "eos")
BEAT, PROMISE = Beat(1, "i", 2, "bp-a", 2000), Promise(1, "i", 2, "bp-a", "h")


def member(node: str, address: str) -> Member:
    """Return a report with an address."""
    return Member(node, "i1", "standby", True, True, (), 1, 1, 0, 100, False, "0", "v4", peer_address=address)


class Bench:
    """One agent's peering, with a lane that sends nothing."""

    def __init__(self, **peers: Any) -> None:
        self.now = 0
        self.events: list[object] = []
        whole = config(peers={"mode": "lease", **peers})
        self.peering = Peering(whole, NAMES, lambda: self.now, self.events.append)
        self.sent: list[tuple[str, object]] = []
        self.peering.lane.send = lambda address, said: self.sent.append((address, said))  # type: ignore[method-assign]
        self.peering.lane.error = ""

    def learn(self, *members: Member, key: bytes | None = None) -> None:
        """Read the group."""
        items = () if key is None else (KeyValue(NAMES.peers_key, key, 1),)
        self.peering.learn(GroupView(1, members=members), Snapshot(1, items))


def test_beats_and_promises_go_to_the_addresses_that_members_report() -> None:
    """One datagram for each; a member without an address is not reached, and that is counted by the lane."""
    bench = Bench()
    bench.learn(member("bp-b", "10.0.0.2:9878"), member("bp-c", "[::2]:9878"))
    bench.peering.do(SendBeat(BEAT, ("bp-b", "bp-c", "bp-d")))
    bench.peering.do(SendPromise(PROMISE, "bp-b"))
    to = [replace(BEAT, to=each) for each in ("i1", "i1", "")]
    ends = ["10.0.0.2:9878", "[::2]:9878", ""]
    assert bench.sent == [*zip(ends, to, strict=True), ("10.0.0.2:9878", PROMISE)]
    assert bench.peering.lane.known == {"10.0.0.2", "::2"}


def test_what_is_heard_goes_to_the_loop_with_its_date() -> None:
    """A beat and a promise each have an event (R14)."""
    bench = Bench()
    bench.peering._heard(BEAT, 5)
    bench.peering._heard(PROMISE, 6)
    assert bench.events == [ev.BeatReceived(BEAT, 5), ev.PromiseReceived(PROMISE, 6)]


def test_an_address_that_is_none_is_nobodys() -> None:
    """A member may report anything."""
    bench = Bench()
    bench.learn(member("bp-b", "nonsense"), member("bp-c", "10.0.0.3:1"))
    assert bench.peering.lane.known == {"10.0.0.3"}
    assert bench.peering.beside(frozenset({"10.0.0.3"})) == ("bp-c",)


def test_the_key_is_made_where_there_is_none_and_followed(caplog: pytest.LogCaptureFixture) -> None:
    """It is asked for now and then; a change counts at once; one that is gone is used until there is another."""
    bench = Bench()
    bench.learn()
    assert bench.peering.missing() is not None
    assert bench.peering.missing() is None
    bench.now = KEY_AGAIN_MS
    assert bench.peering.missing() is not None
    bench.learn(key=b"1" * 64)
    bench.now = 2 * KEY_AGAIN_MS
    assert bench.peering.missing() is None
    assert bench.peering.lane.key == bytes.fromhex("11" * 32)
    bench.learn(key=b"2" * 64)
    assert bench.peering.lane.key == bytes.fromhex("22" * 32)
    bench.learn()
    assert bench.peering.lane.key == bytes.fromhex("22" * 32)
    bench.learn(key=b"not-a-key-but-a-secret")
    assert bench.peering.lane.key is None
    assert "peers-key holds no key" in caplog.text
    assert "secret" not in caplog.text


@pytest.mark.parametrize(
    ("peers", "address"),
    [
        ({}, "127.0.0.1:9878"),  # our end of the connection to etcd
        ({"listen": "0.0.0.0:5"}, "127.0.0.1:5"),
        ({"listen": "10.1.2.3:5"}, "10.1.2.3:5"),
        ({"listen": "10.1.2.3:5", "advertise": "192.0.2.1:6"}, "192.0.2.1:6"),
    ],
)
def test_the_address_is_found_unless_it_is_set(peers: dict[str, str], address: str) -> None:
    """What is set wins, then an address that is listened on alone."""
    assert Bench(**peers).peering.address() == address


def test_an_agent_that_cannot_listen_has_no_address() -> None:
    """Nobody sends to it, and no heartbeat names it."""
    bench = Bench(advertise="10.0.0.1:1")
    bench.peering.lane.error = "taken"
    assert bench.peering.address() == ""


def test_a_host_without_a_place_for_its_id_has_none(tmp_path: Path) -> None:
    """R13: it is not named; the reason names the setting. Without peers none is made, and one that is there is read."""
    (tmp_path / "file").write_text("")
    found, why = read_host_id(config(peers={"mode": "lease", "state_dir": str(tmp_path / "file" / "x")}))
    assert found == ""
    assert why.startswith("peers.state_dir: the host's id cannot be kept")
    assert read_host_id(config(peers={"mode": "off", "state_dir": str(tmp_path / "none")})) == ("", "")
    assert not (tmp_path / "none").exists()
    found, why = read_host_id(config(peers={"mode": "lease", "state_dir": str(tmp_path / "some")}))
    assert len(found) == 32
    assert why == ""
    assert read_host_id(config(peers={"mode": "off", "state_dir": str(tmp_path / "some")})) == (found, "")


# --- etcd's own leader ------------------------------------------------------------------------------------------------

HERE = EtcdMember(1, ("http://127.0.0.1:2379",))
THERE = EtcdMember(2, ("http://10.0.0.2:2379", "http://[::2]:2379"))


class Watch(Bench):
    """A leader that looks where etcd's leader runs."""

    def __init__(self, leader: Any, move: bool = False) -> None:
        super().__init__()
        self.etcd = Recorder({"leader": leader, "members": (THERE, HERE), "move_leader": None})
        etcd: Any = self.etcd
        self.learn(member("bp-a", "127.0.0.1:9878"), member("bp-b", "10.0.0.2:9878"), member("bp-c", "[::2]:1"))
        self.term = 1
        self.watch = EtcdLeaderWatch(etcd, self.peering, "bp-a", lambda: self.now, lambda: self.term, move)

    def moves(self) -> list[object]:
        """Return where etcd's leader was asked to go."""
        return [words[0] for name, words in self.etcd.calls if name == "move_leader"]


def test_members_beside_etcds_leader_are_told_apart_by_address() -> None:
    """R17: each member whose address is one of those that etcd's leader tells its clients; ourselves never."""
    assert Watch(THERE).watch.look(leads=True) == ev.EtcdLeaderBeside(("bp-b", "bp-c"))
    assert Watch(HERE).watch.look(leads=True) == ev.EtcdLeaderBeside(())


def test_names_of_members_are_looked_up_for_a_second_each() -> None:
    """R17: the lane that asks must not wait for a resolver that is silent; a name that is not found is left out."""
    bench = Watch(EtcdMember(2, ("http://one.example:2379", "http://two.example:2379")))
    resolver = Recorder({"find": [OSError("silent"), [(2, ("10.0.0.2", 0))]]})
    bench.watch._resolver = resolver  # type: ignore[assignment] # a stand-in
    assert bench.watch.look(leads=True) == ev.EtcdLeaderBeside(("bp-b",))
    assert {words[:2] for _, words in resolver.calls} == {("one.example", 0), ("two.example", 0)}
    assert all(0 < each.remaining() <= LOOK_UP_S for each in resolver.spans)


def test_a_standby_asks_nothing_and_an_etcd_without_a_leader_tells_nothing_new() -> None:
    """During an election what was known last goes on counting; so it does while etcd is away."""
    standby = Watch(THERE)
    assert standby.watch.look(leads=False) is None
    assert not standby.etcd.calls
    assert Watch(None).watch.look(leads=True) is None
    assert Watch(StoreUnavailable("away")).watch.look(leads=True) is None


def test_a_leader_asks_at_once_and_then_now_and_then() -> None:
    """Before anybody is named it is known whom to leave out; a lead that was lost and won again asks at once, too."""
    bench = Watch(THERE)
    asks = [bench.watch.look(leads=True) is not None for bench.now in (0, 1, ASK_AGAIN_MS - 1, ASK_AGAIN_MS)]
    assert asks == [True, False, False, True]
    bench.watch.look(leads=False)
    assert bench.watch.look(leads=True) is not None


def test_a_new_leader_of_etcd_and_a_member_elsewhere_are_asked_about_at_once() -> None:
    """R17: a term that is new means an election; an address that is new may be one of etcd's leader."""
    bench = Watch(THERE)
    assert bench.watch.look(leads=True) is not None
    bench.term = 2
    assert [bench.watch.look(leads=True) is not None for _ in range(2)] == [True, False]
    bench.learn(member("bp-d", "10.0.0.4:9878"))
    assert [bench.watch.look(leads=True) is not None for _ in range(2)] == [True, False]


def test_an_etcd_that_did_not_answer_is_asked_again_soon() -> None:
    """What is not known is asked for every few seconds."""
    bench = Watch([StoreUnavailable("away"), THERE])
    asks = [bench.watch.look(leads=True) is not None for bench.now in (0, ASK_EVERY_MS - 1, ASK_EVERY_MS)]
    assert asks == [False, False, True]


def test_etcds_leader_is_moved_to_our_host_if_it_shall_be() -> None:
    """Off by default; now and then only, for etcd may have its reasons; never away from our own host."""
    bench = Watch(THERE, move=True)
    bench.watch.look(leads=True)
    bench.term = 2
    bench.watch.look(leads=True)
    assert bench.moves() == [HERE]
    bench.now = MOVE_AGAIN_MS
    bench.watch.look(leads=True)
    assert bench.moves() == [HERE, HERE]
    for other in (Watch(THERE), Watch(HERE, move=True)):
        other.watch.look(leads=True)
        assert other.moves() == []


def test_an_etcd_that_may_not_be_asked_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    """A role without that right costs a line in the log, not one in five seconds."""
    bench = Watch(StoreRejected("permission_denied", "no"))
    for turn in range(3):
        bench.now = turn * ASK_EVERY_MS
        assert bench.watch.look(leads=True) is None
    assert caplog.text.count("does not say where its leader runs") == 1
