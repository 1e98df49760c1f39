"""One run: rounds of faults, a rest after each, and all that is known of it as a history."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from tests.lab.chaos import (
    breaking_gate,
    breaking_links,
    breaking_peers,
    breaking_processes,
    breaking_rest,
    breaking_words,
    faults,
)
from tests.lab.chaos.breaking_rest import make_space
from tests.lab.chaos.caretaker import Caretaker
from tests.lab.chaos.checker import find_doubles
from tests.lab.chaos.history import Done, History, Rest
from tests.lab.chaos.kinds import AWAY
from tests.lab.chaos.links import Skipped
from tests.lab.chaos.plan import Fault, Plan
from tests.lab.chaos.watch import Watch
from tests.lab.chaos.world import World
from tests.lab.errors import LabError, LabTimeout
from tests.lab.wait import until

PRODUCES = 30.0
"""Seconds after all was healed within which somebody must produce (P2).

E, the time a seat is kept for who was named, an election of etcd, a start of nodeos and the health checks' rise:
6 + 5 + 3.5 + 2 + 3 s, and half as much again for a machine that is busy.
"""
SETTLED = 40.0
DONE_LIMIT = 90.0
Say = Callable[[str], None]
BREAKING = (breaking_gate, breaking_links, breaking_peers, breaking_processes, breaking_rest, breaking_words)
"""Imported for the faults that they register."""


class Run:
    """Carries out a plan; `history` grows meanwhile."""

    def __init__(self, plan: Plan, root: Path, say: Say, *, namespaces: bool = True) -> None:
        self._plan = plan
        self._say = say
        self.world = World(root, len(plan.hosts), namespaces=namespaces, gate=plan.gate, failsafe=plan.failsafe)
        self._caretaker = Caretaker(self.world)
        self._watch = Watch(self.world)
        self._done: list[Done] = []
        self._rests: list[Rest] = []
        self._began = 0.0

    def play(self) -> History:
        """Play all rounds; stop early when nobody produces after a rest (P2)."""
        self._watch.start()
        self.world.start()
        self._caretaker.start()
        self._began = time.time()
        for number, each in enumerate(self._plan.rounds, 1):
            self._round(each)
            if not self._rest():
                self._say(f"round {number}: nobody produces; stopping")
                break
            self._say(f"round {number} of {len(self._plan.rounds)}: {len(self._done)} faults, {self._twice()}")
        self._watch.settle()
        history = self._history()
        history.unsigned = self.world.unsigned()
        return history

    def close(self) -> None:
        """End everything."""
        self._caretaker.close()
        self.world.close()
        self._watch.close()

    def _twice(self) -> str:
        doubles = list(find_doubles(self._history()))
        stray = sum(not double.governed for double in doubles)
        return f"{len(doubles) - stray} slots signed twice" + (f" ({stray} more while not governed)" if stray else "")

    def _round(self, planned: tuple[Fault, ...]) -> None:
        started = time.monotonic()
        threads = []
        for fault in planned:
            time.sleep(max(0.0, started + fault.at - time.monotonic()))
            thread = threading.Thread(target=self._do, args=(fault,), name=f"fault-{fault.number}", daemon=True)
            thread.start()
            threads.append(thread)
        for thread in threads:
            thread.join(AWAY[1] + DONE_LIMIT)
            if thread.is_alive():
                raise LabError(f"{thread.name} does not end: a defect of the lab")

    def _do(self, fault: Fault) -> None:
        self._say(f"{time.time() - self._began:8.1f} s  {fault}")
        begun = time.time()
        started, failed = begun, ""
        try:
            with faults.FAULTS[fault.kind](self.world, fault):
                time.sleep(fault.length)
        except Skipped as error:
            failed = f"skipped: {error}"
        except LabError as error:
            failed = str(error).splitlines()[0].rpartition("desc = ")[2].rstrip('"}')  # etcdctl's own words
        if failed:
            self._say(f"{time.time() - self._began:8.1f} s  {fault} was not done: {failed}")
        self._done.append(Done(fault, started, time.time(), failed))

    def _rest(self) -> bool:
        """Heal what faults and their failures left behind, and wait for a block, then for all to stand by."""
        self._heal()
        healed = time.time()
        try:
            produced = until(lambda: self.world.signed_after(healed), PRODUCES, "a block", interval=0.2)
        except LabTimeout:
            self._rests.append(Rest(healed, None))
            return False
        self._rests.append(Rest(healed, produced))
        try:
            until(self.world.settled, SETTLED, "a settled group", interval=0.2)
        except LabTimeout as error:
            phases = {host.name: host.agent.phase for host in self.world.hosts.values()}
            self.world.note("LAB", f"{error}: {phases}")
        return True

    def _heal(self) -> None:
        world = self.world
        for member in world.etcd.members:
            member.thaw()
        for disk in world.etcd.disks.values():
            disk.heal()
        for host in world.hosts.values():
            for process in host.processes().values():
                process.thaw()
            if host.liar is not None:
                host.liar.lie("")
            host.agent.signal_guards(signal.SIGCONT)
        for key in ("@override", "@maintenance"):
            world.insist(f"to delete {key}", partial(world.etcdctl, "del", key))
        world.insist("to end every drain", partial(world.etcdctl, "del", "--prefix", "@drain/"))
        if "alarm" in world.insist("to ask for alarms", lambda: world.etcd.etcdctl("alarm", "list")):
            world.insist("etcd to have space again", lambda: make_space(world))

    def _history(self) -> History:
        ended = time.time()
        world = self.world
        return History(
            nodes=list(world.hosts),
            began=self._began,
            ended=ended,
            signatures=[each for each in world.signed() if self._began <= each.wall <= ended],
            done=sorted(self._done, key=lambda each: each.started),
            changes=sorted(world.changes, key=lambda each: each.at),
            notes=sorted(world.notes, key=lambda each: each.at),
            ungoverned=list(world.ungoverned),
            misdated=list(world.misdated),
            means=world.means(),
            stalls=list(self._watch.stalls),
            rests=list(self._rests),
            gate=self._plan.gate,
            failsafe=self._plan.failsafe,
        )
