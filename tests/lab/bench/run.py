"""One fault after another: done at a random moment, counted, mended; methods take turns. No figure is made here."""

from __future__ import annotations

import os
import random
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tests.lab import evidence
from tests.lab.bench import AFTER, PHASE_S
from tests.lab.bench.field import Field
from tests.lab.bench.method import TITLES, Method
from tests.lab.bench.results import Results, Run
from tests.lab.bench.tails import Tail
from tests.lab.bench.trace import Tracer
from tests.lab.errors import LabError, LabTimeout
from tests.lab.evidence import Signature
from tests.lab.wait import until

TURN = 5
"""Runs of each fault before the next method has its turn: so all meet the same moods of the machine."""
OVER_LIMIT = 30.0


@dataclass(frozen=True)
class Wish:
    """What is to be measured: which faults, how often, for how many minutes at most (0: as long as it takes)."""

    faults: Sequence[str]
    runs: int
    seed: int
    minutes: float = 0.0


class Bench:
    """Runs all methods on one field. `results` grow with each run, and `save` is called after it."""

    def __init__(
        self, field: Field, methods: Sequence[Method], wish: Wish, results: Results, save: Callable[[], None]
    ) -> None:
        self._field, self._methods, self._wish = field, methods, wish
        self._results, self._save = results, save
        self._random = random.Random(f"{wish.seed}-{len(results.runs)}")
        self._began = time.monotonic()
        self._done = 0

    def go(self) -> None:
        """Measure what is still wanted, in turns of some runs a method. LabError, with logs, when the lab breaks."""
        upto = 0
        while upto < self._wish.runs and not self._late:
            upto = min(upto + TURN, self._wish.runs)
            for method in self._methods:
                if self._late or not any(self._wanted(method, fault, upto) for fault in self._faults(method)):
                    continue
                try:
                    method.start()
                    self._turn(method, upto)
                    method.stop()
                except LabError as error:
                    raise LabError(f"{method.title}: {error}\n{method.story()}") from error

    def _turn(self, method: Method, upto: int) -> None:
        tracer = Tracer(
            {host: Tail(agent.log) for host, agent in getattr(method, "agents", {}).items()}, self._field.blocks
        )
        for fault in self._faults(method):
            while self._wanted(method, fault, upto) and not self._late:
                self._results.runs.append(run := self._measure(method, fault, tracer))
                self._done += 1
                self._save()
                self._tell(run)

    def _faults(self, method: Method) -> list[str]:
        return [fault for fault in self._wish.faults if fault in method.faults]

    def _wanted(self, method: Method, fault: str, upto: int) -> bool:
        return len(self._results.of(method.name, fault)) < upto

    @property
    def _late(self) -> bool:
        return bool(self._wish.minutes) and time.monotonic() - self._began > 60 * self._wish.minutes

    # --- one run ---

    def _measure(self, method: Method, name: str, tracer: Tracer) -> Run:
        field, fault = self._field, method.faults[name]
        host = field.wait("somebody to produce", method.producing)
        observer, other = field.chain.observer, field.other(host)
        observer.wait_blocks()  # who may produce did: what was missed until then is not this fault's
        time.sleep(self._random.uniform(0, PHASE_S))
        field.blocks.look()
        tracer.forget()
        twice, head = field.blocks.twice, observer.head
        started, first = time.time(), None
        fault.act(host)
        if fault.changes:
            first = self._first(other, started, method.patience)
        else:
            until(lambda: fault.over(host), OVER_LIMIT, f"{TITLES[name]}: a fresh confirmation")
        if first is not None or not fault.changes:
            observer.wait_blocks(AFTER)
        missed = self._missed(head, time.time() if first is None and fault.changes else None)
        lost = fault.changes and first is None
        changed = not lost and method.producing() != host
        field.blocks.look()
        twice_then = field.blocks.twice
        steps = tracer.trace(host, other, started, first) if first is not None else {}
        load = os.getloadavg()[0]
        method.mend()
        field.blocks.look()
        return Run(
            method.name,
            name,
            missed,
            first.wall - started if first else None,
            lost,
            changed,
            twice_then - twice,
            field.blocks.twice - twice_then,
            steps,
            load,
        )

    def _first(self, host: str, started: float, patience: float) -> Signature | None:
        """Return the successor's first block, None when there is none within the method's patience."""
        try:
            return until(lambda: self._field.blocks.first_after(host, started), patience, f"a block of {host}")
        except LabTimeout:
            return None

    def _missed(self, head: int, until_wall: float | None) -> int:
        """Return the slots missed since a block, up to the head, or up to a moment when the chain stands."""
        observer = self._field.chain.observer
        chain = evidence.headers(observer, head, observer.head)
        missed = sum(count for _, count in evidence.gaps(chain))
        tail = max(0, round((until_wall * 1000 - chain[-1].time) / 500)) if until_wall else 0
        return missed + tail

    # --- progress ---

    def _tell(self, run: Run) -> None:
        spent = "nobody came, " if run.lost else f"{run.seconds:.2f} s, " if run.seconds is not None else ""
        done = len(self._results.of(run.method, run.fault))
        text = f"{run.method}, {TITLES[run.fault]} {done}/{self._wish.runs}: {spent}{run.missed} slots missed"
        twice = f", {run.twice}+{run.twice_back} SIGNED TWICE" if run.twice or run.twice_back else ""
        sys.stdout.write(f"{text}{twice}; {self._left():.0f} min left\n")
        sys.stdout.flush()

    def _left(self) -> float:
        """Return the minutes that are left, by what the runs took so far."""
        spent = (time.monotonic() - self._began) / 60
        open_runs = sum(
            max(0, self._wish.runs - len(self._results.of(method.name, fault)))
            for method in self._methods
            for fault in self._faults(method)
        )
        left = spent / max(1, self._done) * open_runs
        return min(left, self._wish.minutes - spent) if self._wish.minutes else left
