"""Finality of a SIMULATED chain: a policy of finalizers, their votes, and what becomes irreversible by these.

The policy is what `setfinalizer` and `actfinkey` change on a real chain: what is proposed is pending from the next
block on, and active when that block is irreversible. Without a policy the chain is as before Savanna. `python -m
tests.lab.simulated_finality FILE DESCRIPTION KEY` makes a key the active one of a finalizer, as cleos would.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.lab.simulated_chain import SimulatedChain

BEHIND = 2
"""A block is irreversible when so many after it have their votes."""
TABLES = """
CREATE TABLE IF NOT EXISTS policies (generation INTEGER PRIMARY KEY, after INTEGER NOT NULL, policy TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS votes (key TEXT PRIMARY KEY, num INTEGER NOT NULL, slot INTEGER, wall_ms INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS irreversible (one INTEGER PRIMARY KEY CHECK (one = 1), num INTEGER NOT NULL);
"""


@dataclass(frozen=True, slots=True)
class Finalizer:
    """One entry of a policy: the account, and the key that votes for it."""

    description: str
    public_key: str
    weight: int = 1


@dataclass(frozen=True, slots=True)
class Policy:
    """A finalizer policy; `after` is the head when it was proposed."""

    generation: int
    after: int
    finalizers: tuple[Finalizer, ...]

    @property
    def threshold(self) -> int:
        """The weight of votes that makes a block irreversible: more than two thirds."""
        return sum(each.weight for each in self.finalizers) * 2 // 3 + 1

    def as_json(self) -> dict[str, Any]:
        """Return the form of `get_finalizer_info`."""
        finalizers = [asdict(each) for each in self.finalizers]
        return {"generation": self.generation, "threshold": self.threshold, "finalizers": finalizers}


def propose(chain: SimulatedChain, *finalizers: Finalizer) -> None:
    """Propose a policy; the first is active at once."""
    with chain.write() as db:
        (generation,) = db.execute("SELECT coalesce(max(generation), 0) + 1 FROM policies").fetchone()
        (head,) = db.execute("SELECT max(num) FROM blocks").fetchone()
        text = json.dumps([asdict(each) for each in finalizers])
        db.execute("INSERT INTO policies VALUES (?, ?, ?)", (generation, head if generation > 1 else 0, text))
        db.execute("INSERT OR IGNORE INTO irreversible VALUES (1, 1)")


def activate(chain: SimulatedChain, description: str, key: str) -> None:
    """Make `key` the one that votes for a finalizer, as actfinkey does."""
    newest = _policies(chain)[-1]
    propose(
        chain,
        *(Finalizer(each.description, key) if each.description == description else each for each in newest.finalizers),
    )


def _policies(chain: SimulatedChain) -> list[Policy]:
    rows = chain.rows("SELECT generation, after, policy FROM policies ORDER BY generation")
    return [
        Policy(number, after, tuple(Finalizer(**each) for each in json.loads(text))) for number, after, text in rows
    ]


def irreversible(chain: SimulatedChain) -> int | None:
    """Return the number of the last irreversible block, None on a chain without a policy."""
    rows = chain.rows("SELECT num FROM irreversible")
    return rows[0][0] if rows else None


def policies(chain: SimulatedChain) -> tuple[Policy | None, Policy | None]:
    """Return the active and the pending policy."""
    lib, head = irreversible(chain), chain.head().num
    if lib is None:
        return None, None
    found = _policies(chain)
    active = [each for each in found if each.after < lib or each.after == 0]
    pending = [each for each in found if lib <= each.after < head and each.after]
    return active[-1], pending[-1] if pending else None


def keys(chain: SimulatedChain) -> dict[str, str]:
    """Return the description of each key whose votes count: those of the active and of the pending policy."""
    both = [each.finalizers for each in policies(chain) if each]
    return {each.public_key: each.description for finalizers in both for each in finalizers}


def vote(chain: SimulatedChain, key: str, num: int, slot: int, wall_ms: int) -> None:
    """Vote for a block, and for all before it; what has enough votes for two after it becomes irreversible."""
    if key not in keys(chain):
        return
    with chain.write() as db:
        update = "INSERT INTO votes VALUES (?, ?, ?, ?) ON CONFLICT (key) DO UPDATE SET num = excluded.num, "
        update += "slot = excluded.slot, wall_ms = excluded.wall_ms WHERE excluded.num > num"
        db.execute(update, (key, num, slot, wall_ms))
    active = policies(chain)[0]
    assert active is not None
    known = {each: found for each, found, *_ in votes(chain)}
    for voted in sorted(known.values(), reverse=True):
        weight = sum(each.weight for each in active.finalizers if known.get(each.public_key, 0) >= voted)
        if weight >= active.threshold:
            with chain.write() as db:
                db.execute("UPDATE irreversible SET num = max(num, ?)", (voted - BEHIND,))
            return


def votes(chain: SimulatedChain) -> list[tuple[str, int, int, int]]:
    """Return key, number and slot of the block, and time (ms since 1970) of the last vote of each key."""
    return chain.rows("SELECT key, num, slot, wall_ms FROM votes")


def main(arguments: list[str]) -> int:
    """Make a key the active one."""
    from tests.lab.simulated_chain import SimulatedChain

    file, description, key = arguments
    chain = SimulatedChain(Path(file))
    activate(chain, description, key)
    chain.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
