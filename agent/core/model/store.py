"""Keys, values and transactions as data: what the core asks of a linearizable store, and what it hears back.

Keys are full etcd keys as text, values are bytes.
"""

from __future__ import annotations

from dataclasses import dataclass, field

Ms = int
"""Milliseconds on CLOCK_BOOTTIME, or a span of them."""


@dataclass(frozen=True, slots=True)
class KeyValue:
    """One key as the store holds it. `mod_revision` is the store's revision of its last change; `lease` 0 is none."""

    key: str
    value: bytes
    mod_revision: int
    lease: int = 0


@dataclass(frozen=True, slots=True)
class Compare:
    """True if the key's mod revision is `mod_revision`. 0 means: the key does not exist.

    A store that was restored gives the same revisions again: `value` and `lease`, unless None, must be the same too.
    """

    key: str
    mod_revision: int
    value: bytes | None = None
    lease: int | None = None


@dataclass(frozen=True, slots=True)
class Put:
    """Write a key, bound to `lease` (0: to none)."""

    key: str
    value: bytes
    lease: int = 0


@dataclass(frozen=True, slots=True)
class Delete:
    """Remove a key."""

    key: str


@dataclass(frozen=True, slots=True)
class Txn:
    """If all of `compare` hold do `then`, else change nothing; `read` names the keys that a refusal reports back."""

    compare: tuple[Compare, ...]
    then: tuple[Put | Delete, ...]
    read: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TxnAnswer:
    """A definite answer of the store.

    `applied` tells whether the comparisons held. `revision` is the store's revision at the answer: when applied,
    it is the mod revision of every key that was put. `found` has the keys of `Txn.read` that exist (refused only).
    `cluster` is the store's id; 0: not told.
    """

    applied: bool
    revision: int
    found: tuple[KeyValue, ...] = ()
    cluster: int = 0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All keys under a prefix at one revision of the store.

    `cluster` is the store's id, 0 if it was not told. `asked` is the time (CLOCK_BOOTTIME) before the read was sent, 0
    if not noted: what was asked for after something newer was known cannot be older, unless the store has gone back.
    """

    revision: int
    items: tuple[KeyValue, ...]
    cluster: int = 0
    asked: Ms = field(default=0, compare=False)
