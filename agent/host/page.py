"""The page of one node, byte by byte: what changes with each confirmation, for the guard, the gate and the next agent.

The agent writes it (`agent.host.page_file`). The gate reads its permit (`agent.gate.permit`); the guard, the fence and
the next agent read V, which belongs to one edition of the run-time file and to no other (`agent.host.tenure_file`).

Readers and the writer share no lock that could hold one of them up. The sequence number is odd while a write is under
way, and the checksum covers everything, the sequence number included: a read that was torn is seen as such.
"""

from __future__ import annotations

import os
import struct
import time
import zlib
from dataclasses import dataclass
from enum import Enum

from agent.core.model.store import Ms

MAGIC = b"NFPERMIT"
VERSION = 2
_FORM = struct.Struct("<8sIIQ16s128sQqQQqqQQ")
_SUM = struct.Struct("<I")
SIZE = 256
"""Bytes of the file; what follows the checksum is zero."""
USED = _FORM.size + _SUM.size
TRIES = 5
"""Reads of a page that is being written; a write takes some microseconds."""
BETWEEN_S = 0.0002


class Sign(Enum):
    """Whether the page lets the gate sign."""

    CLOSED = 0
    OPEN = 1


@dataclass(frozen=True, slots=True)
class Page:
    """What stands in a page.

    until         CLOCK_BOOTTIME in ms from which on nothing is signed, 0 when closed
    close_number  grows with each closing; an open page bears that of the last closing
    edition       of the run-time file that the rest belongs to; the rest is as in `RuntimeRecord`
    """

    boot_id: str
    identity: bytes
    epoch: int = 0
    sign: Sign = Sign.CLOSED
    until: Ms = 0
    close_number: int = 0
    sequence: int = 0
    edition: int = 0
    valid_until: Ms = 0
    stop_by: Ms = 0
    seq: int = 0
    heartbeat_revision: int = 0


class PageError(ValueError):
    """The page cannot be used. `reason` is the slug that counts it: `torn`, or `damaged` for no page of ours."""

    def __init__(self, reason: str, message: str) -> None:
        self.reason = reason
        super().__init__(message)


def identity(group: str, node: str) -> bytes:
    """Return what tells the page of one node from that of another: its names."""
    return f"{group}/{node}".encode()


def pack(page: Page) -> bytes:
    """Write a page as `SIZE` bytes."""
    body = _FORM.pack(
        MAGIC,
        VERSION,
        page.sign.value,
        page.sequence,
        bytes.fromhex(page.boot_id.replace("-", "")),
        page.identity,
        page.epoch,
        page.until,
        page.close_number,
        page.edition,
        page.valid_until,
        page.stop_by,
        page.seq,
        page.heartbeat_revision,
    )
    return (body + _SUM.pack(zlib.crc32(body))).ljust(SIZE, b"\0")


def unpack(raw: bytes) -> Page:
    """Read a page. PageError when it was being written meanwhile, or is none."""
    if len(raw) != SIZE:
        raise PageError("damaged", f"the permit page has {len(raw)} bytes instead of {SIZE}")
    magic, version, sign, sequence, boot, who, epoch, until, number, *tenure = _FORM.unpack_from(raw)
    if magic != MAGIC or version != VERSION:
        raise PageError("damaged", "this is no permit page of this version")
    if sequence % 2:
        raise PageError("torn", "the permit page is being written")
    if zlib.crc32(raw[: _FORM.size]) != _SUM.unpack_from(raw, _FORM.size)[0]:
        raise PageError("torn", "the checksum of the permit page is wrong")
    if sign not in (Sign.CLOSED.value, Sign.OPEN.value):
        raise PageError("damaged", f"the permit page has the state {sign}, which is none")
    words = boot.hex()
    boot_id = "-".join((words[:8], words[8:12], words[12:16], words[16:20], words[20:]))
    return Page(boot_id, who.rstrip(b"\0"), epoch, Sign(sign), until, number, sequence, *tenure)


def read(descriptor: int) -> Page:
    """Read the page of an open file. PageError when it is none, or a write never ends; OSError."""
    for _ in range(TRIES - 1):
        try:
            return unpack(os.pread(descriptor, SIZE + 1, 0))
        except PageError as error:
            if error.reason != "torn":
                raise
        time.sleep(BETWEEN_S)
    return unpack(os.pread(descriptor, SIZE + 1, 0))
