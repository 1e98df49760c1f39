"""Worlds that differ by the names of nodes alone are one: fingerprints of parts, for every order of the names.

Sound where all nodes rank alike and no fault is tied to a name: then every move of a world has its counterpart in the
renamed one, and what the promises say names no node. A fingerprint is the same in every process.
"""

from __future__ import annotations

import re
from hashlib import blake2b
from itertools import permutations

from agent.core.model.copying import replace
from tests.proof.world import Host, Store


class Symmetry:
    """The renamings under which worlds are one; only the one that changes nothing, unless nodes are `alike`."""

    def __init__(self, names: tuple[str, ...], alike: bool) -> None:
        places = tuple(range(len(names)))
        self.orders: tuple[tuple[int, ...], ...] = tuple(permutations(places)) if alike else (places,)
        """For each renaming, which host comes to stand at each place."""
        self._to = [
            {names[old]: names[new] for new, old in enumerate(order)}
            | {_base(names[old]): _base(names[new]) for new, old in enumerate(order)}
            for order in self.orders
        ]
        every = "".join(names)
        # names and instances stand in quotes; of a lease, the first digit says whose it is
        self._token = re.compile(rf"'([{every}])(?=\d*')|lease=(\d)(?=\d\d\b)")

    def prints(self, part: object) -> tuple[int, ...]:
        """Return 64 bits for a part as it reads under each renaming."""
        leases: tuple[int, ...] = ()
        if isinstance(part, Store):
            part, leases = replace(part, leases=()), part.leases
        elif isinstance(part, Host) and part.core is not None:
            seen = replace(part.core.seen, names=())  # the same in all worlds
            part = replace(part, core=replace(part.core, identity=None, seen=seen))  # name and life say all of a setup
        pieces = [each for each in self._token.split(repr(part)) if each is not None]
        out = []
        for to in self._to:
            text = "".join([to.get(each, each) if len(each) == 1 else each for each in pieces])
            owned = sorted(to[str(each)[0]] + str(each)[1:] for each in leases)
            digest = blake2b(f"{text} {owned}".encode(), digest_size=8).digest()
            out.append(int.from_bytes(digest, "big", signed=True))
        return tuple(out)


def _base(name: str) -> str:
    return str(1 + ord(name[0]) - ord("a"))
