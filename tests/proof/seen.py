"""A set of fingerprints in 8 to 12 bytes each. Nothing else lives here."""

from __future__ import annotations

from array import array


class Seen:
    """A set of 64-bit fingerprints in 8 bytes each; it doubles when it is two thirds full."""

    def __init__(self, bits: int = 16) -> None:
        self._table = array("Q", bytes(8 << bits))
        self._mask = (1 << bits) - 1
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, fingerprint: int) -> bool:
        """Add one; return whether it is new."""
        fingerprint = fingerprint & 0xFFFFFFFFFFFFFFFF or 1
        place = self._place(fingerprint)
        if self._table[place] == fingerprint:
            return False
        self._table[place] = fingerprint
        self._count += 1
        if self._count * 3 > len(self._table) * 2:
            self._grow()
        return True

    def _place(self, fingerprint: int) -> int:
        place = (fingerprint ^ fingerprint >> 29) & self._mask
        while self._table[place] not in (0, fingerprint):
            place = place + 1 & self._mask
        return place

    def _grow(self) -> None:
        old = self._table
        self._table = array("Q", bytes(16 * len(old)))
        self._mask = len(self._table) - 1
        for fingerprint in old:
            if fingerprint:
                self._table[self._place(fingerprint)] = fingerprint
