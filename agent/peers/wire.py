"""A datagram between two agents, byte by byte. No socket is touched here.

    2  b"NF"        1  version       1  what it says: 1 beat, 2 promise, 3 probe, 4 echo       8  the group's tag
    8  epoch        8  number        4  validity in ms, of a beat; else 0
    20 the sender's sight, of a beat and a promise: 4 head, 4 LIB, 4 slot of the head, 4 slot of the newest own block,
       4 (signed) age of the head in ms when nodeos was asked; all 0: it has none, or one that does not fit
    three texts, each with its length before it (1 byte): instance, node, and of a promise the host id, of a beat the
    instance that it is for; else empty
    32 HMAC-SHA256 of all before it, with the group's key

A probe asks whether datagrams arrive, for `doctor`; its echo says so. Neither means anything to the protocol.
What costs less than the MAC is looked at first: see `peek` and `count_of`.
"""

from __future__ import annotations

import hmac
import struct
from contextlib import suppress
from dataclasses import dataclass

from agent.core.model.fields import MAX_NUMBER, NAME
from agent.core.model.peers import Beat, Promise, Sight
from agent.core.model.records import LONGEST_VALIDITY
from agent.core.model.slots import date, slot_of

LONGEST = 200
"""Bytes of a datagram at most: far below every MTU, and one may not be used to amplify."""
TEXT = 32
"""Characters of a host id at most."""
INSTANCE = 16
"""Characters of an instance at most."""
REASONS = ("malformed", "version", "group", "mac")
"""Why a datagram cannot be used."""
MAGIC = b"NF"
GROUP_AT = 4
"""Where the tag stands."""
_VERSION, _MAC = 2, 32
_HEAD = struct.Struct(">2sBB8sQQI")
_SIGHT = struct.Struct(">IIIIi")
_TEXTS = _HEAD.size + _SIGHT.size
_BEAT, _PROMISE, _PROBE, _ECHO = 1, 2, 3, 4
SHORTEST = _TEXTS + 5 + _MAC


@dataclass(frozen=True, slots=True)
class Probe:
    """A question whether datagrams arrive, or the answer (`echo`) of the member `node`."""

    instance: str
    number: int
    node: str
    echo: bool = False
    epoch: int = 0


Said = Beat | Promise | Probe


class DatagramError(ValueError):
    """A datagram cannot be used, or written. `reason` is one of `REASONS`."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


def tag(root: str, key: bytes) -> bytes:
    """Return what tells the datagrams of one group from those of others, and from those of who never saw any of them.

    Of the key under which the group lives, and of the key of its datagrams: the kernel drops what is only guessed.
    """
    return hmac.digest(key, root.encode(), "sha256")[:8]


def encode(said: Said, group: bytes, key: bytes) -> bytes:
    """Write a datagram, `group` being the tag. DatagramError when a field does not fit: no reader would take it."""
    validity, third, says = 0, "", _BEAT
    sight = None if isinstance(said, Probe) else said.sight
    if isinstance(said, Beat):
        validity, third = said.validity_ms, said.to
    elif isinstance(said, Promise):
        third, says = said.host_id, _PROMISE
    else:
        says = _ECHO if said.echo else _PROBE
    if not _fits(said, third) or (says == _BEAT and not 0 < validity <= LONGEST_VALIDITY):
        raise DatagramError("malformed")
    head = (MAGIC, _VERSION, says, group, said.epoch, said.number, validity)
    body = _HEAD.pack(*head) + _packed(sight) + b"".join(map(_text, (said.instance, said.node, third)))
    return body + hmac.digest(key, body, "sha256")


def _packed(sight: Sight | None) -> bytes:
    """Write a sight. One that does not fit is left out: a beat and a promise are worth more than it."""
    if sight is not None and sight.head:
        slot, own = slot_of(sight.asked_ms - sight.head_age_ms), slot_of(sight.own_ms) if sight.own_ms else 0
        with suppress(struct.error):
            return _SIGHT.pack(sight.head, sight.lib, slot, own, sight.asked_ms - date(slot))
    return bytes(_SIGHT.size)


def _text(text: str) -> bytes:
    return bytes([len(text)]) + text.encode("ascii")


def peek(raw: bytes, group: bytes) -> str:
    """Look at what costs little to look at: length, version, group. Return why it is not meant for us, or nothing."""
    if not SHORTEST <= len(raw) <= LONGEST or not raw.startswith(MAGIC):
        return "malformed"
    if raw[2] != _VERSION:
        return "version"
    return "" if raw[GROUP_AT : GROUP_AT + 8] == group else "group"


def count_of(raw: bytes) -> tuple[bytes, bytes]:
    """Return what tells whether a datagram is old: its sender and kind, and its number, which grows. Nothing is proven.

    The bytes themselves, compared as such: that costs less than a MAC. `peek` has to have found nothing.
    """
    return raw[3:4] + raw[_TEXTS:-_MAC], raw[20:28]


def keyed(key: bytes) -> hmac.HMAC:
    """Return the beginning of every MAC with this key: to copy it costs half of what `hmac.digest` does."""
    return hmac.new(key, digestmod="sha256")


def genuine(raw: bytes, begun: hmac.HMAC) -> bool:
    """Tell whether a datagram was written with the key of `begun`."""
    mac = begun.copy()
    mac.update(raw[:-_MAC])
    return hmac.compare_digest(mac.digest(), raw[-_MAC:])


def decode(raw: bytes, group: bytes, key: bytes) -> Said:
    """Read a datagram that was written with this key for this group. DatagramError for every other one."""
    if why := peek(raw, group):
        raise DatagramError(why)
    if not genuine(raw, keyed(key)):
        raise DatagramError("mac")
    return read(raw)


def read(raw: bytes) -> Said:
    """Read a datagram that `peek` and `genuine` have found good. DatagramError when its fields are none of ours."""
    body = raw[:-_MAC]
    _, _, says, _, epoch, number, validity = _HEAD.unpack_from(body)
    instance, node, third = _read_texts(body)
    sight = _read_sight(body)
    said: Said
    if says == _BEAT and 0 < validity <= LONGEST_VALIDITY:
        said = Beat(epoch, instance, number, node, validity, third, sight)
    elif says == _PROMISE and not validity:
        said = Promise(epoch, instance, number, node, third, sight)
    elif says in (_PROBE, _ECHO) and not (validity or third or epoch or sight):
        said = Probe(instance, number, node, echo=says == _ECHO)
    else:
        raise DatagramError("malformed")
    if not _fits(said, third):
        raise DatagramError("malformed")
    return said


def _read_sight(body: bytes) -> Sight | None:
    head, lib, slot, own, age = _SIGHT.unpack_from(body, _HEAD.size)
    if head:
        return Sight(head, lib, age, date(slot) + age, date(own) if own else 0)
    if any((lib, slot, own, age)):
        raise DatagramError("malformed")
    return None


def _read_texts(body: bytes) -> tuple[str, str, str]:
    found, at = [], _TEXTS
    for _ in range(3):
        if at >= len(body):
            raise DatagramError("malformed")
        end = at + 1 + body[at]
        found.append(body[at + 1 : end])
        at = end
    if at != len(body):
        raise DatagramError("malformed")
    try:
        instance, node, third = (each.decode("ascii") for each in found)
    except UnicodeDecodeError:
        raise DatagramError("malformed") from None
    return instance, node, third


def _fits(said: Said, third: str) -> bool:
    """Tell whether the fields are as a reader wants them: numbers that JSON keeps, plain texts, a node's name."""
    numbers = 0 <= said.epoch < MAX_NUMBER and 0 <= said.number < MAX_NUMBER
    texts = _is_text(said.instance, INSTANCE) and (_is_text(third) or isinstance(said, Probe))
    return numbers and texts and NAME.fullmatch(said.node) is not None


def _is_text(text: str, most: int = TEXT) -> bool:
    return 0 < len(text) <= most and text.isascii() and text.isprintable()
