"""A datagram between two agents, byte by byte. No socket is touched here.

    2  b"NF"        1  version       1  kind: 1 beat, 2 promise       8  the group's tag
    8  epoch        8  number        three texts, each with its length before it (1 byte): instance, node, host id
    32 HMAC-SHA256 of all before it, with the group's key

Epoch, number and instance are the beat's; a promise repeats those of the beat that it answers. Node and host id are
the sender's. What costs less than the MAC is looked at first: see `peek` and `count_of`.
"""

from __future__ import annotations

import hashlib
import hmac
import struct
from dataclasses import dataclass
from enum import Enum

from agent.core.model.fields import MAX_NUMBER, NAME

LONGEST = 200
"""Bytes of a datagram at most: far below every MTU, and one may not be used to amplify."""
TEXT = 32
"""Characters of an instance and of a host id at most."""
REASONS = ("malformed", "version", "group", "mac")
"""Why a datagram cannot be used."""
MAGIC = b"NF"
GROUP_AT = 4
"""Where the tag stands."""
_VERSION, _MAC = 1, 32
_HEAD = struct.Struct(">2sBB8sQQ")
SHORTEST = _HEAD.size + 3 * 2 + _MAC


class Saying(Enum):
    """What a datagram says."""

    BEAT = 1
    PROMISE = 2


@dataclass(frozen=True, slots=True)
class Datagram:
    """One datagram. `instance` and `host`: 1 to 32 printable ASCII characters; `node`: a node's name."""

    kind: Saying
    epoch: int
    instance: str
    number: int
    node: str
    host: str


class DatagramError(ValueError):
    """A datagram cannot be used, or written. `reason` is one of `REASONS`."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


def tag(root: str) -> bytes:
    """Return what tells the datagrams of one group from those of others: of the key under which it lives."""
    return hashlib.sha256(root.encode()).digest()[:8]


def encode(said: Datagram, group: bytes, key: bytes) -> bytes:
    """Write a datagram, `group` being the tag. DatagramError when a field does not fit: no reader would take it."""
    texts = b"".join(_text(each) for each in (said.instance, said.node, said.host))
    if not (_is_number(said.epoch) and _is_number(said.number) and _are_texts(said.instance, said.node, said.host)):
        raise DatagramError("malformed")
    body = _HEAD.pack(MAGIC, _VERSION, said.kind.value, group, said.epoch, said.number) + texts
    return body + hmac.digest(key, body, "sha256")


def _text(text: str) -> bytes:
    raw = text.encode()
    if len(raw) > 0xFF:
        raise DatagramError("malformed")
    return bytes([len(raw)]) + raw


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
    return raw[3:4] + raw[_HEAD.size : -_MAC], raw[20:28]


def genuine(raw: bytes, key: bytes) -> bool:
    """Tell whether a datagram was written with this key."""
    return hmac.compare_digest(hmac.digest(key, raw[:-_MAC], "sha256"), raw[-_MAC:])


def decode(raw: bytes, group: bytes, key: bytes) -> Datagram:
    """Read a datagram that was written with this key for this group. DatagramError for every other one."""
    if why := peek(raw, group):
        raise DatagramError(why)
    if not genuine(raw, key):
        raise DatagramError("mac")
    return read(raw)


def read(raw: bytes) -> Datagram:
    """Read a datagram that `peek` and `genuine` have found good. DatagramError when its fields are none of ours."""
    body = raw[:-_MAC]
    _, _, kind, _, epoch, number = _HEAD.unpack_from(body)
    instance, node, host = _read_texts(body)
    if kind not in (Saying.BEAT.value, Saying.PROMISE.value) or not (_is_number(epoch) and _is_number(number)):
        raise DatagramError("malformed")
    return Datagram(Saying(kind), epoch, instance, number, node, host)


def _read_texts(body: bytes) -> tuple[str, str, str]:
    found, at = [], _HEAD.size
    for _ in range(3):
        if at >= len(body):
            raise DatagramError("malformed")
        end = at + 1 + body[at]
        found.append(body[at + 1 : end])
        at = end
    if at != len(body):
        raise DatagramError("malformed")
    try:
        instance, node, host = (each.decode("ascii") for each in found)
    except UnicodeDecodeError:
        raise DatagramError("malformed") from None
    if not _are_texts(instance, node, host):
        raise DatagramError("malformed")
    return instance, node, host


def _are_texts(instance: str, node: str, host: str) -> bool:
    words = all(0 < len(each) <= TEXT and each.isascii() and each.isprintable() for each in (instance, host))
    return words and NAME.fullmatch(node) is not None


def _is_number(value: int) -> bool:
    return 0 <= value < MAX_NUMBER
