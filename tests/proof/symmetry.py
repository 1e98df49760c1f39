"""Worlds that differ by the names of nodes alone are one: fingerprints of parts, for every order of the names.

Sound where all nodes rank alike and no fault is tied to a name: then every move of a world has its counterpart in the
renamed one, and what the promises say names no node. A fingerprint is the same in every process.
"""

from __future__ import annotations

import re
from dataclasses import fields
from hashlib import blake2b
from itertools import permutations

from agent.core.leadership.state import StoreView
from agent.core.model.copying import replace
from tests.proof.world import Host, Store

SHORT = 40
"""Of a longer text only the digest is remembered."""
APART = ("core", "identity")
"""The fields of a core come after those of its host; name and life say all of a setup."""
Texts = tuple[bytes, ...]
"""What a value reads like under each renaming."""


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
        self._known: dict[type, list[tuple[str, dict[object, Texts]]]] = {}

    def forget(self) -> None:
        """Forget what values read like."""
        self._known.clear()

    def prints(self, part: object) -> tuple[int, ...]:
        """Return 64 bits for a part as it reads under each renaming."""
        columns = self._columns(part)
        if isinstance(part, Host) and part.core is not None:
            columns += self._columns(part.core)
        out = []
        for texts in zip(*columns, strict=True):
            digest = blake2b(b"\n".join(texts), digest_size=8).digest()
            out.append(int.from_bytes(digest, "big", signed=True))
        return tuple(out)

    def _columns(self, found: object) -> list[Texts]:
        """Return what each field reads like. Few values are new: each is read once."""
        kind = type(found)
        if kind not in self._known:
            names = [field.name for field in fields(found)]  # type: ignore[arg-type]
            self._known[kind] = [(name, {}) for name in names if name not in APART]
        columns = []
        for name, known in self._known[kind]:
            value = getattr(found, name)
            texts = known.get(value)
            if texts is None:
                texts = known[value] = self._texts(kind, name, value)
            columns.append(texts)
        return columns

    def _texts(self, kind: type, name: str, value: object) -> Texts:
        if kind is Store and name == "leases":
            assert isinstance(value, tuple)
            return tuple(repr(sorted(to[str(each)[0]] + str(each)[1:] for each in value)).encode() for to in self._to)
        if isinstance(value, StoreView):
            value = replace(value, names=())  # the same in all worlds
        pieces = [each for each in self._token.split(f"{name}={value!r}") if each is not None]
        texts = (
            "".join([to.get(each, each) if len(each) == 1 else each for each in pieces]).encode() for to in self._to
        )
        return tuple(each if len(each) < SHORT else blake2b(each).digest() for each in texts)


def _base(name: str) -> str:
    return str(1 + ord(name[0]) - ord("a"))
