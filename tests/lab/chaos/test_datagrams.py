"""Who sits on the way between two agents: what it sends comes from a member, and is never genuine and new (R14)."""

from __future__ import annotations

import random
import socket

import pytest

from agent.core.model.peers import Beat, Promise
from agent.peers import wire
from tests.lab.chaos.datagrams import AGAIN, DATAGRAM, FORGED, Forger, Recorder, doubled, is_promise, sent_by

KEY = b"k" * 32
GROUP = wire.tag("/nodeos-failover/lab/", KEY)
ONE, TWO = "10.87.1.2", "10.87.2.2"


def packet(said: wire.Said) -> bytes:
    """Return a datagram as the router sees it: IPv4 without options, UDP with a checksum."""
    head = bytes([0x45]) + bytes(11) + socket.inet_aton(ONE) + socket.inet_aton(TWO)
    return head + bytes(6) + b"\x12\x34" + wire.encode(said, GROUP, KEY)


BEAT = packet(Beat(7, "i" * 16, 5, "bp-a", 2000, "t" * 16))


def test_promise_and_its_sender_are_known() -> None:
    """A promise is told from a beat, and its sender by the address."""
    assert is_promise(packet(Promise(7, "i", 5, "bp-b", "id")))
    assert not is_promise(BEAT)
    assert not is_promise(b"")
    assert sent_by(BEAT, ONE)
    assert not sent_by(BEAT, TWO)


def test_doubled_is_the_same_again() -> None:
    """Nothing of it is changed."""
    assert list(doubled(BEAT)) == [(later, BEAT) for later in AGAIN]


def test_replayed_are_those_that_were_recorded() -> None:
    """Only what has passed comes again, of whichever way."""
    recorder, others = Recorder(random.Random(1)), [packet(Promise(7, "i", number, "bp-b", "id")) for number in (1, 2)]
    found = {each for packet in (BEAT, *others) for _, each in recorder.replayed(packet)}
    assert found <= {BEAT, *others}
    assert len(found) > 1


def test_forged_come_from_the_member_and_are_never_believed() -> None:
    """Each has the head of what passed, and no checksum, so it arrives; no agent takes it, some for the MAC alone."""
    found = [each for _, each in Forger(random.Random(1)).forged(BEAT)]
    assert len(found) == 3 * FORGED
    reasons = set()
    for each in found:
        assert each[:26] == BEAT[:26]
        assert each[26:28] == bytes(2)
        with pytest.raises(wire.DatagramError) as error:
            wire.decode(each[DATAGRAM:], GROUP, KEY)
        reasons.add(error.value.reason)
    assert {"malformed", "mac"} <= reasons
