"""What a call over HTTP comes to: a complete answer, none, or too much of one. Both clients share it; no I/O here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

CHUNK = 64 * 1024
MOST = 8 << 20
"""Bytes of an answer that are taken: nodeos's largest here, a full block, has less."""


class TooMuch(Exception):
    """The answer is larger than it may be."""


class CallFailed(Exception):
    """There is no complete answer. `sent`: something of the request has left, so it may be acted upon yet."""

    def __init__(self, message: str, *, sent: bool) -> None:
        self.sent = sent
        super().__init__(message)


class Answer(NamedTuple):
    """A complete answer. `headers` are found whatever their case; `body` as it was sent, never unpacked."""

    status: int
    headers: Mapping[str, str]
    body: bytes
