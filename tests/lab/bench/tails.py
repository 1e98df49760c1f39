"""What nodes and agents wrote to their logs since the last look: a log is read once, however long the run."""

from __future__ import annotations

import bisect
import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

from tests.lab.evidence import Signature, at_ms, signature
from tests.lab.nodeos import Node

RECEIVED = re.compile(r"^\w+\s+(?P<wall>\S+) .*\] Received block (?P<id>\w+)\.\.\. #(?P<num>\d+) @")


class Tail:
    """The lines that a log gained; it may be set aside as `.1` meanwhile, as the lab does when a process starts."""

    def __init__(self, log: Path) -> None:
        self.log = log
        self._file = 0
        self._at = 0

    def lines(self) -> Iterator[str]:
        """Yield the whole lines that are new."""
        if not self.log.exists():
            return
        number = self.log.stat().st_ino
        if self._file and number != self._file:
            aside = self.log.with_name(self.log.name + ".1")
            if aside.exists() and aside.stat().st_ino == self._file:
                yield from self._read(aside)
            self._at = 0
        self._file = number
        yield from self._read(self.log)

    def _read(self, path: Path) -> Iterator[str]:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            file.seek(min(self._at, size))
            found = file.read()
        whole = found[: found.rfind(b"\n") + 1]  # the last line may be half written
        self._at = min(self._at, size) + len(whole)
        yield from whole.decode(errors="replace").splitlines()


class Blocks:
    """Every block that a node signed, by its own log, and when the observer had it by its log."""

    def __init__(self, nodes: Iterable[Node], observer: Node) -> None:
        self._tails = {node.name: Tail(node.log) for node in nodes}
        self._observer = Tail(observer.log)
        self.signed: list[Signature] = []
        self.seen: dict[str, float] = {}
        self._by_slot: dict[tuple[str, int], set[tuple[str, str]]] = defaultdict(set)
        self._doubles: set[tuple[str, int]] = set()

    def look(self) -> None:
        """Take in what was written since the last look. LabError when a line about a block is not understood."""
        for name, tail in self._tails.items():
            for line in tail.lines():
                if each := signature(name, line):
                    self._note(each)
        for line in self._observer.lines():
            if found := RECEIVED.match(line):
                self.seen.setdefault(found["id"], at_ms(found["wall"]) / 1000)

    def _note(self, each: Signature) -> None:
        bisect.insort(self.signed, each, key=lambda one: one.wall)
        makers = self._by_slot[each.producer, each.slot]
        makers.add((each.node, each.id))
        if len(makers) > 1:
            self._doubles.add((each.producer, each.slot))

    @property
    def twice(self) -> int:
        """How many slots were signed twice so far, by the last look."""
        return len(self._doubles)

    def first_after(self, node: str, wall: float) -> Signature | None:
        """Return the first block that `node` signed after a moment, once it is there."""
        self.look()
        start = bisect.bisect_left(self.signed, wall, key=lambda one: one.wall)
        return next((each for each in self.signed[start:] if each.node == node), None)

    def newest(self) -> Signature | None:
        """Return the newest block of all."""
        self.look()
        return self.signed[-1] if self.signed else None
