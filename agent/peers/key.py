"""The group's key for datagrams as it stands in etcd: made once by the first agent that finds none. Never shown.

Text, so that `etcdctl get` breaks no terminal: 64 hex digits for 32 random bytes. Whoever may read the group may read
it; an operator who deletes it, or puts another one, changes it for all agents at once, while they run.
"""

from __future__ import annotations

import re
import secrets

from agent.core.model.keys import Keys
from agent.core.model.store import Compare, Put, Snapshot, Txn

BYTES = 32
_FORM = re.compile(rb"[0-9a-f]{64}")


def find(names: Keys, snapshot: Snapshot) -> tuple[bool, bytes | None]:
    """Tell whether a key stands in the group, and return it; None for a value that no agent wrote."""
    for item in snapshot.items:
        if item.key == names.peers_key:
            raw = item.value.strip()
            return True, bytes.fromhex(raw.decode()) if _FORM.fullmatch(raw) else None
    return False, None


def make(names: Keys) -> Txn:
    """Return the transaction that puts a new key where there is none; who comes later changes nothing."""
    value = secrets.token_hex(BYTES).encode()
    return Txn((Compare(names.peers_key, 0),), (Put(names.peers_key, value),))
