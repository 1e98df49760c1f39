"""Datagrams of the peers: what was written is read, and nothing else is (R14; forged, cut and repeated ones)."""

from __future__ import annotations

import hmac
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.model.fields import MAX_NUMBER
from agent.core.model.peers import Beat, Promise, Sight
from agent.core.model.records import LONGEST_VALIDITY
from agent.core.model.slots import EPOCH, SLOT
from agent.peers import wire
from agent.peers.wire import DatagramError
from tests.fuzz.mutation import broken_bytes

KEY = b"k" * 32
GROUP = wire.tag("/nodeos-failover/eos/", KEY)
SIGHT = Sight(123_456_789, 123_456_780, 731, EPOCH + 1_700_000_000 * SLOT + 731, EPOCH + 1_699_999_990 * SLOT)
SAID = Beat(7, "0123456789abcdef", 42, "bp-a", 2000, "t" * 16, SIGHT)
PROMISE = Promise(7, "0123456789abcdef", 42, "bp-a", "f" * 32, SIGHT)
BOTH = (SAID, PROMISE)
PRINTABLE = st.characters(min_codepoint=0x20, max_codepoint=0x7E)
WORDS = st.text(PRINTABLE, min_size=1, max_size=wire.TEXT)
INSTANCES = st.text(PRINTABLE, min_size=1, max_size=wire.INSTANCE)
NUMBERS = st.integers(0, MAX_NUMBER - 1)
NODES = st.from_regex(r"[a-z0-9][a-z0-9.-]{0,62}", fullmatch=True)
HALF = 2**32 - 1


@st.composite
def sights(draw: st.DrawFn) -> Sight:
    """Return what a nodeos can have told: dates of blocks are dates of slots."""
    head, lib, slot, own = draw(st.tuples(st.integers(1, HALF), *[st.integers(0, HALF)] * 3))
    age = draw(st.integers(-(2**31), 2**31 - 1))
    return Sight(head, lib, age, EPOCH + slot * SLOT + age, EPOCH + own * SLOT if own else 0)


SIGHTS = st.one_of(st.none(), sights())
DATAGRAMS = st.one_of(
    st.builds(Beat, NUMBERS, INSTANCES, NUMBERS, NODES, st.integers(1, LONGEST_VALIDITY), WORDS, SIGHTS),
    st.builds(Promise, NUMBERS, INSTANCES, NUMBERS, NODES, WORDS, SIGHTS),
    st.builds(wire.Probe, INSTANCES, NUMBERS, NODES, st.booleans()),
)


@given(DATAGRAMS)
def test_what_is_written_is_read_and_fits_into_200_bytes(said: wire.Said) -> None:
    """Every datagram that the core can ask for comes back as it was, in at most 200 bytes."""
    raw = wire.encode(said, GROUP, KEY)
    assert wire.SHORTEST <= len(raw) <= wire.LONGEST
    assert wire.decode(raw, GROUP, KEY) == said


def test_the_longest_has_at_most_200_bytes() -> None:
    """The longest names, instance and host id fit."""
    said = Promise(MAX_NUMBER - 1, "i" * wire.INSTANCE, MAX_NUMBER - 1, "n" * 63, "h" * wire.TEXT, SIGHT)
    assert len(wire.encode(said, GROUP, KEY)) <= 200


@pytest.mark.parametrize(
    "sight",
    [
        replace(SIGHT, head=2**32),
        replace(SIGHT, lib=-1),
        replace(SIGHT, own_ms=EPOCH - SLOT),
        replace(SIGHT, head_age_ms=SIGHT.asked_ms + 1),
        replace(SIGHT, asked_ms=0),
        replace(SIGHT, head=0),
    ],
)
def test_a_promise_is_sent_without_a_sight_that_does_not_fit(sight: Sight) -> None:
    """R15: what a nodeos or a clock tells wrongly costs its own part of a datagram, and not the promise."""
    raw = wire.encode(replace(PROMISE, sight=sight), GROUP, KEY)
    assert wire.decode(raw, GROUP, KEY) == replace(PROMISE, sight=None)


def test_dates_between_slots_are_told_of_the_slot_before() -> None:
    """When nodeos was asked is told to the millisecond whatever the date of its head is."""
    odd = replace(SIGHT, head_age_ms=SIGHT.head_age_ms - 200, own_ms=SIGHT.own_ms + 499)
    assert wire.decode(wire.encode(replace(SAID, sight=odd), GROUP, KEY), GROUP, KEY) == SAID


@given(st.one_of(st.binary(max_size=300), broken_bytes([wire.encode(each, GROUP, KEY) for each in BOTH])))
def test_no_bytes_raise_anything_else_and_none_are_taken_for_what_nobody_wrote(raw: bytes) -> None:
    """Broken bytes raise DatagramError with a known reason; what is read was written with the key, byte by byte."""
    try:
        said = wire.decode(raw, GROUP, KEY)
    except DatagramError as error:
        assert error.reason in wire.REASONS
    else:
        assert wire.encode(said, GROUP, KEY) == raw


@given(broken_bytes([wire.encode(each, GROUP, KEY)[:-32] for each in BOTH]))
def test_a_broken_body_with_a_good_mac_raises_nothing_else(body: bytes) -> None:
    """A writer of another kind that has the key sends what we do not read: DatagramError, or a whole datagram."""
    raw = body + hmac.digest(KEY, body, "sha256")
    try:
        assert wire.encode(wire.decode(raw, GROUP, KEY), GROUP, KEY) == raw
    except DatagramError as error:
        assert error.reason in wire.REASONS


@pytest.mark.parametrize("at", range(len(wire.encode(SAID, GROUP, KEY))))
def test_each_changed_byte_is_seen(at: int) -> None:
    """There is no byte that can be changed on the way."""
    raw = bytearray(wire.encode(SAID, GROUP, KEY))
    raw[at] ^= 0x01
    with pytest.raises(DatagramError):
        wire.decode(bytes(raw), GROUP, KEY)


def test_another_key_group_or_version_is_told_apart() -> None:
    """Each has a reason of its own, and only a datagram of this group costs a MAC."""
    raw = wire.encode(SAID, GROUP, KEY)
    for other, reason in (
        (wire.encode(SAID, GROUP, b"z" * 32), "mac"),
        (wire.encode(SAID, wire.tag("/nodeos-failover/wax/", KEY), KEY), "group"),
        (raw[:2] + b"\x01" + raw[3:], "version"),
        (b"XX" + raw[2:], "malformed"),
        (raw + b"\0" * 120, "malformed"),
        (raw[: wire.SHORTEST - 1], "malformed"),
    ):
        with pytest.raises(DatagramError) as error:
            wire.decode(other, GROUP, KEY)
        assert error.value.reason == reason
        assert wire.peek(other, GROUP) == ("" if reason == "mac" else reason)


@pytest.mark.parametrize(
    "said",
    [
        Beat(-1, "i", 1, "bp-a", 2000, "t"),
        Beat(1, "i", MAX_NUMBER, "bp-a", 2000, "t"),
        Beat(1, "", 1, "bp-a", 2000, "t"),
        Beat(1, "i" * 17, 1, "bp-a", 2000, "t"),
        Beat(1, "i", 1, "BP A", 2000, "t"),
        Beat(1, "i" * 300, 1, "bp-a", 2000, "t"),
        Beat(1, "ï", 1, "bp-a", 2000, "t"),
        Beat(1, "i", 1, "bp-a", 0, "t"),
        Beat(1, "i", 1, "bp-a", 2000),
        Beat(1, "i", 1, "bp-a", LONGEST_VALIDITY + 1, "t"),
        Promise(1, "i", 1, "bp-a", ""),
        Promise(1, "i", 1, "bp-a", "h" * 33),
    ],
)
def test_what_no_reader_takes_is_not_written(said: wire.Said) -> None:
    """A field that does not fit is an error where it is written, not silence where it should be read."""
    with pytest.raises(DatagramError):
        wire.encode(said, GROUP, KEY)


@given(st.lists(NUMBERS, min_size=2, max_size=2, unique=True))
def test_an_older_number_is_told_by_its_bytes(numbers: list[int]) -> None:
    """Numbers compare as their bytes do, and the sender's bytes are the same, so an old one costs no MAC."""
    one, two = (wire.count_of(wire.encode(Beat(7, "i", each, "bp-a", 2000, "t"), GROUP, KEY)) for each in numbers)
    assert one[0] == two[0]
    assert (one[1] < two[1]) == (numbers[0] < numbers[1])
    assert wire.count_of(wire.encode(Promise(7, "i", 1, "bp-a", "h"), GROUP, KEY))[0] != one[0]
