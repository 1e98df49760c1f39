"""The chain that SIMULATED nodes share: a SQLite file in which every signature stays. Nothing of it is a real chain.

One block a slot is canonical, the first that was signed for it on top of all earlier ones; every node follows it at
once. Whatever else was signed for a slot is kept beside it, so that a double signature is seen and never hidden. A
process that is frozen in the middle of a write holds up the others until it thaws; a write takes some 0.1 ms.
"""

from __future__ import annotations

import hashlib
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent.core.model.slots import EPOCH, REPETITIONS, SLOT, producer_index
from tests.lab import simulated_finality as finality
from tests.lab.evidence import Signature, doubles

BUSY_S = 5.0  # how long a write waits for that of another process

_TABLES = """
CREATE TABLE IF NOT EXISTS blocks (
    num INTEGER PRIMARY KEY, id TEXT NOT NULL, slot INTEGER NOT NULL UNIQUE, producer TEXT NOT NULL, node TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS signatures (
    order_ INTEGER PRIMARY KEY, node TEXT, producer TEXT, slot INTEGER, num INTEGER, id TEXT, wall_ms INTEGER
);
CREATE TABLE IF NOT EXISTS nodes (name TEXT PRIMARY KEY, address TEXT NOT NULL, seen_ms INTEGER NOT NULL);
"""


@dataclass(frozen=True, slots=True)
class Block:
    """A block. `slot` counts half seconds since 2000; `node` is the one that signed it."""

    num: int
    id: str
    slot: int
    producer: str
    node: str

    @property
    def time_ms(self) -> int:
        """The block's time in milliseconds since 1970."""
        return time_of(self.slot)


def time_of(slot: int) -> int:
    """Return a slot's time in milliseconds since 1970."""
    return slot * SLOT + EPOCH


class SimulatedChain:
    """One view of the shared chain. Safe to use from several threads; each process opens its own.

    `schedule` are the producers in signing order; all who open one file must give the same.
    """

    def __init__(self, file: Path, schedule: tuple[str, ...] = ("eosio",)) -> None:
        self.schedule = schedule
        self.chain_id = hashlib.sha256(f"SIMULATED {','.join(schedule)}".encode()).hexdigest()
        self._lock = threading.Lock()
        file.parent.mkdir(parents=True, exist_ok=True)
        self._db = sqlite3.connect(file, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
        self._db.execute("PRAGMA synchronous = OFF")  # a lab loses a machine's power never
        self._db.execute("PRAGMA journal_mode = WAL")  # readers wait for nobody
        self._db.executescript(_TABLES + finality.TABLES)
        with self.write() as db:
            genesis = (1, self._id(1, 0, "genesis"), 0, "", "genesis")
            db.execute("INSERT OR IGNORE INTO blocks VALUES (?, ?, ?, ?, ?)", genesis)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """Yield the database for one transaction."""
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
            except BaseException:
                self._db.execute("ROLLBACK")
                raise
            self._db.execute("COMMIT")

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """Return what a query finds."""
        with self._lock:
            return self._db.execute(query, values).fetchall()

    def _one(self, query: str, *values: object) -> Block | None:
        rows = self.rows(f"SELECT num, id, slot, producer, node FROM blocks {query}", *values)
        return Block(*rows[0]) if rows else None

    def _id(self, num: int, slot: int, node: str) -> str:
        """Return a block id: as in nodeos it begins with the number, and two nodes' blocks differ."""
        return f"{num:08x}" + hashlib.sha256(f"{self.chain_id} {num} {slot} {node}".encode()).hexdigest()[8:]

    def producer_of(self, slot: int) -> str:
        """Return whose slot it is."""
        return self.schedule[producer_index(slot, len(self.schedule))]

    def sign(self, node: str, producer: str, slot: int, wall_ms: int) -> Signature:
        """Sign a block for a slot. Canonical if the slot comes after all blocks that there are, else a fork."""
        with self.write() as db:
            (num,) = db.execute("SELECT max(num) + 1 FROM blocks WHERE slot < ?", (slot,)).fetchone()
            block_id = self._id(num, slot, node)
            block = (num, block_id, slot, producer, node)
            db.execute("INSERT OR IGNORE INTO blocks VALUES (?, ?, ?, ?, ?)", block)  # ignored: it forks off
            signature = (node, producer, slot, num, block_id, wall_ms)
            db.execute("INSERT INTO signatures VALUES (NULL, ?, ?, ?, ?, ?, ?)", signature)
        return Signature(node, producer, slot, num, block_id, wall_ms / 1000)

    def head(self) -> Block:
        """Return the head."""
        found = self._one("ORDER BY num DESC LIMIT 1")
        assert found is not None  # the first block is always there
        return found

    def irreversible(self) -> Block:
        """Return the last irreversible block: that of the finalizers, where there are any.

        Else one before the head, or with several producers two rounds of 2/3.
        """
        if (lib := finality.irreversible(self)) is not None:
            return self.block(lib) or self.head()
        producers = len(self.schedule)
        behind = 1 if producers == 1 else 2 * REPETITIONS * (producers * 2 // 3 + 1)
        return self.block(max(1, self.head().num - behind)) or self.head()

    def block(self, num: int) -> Block | None:
        """Return a canonical block, None when there is none of that number."""
        return self._one("WHERE num = ?", num)

    def block_of_id(self, block_id: str) -> Block | None:
        """Return a canonical block, None when there is none of that id."""
        return self._one("WHERE id = ?", block_id)

    def signatures(self) -> list[Signature]:
        """Return everything that was ever signed, in order."""
        rows = self.rows("SELECT node, producer, slot, num, id, wall_ms / 1000.0 FROM signatures ORDER BY order_")
        return [Signature(*row) for row in rows]

    def doubles(self) -> dict[tuple[str, int], list[Signature]]:
        """Return the slots that were signed more than once. The number that must be 0."""
        return doubles(self.signatures())

    def greet(self, node: str, address: str, wall_ms: int) -> None:
        """Say that a node is there; an address is host:port."""
        with self.write() as db:
            db.execute("INSERT OR REPLACE INTO nodes VALUES (?, ?, ?)", (node, address, wall_ms))

    def others(self, node: str) -> list[tuple[str, int]]:
        """Return address, and when it was last there (ms since 1970), of every other node."""
        return self.rows("SELECT address, seen_ms FROM nodes WHERE name != ? ORDER BY name", node)
