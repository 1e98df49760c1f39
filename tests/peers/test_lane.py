"""The socket of the peers: what it hands on, what it drops, and that garbage costs little (R14)."""

from __future__ import annotations

import hmac
import socket
import threading
from collections.abc import Iterator

import pytest

from agent.core.model.peers import Beat, Promise
from agent.core.model.store import Ms
from agent.doctor.peers import probe
from agent.host.clock import boot_ms
from agent.peers import wire
from agent.peers.address import PeerAddress
from agent.peers.lane import BURST, HEARD, REST_S, SENDERS, STRANGERS, PeerLane
from tests.support.children import wait_until

ROOT, KEY = "/nodeos-failover/eos/", b"k" * 32
GROUP = wire.tag(ROOT, KEY)
HOST = ("10.0.0.1", 9878)


def beat(number: int, node: str = "bp-a", instance: str = "i") -> Beat:
    """Return a beat."""
    return Beat(7, instance, number, node, 2000, "t")


def raw(number: int, key: bytes = KEY, **more: str) -> bytes:
    """Return a beat as bytes; with another key it is forged, by who has overheard the group."""
    return wire.encode(beat(number, **more), GROUP, key)


class Still:
    """A lane without a socket, and what it handed on."""

    def __init__(self, known: bool = True) -> None:
        self.heard: list[tuple[Beat | Promise, Ms]] = []
        self.lane = PeerLane(
            PeerAddress("127.0.0.1", 1), ROOT, "bp-b", lambda: 0, lambda said, at: self.heard.append((said, at))
        )
        self.lane.key = KEY
        self.lane.known = frozenset({HOST[0]} if known else ())

    def dropped(self) -> dict[str, int]:
        """Return the reasons that were counted."""
        return {reason: count for reason, count in self.lane.dropped.items() if count}


def test_a_datagram_is_handed_on_with_the_time_at_which_it_came() -> None:
    """The receipt is dated before the event is queued (R14)."""
    still = Still()
    still.lane.take(raw(1), HOST, 1234)
    assert still.heard == [(beat(1), 1234)]
    assert not still.dropped()


def test_one_that_is_repeated_or_old_never_reaches_the_loop() -> None:
    """A recorded datagram that is sent again is dropped, before its MAC is reckoned (R14)."""
    still = Still()
    for number in (1, 2, 2, 1, 3):
        still.lane.take(raw(number), HOST, 0)
    assert [said.number for said, _ in still.heard] == [1, 2, 3]
    assert still.dropped() == {"old": 2}


def test_a_forged_number_does_not_make_a_genuine_one_old() -> None:
    """Only a genuine datagram moves the last number."""
    still = Still()
    still.lane.take(raw(1000, b"z" * 32), HOST, 0)
    still.lane.take(raw(1), HOST, 0)
    assert [said.number for said, _ in still.heard] == [1]
    assert still.dropped() == {"mac": 1}


def test_each_instance_counts_for_itself_and_their_number_is_bounded() -> None:
    """An agent that restarts begins again at 1; a sender of many instances fills no memory."""
    still = Still()
    for instance in range(3 * SENDERS):
        still.lane.take(raw(1, instance=f"i{instance}"), HOST, 1000 * instance)
    assert len(still.heard) == 3 * SENDERS
    assert len(still.lane._last) <= SENDERS


def test_our_own_datagram_that_comes_back_is_dropped() -> None:
    """Nobody promises to itself."""
    still = Still()
    still.lane.take(raw(1, node="bp-b"), HOST, 0)
    assert still.dropped() == {"own": 1}


def test_before_the_key_is_known_nothing_is_believed() -> None:
    """An agent that has not read the key hears nobody, and says why."""
    still = Still()
    still.lane.key = None
    still.lane.take(raw(1), HOST, 0)
    still.lane.send("127.0.0.1:1", beat(1))
    assert still.dropped() == {"no_key": 2}


def test_a_new_key_counts_at_once() -> None:
    """Who has another key than we have is not heard; after a change the new one is."""
    still = Still()
    new = b"n" * 32
    still.lane.take(raw(1, new), HOST, 0)
    still.lane.take(wire.encode(beat(2), wire.tag(ROOT, new), new), HOST, 0)
    assert still.dropped() == {"mac": 1, "group": 1}
    still.lane.key = new
    still.lane.take(wire.encode(beat(3), wire.tag(ROOT, new), new), HOST, 0)
    still.lane.take(raw(4), HOST, 0)
    assert [said.number for said, _ in still.heard] == [3]
    assert still.dropped() == {"mac": 1, "group": 2}


def test_strangers_cost_few_macs(monkeypatch: pytest.MonkeyPatch) -> None:
    """10,000 forged datagrams a second from hosts that no member has cost `STRANGERS` MACs, members are heard."""
    still, genuine, made = Still(), wire.genuine, 0

    def counted(raw: bytes, begun: hmac.HMAC) -> bool:
        nonlocal made
        made += 1
        return genuine(raw, begun)

    monkeypatch.setattr(wire, "genuine", counted)
    forged = raw(99, b"z" * 32)
    for each in range(10_000):
        still.lane.take(forged, (f"192.0.2.{each % 250}", 1), each // 10)
    still.lane.take(raw(1), HOST, 999)
    assert made == STRANGERS + 1
    assert [said.number for said, _ in still.heard] == [1]
    assert still.dropped() == {"mac": STRANGERS, "stranger": 10_000 - STRANGERS}


def test_a_member_whose_address_is_not_known_yet_is_heard_all_the_same() -> None:
    """A beat may come before the report that names its sender's address, or from another address of its host."""
    still = Still(known=False)
    still.lane.take(raw(1), ("192.0.2.7", 1), 0)
    assert len(still.heard) == 1


def test_the_loop_hears_so_many_a_second_and_no_more() -> None:
    """Even one that has the key cannot fill the queue before a pause."""
    still = Still()
    for number in range(10_000):
        still.lane.take(raw(number), HOST, number // 10)
    assert len(still.heard) == HEARD
    assert still.dropped() == {"crowded": 10_000 - HEARD}


# --- with a socket ----------------------------------------------------------------------------------------------------


class Pair:
    """Two lanes on free ports of the loopback."""

    def __init__(self, host: str) -> None:
        self.heard: list[tuple[Beat | Promise, Ms]] = []
        self.port, other = free_port(host), free_port(host)
        self.at = str(PeerAddress(host, self.port))
        self.rests: list[float] = []
        self.one = PeerLane(
            PeerAddress(host, self.port),
            ROOT,
            "bp-b",
            boot_ms,
            lambda said, at: self.heard.append((said, at)),
            self.rests.append,
        )
        self.two = PeerLane(PeerAddress(host, other), ROOT, "bp-a", boot_ms, lambda *_: None)
        for each in (self.one, self.two):
            each.key = KEY
            each.start()

    def outside(self) -> socket.socket:
        """Return a socket of nobody's."""
        return socket.socket(socket.AF_INET6 if self.at.startswith("[") else socket.AF_INET, socket.SOCK_DGRAM)

    def close(self) -> None:
        """End both."""
        for each in (self.one, self.two):
            each.close()


def free_port(host: str) -> int:
    """Return a port that is free now."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.bind((host, 0))
        except OSError as error:
            pytest.skip(f"{host}: {error}")
        port: int = sock.getsockname()[1]
        return port


@pytest.fixture(params=["127.0.0.1", "::1"])
def pair(request: pytest.FixtureRequest) -> Iterator[Pair]:
    """Yield two lanes over IPv4, and two over IPv6."""
    made = Pair(request.param)
    yield made
    made.close()
    wait_until(lambda: not (made.one._thread.is_alive() or made.two._thread.is_alive()))


def test_over_ipv4_and_ipv6(pair: Pair) -> None:
    """What one sends the other hears, dated between sending and now; both threads end when told to."""
    before = boot_ms()
    pair.two.send(pair.at, beat(1))
    wait_until(lambda: pair.heard)
    ((said, at),) = pair.heard
    assert said == beat(1)
    assert before <= at <= boot_ms()


def test_what_is_no_datagram_of_the_group_wakes_nobody(pair: Pair) -> None:
    """The kernel drops it, and counts it; what comes after it is heard."""
    other = wire.encode(beat(1), wire.tag("/o/", KEY), KEY)
    with pair.outside() as stranger:
        for junk in (b"", b"x", b"x" * 150, b"x" * 1400, raw(1)[: wire.SHORTEST - 1], other):
            stranger.sendto(junk, (pair.one._listen.host, pair.port))
    pair.two.send(pair.at, beat(1))
    wait_until(lambda: pair.heard)
    dropped = pair.one.dropped
    assert dropped.pop("kernel") == 6
    assert not any(dropped.values())


def test_a_lane_on_all_addresses_takes_both_kinds() -> None:
    """The default listens on IPv6 and IPv4 with one socket, and answers both."""
    heard: list[Beat | Promise] = []
    free_port("::1")
    port = free_port("127.0.0.1")
    both = PeerLane(PeerAddress("::", port), ROOT, "bp-b", boot_ms, lambda said, _: heard.append(said))
    both.key, both.known = KEY, frozenset({"127.0.0.1"})
    both.start()
    for host, number in (("127.0.0.1", 1), ("::1", 2)):
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind((host, 0))
            sock.settimeout(10)
            sock.sendto(raw(number), (host, port))
            wait_until(lambda: len(heard) == number)  # noqa: B023 - it is called at once
            both.send(str(PeerAddress(host, sock.getsockname()[1])), beat(number))
            assert wire.decode(sock.recv(300), GROUP, KEY) == beat(number)
    both.close()


def test_a_probe_is_answered_and_reaches_nobody(pair: Pair) -> None:
    """`doctor` tries the way to a member: what it asks comes back under the member's name, to where it asked from."""
    address = pair.one._listen
    assert probe(address, KEY, ROOT, "doctor", 1.0) == "bp-b"
    assert not pair.heard
    assert probe(address, b"z" * 32, ROOT, "doctor", 0.1) is None
    assert probe(PeerAddress(address.host, free_port(address.host)), KEY, ROOT, "doctor", 0.1) is None


def test_a_port_that_is_taken_is_no_reason_to_end() -> None:
    """The agent goes on without peers, says why, and takes the port when it is free (never less availability)."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        made = PeerLane(PeerAddress("127.0.0.1", taken.getsockname()[1]), ROOT, "bp-b", boot_ms, lambda *_: None)
        made.start()
        assert "peers.listen: 127.0.0.1" in made.error
        made.key = KEY
        made.send("127.0.0.1:9", beat(1))
        assert made.dropped["unsent"] == 1
    made.close()
    wait_until(lambda: not made._thread.is_alive())


def test_after_a_burst_of_garbage_the_thread_rests(pair: Pair) -> None:
    """Work is bounded by rests, not by what comes: one for each `BURST` useless datagrams in a row."""
    with pair.outside() as stranger:
        for rests in range(1, 5):
            for _ in range(BURST):
                stranger.sendto(raw(1, b"z" * 32), (pair.one._listen.host, pair.port))
            wait_until(lambda: pair.rests == [REST_S] * rests)  # noqa: B023 - it is called at once


def test_a_good_one_waits_behind_few_useless_ones() -> None:
    """While the thread rests the kernel keeps a few hundred datagrams and drops the rest: what comes is soon read."""
    rested, go_on = threading.Event(), threading.Event()

    def rest(_: float) -> None:
        rested.set()
        go_on.wait(10)

    port = free_port("127.0.0.1")
    lane = PeerLane(PeerAddress("127.0.0.1", port), ROOT, "bp-b", boot_ms, lambda *_: None, rest)
    lane.key = KEY
    lane.start()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        while not rested.is_set():
            stranger.sendto(raw(1, b"z" * 32), ("127.0.0.1", port))
        for _ in range(2000):
            stranger.sendto(raw(1, b"z" * 32), ("127.0.0.1", port))
    assert lane.dropped["kernel"] >= 1500
    go_on.set()
    lane.close()
    wait_until(lambda: not lane._thread.is_alive())


def test_an_address_that_cannot_be_sent_to_is_counted(pair: Pair) -> None:
    """A member may report anything as its address: nothing is raised and nothing waits."""
    for address in ("", "bp-a:9878", "1.2.3.4", "300.1.1.1:1", "[::1]:0", "255.255.255.255:9", "[ff02::1%x]:9"):
        pair.two.send(address, beat(1))
    assert pair.two.dropped["unsent"] == 7
