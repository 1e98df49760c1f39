"""`keepalived-notify`: production follows keepalived's word, for those without etcd. One process, fed through a fifo.

Only MASTER resumes, and only after `delay`, by when the other side has stopped; BACKUP, FAULT and STOP pause and prove
it, or end nodeos (R3, R4). keepalived itself may die or freeze, and then says nothing: so MASTER counts for as long as
its check script leaves stamps, and the fifo has a writer. That span stands in the run-time file like a confirmation of
etcd, so the guard beside this process stops nodeos when this process cannot (`agent.guard`).

What VRRP cannot promise this cannot either: two hosts that do not hear each other are both MASTER.
"""

from __future__ import annotations

import os
import select
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from agent.core.model.chain import ProcessId
from agent.core.model.runtime_record import RuntimeRecord
from agent.core.model.store import Ms
from agent.errors import FailoverError
from agent.guard import fence
from agent.guard.stop import Means
from agent.host.clock import boot_id, boot_ms
from agent.host.deadline import NotSent
from agent.host.small_file import read_whole
from agent.host.tenure_file import TenureFile
from agent.net.http import call
from agent.nodeos.fence import ProcessFence

MASTER = "MASTER"
WORDS = (MASTER, "BACKUP", "FAULT", "STOP")
LOOK_S = 0.2
"""Between two looks at fifo, stamp and nodeos."""
ASK_MS: Ms = 1000
"""How often a nodeos that must not produce is asked whether it is paused."""
AFTER_TRIP_MS: Ms = 4000
"""After a silence of keepalived: time for it to hear, if it was frozen, that another is MASTER meanwhile."""
Tell = Callable[[str, str, str], None]
"""Tells people: event, severity, what happened."""


@dataclass(frozen=True, slots=True)
class Spans:
    """In ms: how old a stamp may be, how long MASTER waits before it resumes, and what a stop may take (A)."""

    deadman: Ms
    delay: Ms
    margin: Ms

    def problem(self) -> str:
        """Return what speaks against these spans; nothing when they fit.

        When keepalived or this process hangs we hear nothing more, and in that moment, or a look before it, the other
        may have become MASTER, who resumes after its `delay`. By then our stop must be over.
        """
        stopped = self.deadman + self.margin + round(LOOK_S * 1000)
        if stopped <= self.delay:
            return ""
        return (
            f"--deadman {self.deadman / 1000:g} s + a stop of {self.margin / 1000:g} s + {LOOK_S:g} s until a word is "
            f"heard must not be above --delay {self.delay / 1000:g} s: raise --delay on every host"
        )


@dataclass(eq=False)
class Duty:
    """Production under one VRRP instance. `look` is one round; it returns False when there is nothing left to do.

    `led`: the nodeos that a process before this one may have left producing.
    """

    _fifo: int
    _file: TenureFile
    _stamp: Path
    _means: Means
    _spans: Spans
    _tell: Tell
    _led: ProcessId | None = None  # what may produce is to be stopped until that is proven

    def __post_init__(self) -> None:
        self._poll = select.poll()
        self._poll.register(self._fifo, select.POLLIN)
        self._rest = b""
        self.more: dict[str, object] = {}  # what the guard needs, beside each record
        self.word = ""
        self.producing = False
        self.proven = False
        self.ending = False
        self.guarded = True  # whether a guard would stop nodeos should this process not
        self.transitions = dict.fromkeys(WORDS, 0)
        self.fencings = self.trips = 0  # since the start, for the metrics
        self.changed_at = time.time()
        self._since: Ms = 0  # from when `delay` counts
        self._process = self._led
        self._stop_by: Ms = 0
        self._asked: Ms = 0
        self._epoch = 0
        self._said = self._unseen = ""

    def look(self) -> bool:
        """Take what keepalived says, and see that nodeos follows."""
        self._listen()
        now, due = boot_ms(), self._due()
        if self.producing:
            self._watch(now, due)
        elif self.word == MASTER and not self.ending and now >= due:
            self._after_silence()
        if not self.producing and not self._keep_stopped(now):
            return True  # not proven yet: go on trying, also when ending
        if self.word == MASTER and not self.producing and not self.ending:
            self._resume(due)
        return not self.ending

    def _after_silence(self) -> None:
        """Have MASTER wait the longer of `delay` and AFTER_TRIP_MS from now on."""
        self._since = boot_ms() + max(0, AFTER_TRIP_MS - self._spans.delay)

    # --- keepalived ---

    def begin_with(self, word: str) -> None:
        """Begin with what keepalived said last to the process before this one; it says only what changes."""
        self._take(["INSTANCE", "", word])

    def _listen(self) -> None:
        """Read what is in the fifo; of several words the last counts. Without a writer there is no keepalived."""
        for _, events in self._poll.poll(0):
            data = os.read(self._fifo, 4096) if events & select.POLLIN else b""
            *lines, self._rest = (self._rest + data).split(b"\n")
            for line in lines:
                self._take(line.decode(errors="replace").split())
            if events & select.POLLHUP and not data and not self.ending:
                self.ending = True
                self._tell("keepalived_gone", "critical", "keepalived is gone: this node may not produce")

    def _take(self, words: list[str]) -> None:
        """Take a line such as `INSTANCE "VI_1" MASTER 100`."""
        if len(words) < 3 or words[0] != "INSTANCE" or words[2] not in WORDS or words[2] == self.word:
            return
        before, self.word = self.word, words[2]
        self.transitions[self.word] += 1
        self.changed_at, self._since, self._said = time.time(), boot_ms(), ""
        if self.word == MASTER:
            self.proven = False  # paused and proven anew, right before it resumes
        severity = "warning" if self.word in ("FAULT", "STOP") else "info"
        self._tell("keepalived_state", severity, f"keepalived says {self.word} (before: {before or 'nothing'})")

    def _due(self) -> Ms:
        """Return until when the last sign of life of keepalived counts."""
        try:
            return int(read_whole(self._stamp)) + self._spans.deadman
        except (OSError, ValueError):
            return 0

    # --- nodeos ---

    def _watch(self, now: Ms, due: Ms) -> None:
        """Go on producing while all holds."""
        if self.word != MASTER or self.ending:
            self._stop(f"keepalived says {self.word}" if not self.ending else "this process ends")
        elif now >= self._stop_by:  # whatever came since: the guard has acted, or is about to
            self._trip()
        elif self._find() != self._process:
            self._stop("nodeos is another process now, or gone")
        elif due > self._stop_by:
            self._go_on(due)

    def _go_on(self, due: Ms) -> None:
        """Count on a later sign of life, if the guard heard of it before the one at hand was over."""
        stop_by = self._stop_by
        if not self._save("held", due):
            self._stop("the run-time file cannot be written")
        elif boot_ms() >= stop_by:
            self._trip()

    def _trip(self) -> None:
        self.trips += 1
        self._stop("keepalived gives no sign of life")
        self._after_silence()

    def _find(self) -> ProcessId | None:
        try:
            held = ProcessFence(self._means.plan, self._process).find()
        except FailoverError as error:
            if self._unseen != str(error):
                self._unseen = str(error)
                self._tell("nodeos_unseen", "warning", f"the nodeos process cannot be found: {error}")
            return self._process  # it cannot be told: the check sees to whether nodeos is well
        if held is None:
            return None
        held.close()
        return held.id

    def _stop(self, why: str) -> None:
        """Stop nodeos and prove it, whatever it takes (R3, R4)."""
        self.producing, self.proven = False, False
        self._since = boot_ms()
        self._tell("keepalived_stops", "warning", f"{why}: production stops")
        self._led = self._process
        self._keep_stopped(boot_ms())

    def _keep_stopped(self, now: Ms) -> bool:
        """See that nodeos, which must not produce, does not; tell whether that is proven."""
        if self.proven:
            if now < self._asked + ASK_MS:
                return True
            self._asked = now
            if self._find() == self._process and self._says_paused() is not False:
                return True
            if self._process is not None and self._find() == self._process:
                self._tell("unpaused", "warning", "nodeos is not paused though this node is not MASTER; pausing it")
        try:
            how = self._end(self._led) if self._led is not None else fence.stop_idle(self._means)
        except (FailoverError, OSError) as error:
            if self._said != str(error):
                self._tell("fence_failed", "critical", f"nodeos could NOT be stopped, stop it by hand: {error}")
            self._said, self.proven = str(error), False
            return False
        self.fencings += "ended" in how
        self.proven, self._led, self._process, self._asked = True, None, self._find(), boot_ms()
        self._save("", 0)
        return True

    def _end(self, led: ProcessId) -> str:
        if self._means.paused(led):
            time.sleep(self._means.block_s)
            return "nodeos is paused"
        return self._means.end(led)

    def _says_paused(self) -> bool | None:
        """Ask nodeos; None when it does not tell."""
        try:
            answer = call(self._means.producer, "/v1/producer/paused", self._means.pause_s)
        except OSError:
            return None
        return answer.body.strip() == b"true" if 200 <= answer.status < 300 else None

    def _resume(self, due: Ms) -> None:
        """Resume, once: an answer that does not come may still mean that it acts, and then nodeos has to go (R4)."""
        if not self.guarded or not due > boot_ms() >= self._since + self._spans.delay:
            return
        process = self._find()
        if process is None or process != self._process or self._means.astray(process):
            self.proven = False  # not the one that was paused
            return
        self._epoch += 1
        self.proven = False
        if not self._save("held", due, resume_open=True):
            return
        if boot_ms() >= due:  # held up until now: no guard knew of it, and the other may produce
            self._save("", 0)
            return
        try:
            status = call(self._means.producer, "/v1/producer/resume", self._means.pause_s).status
            answered = True
        except NotSent:
            status, answered = 0, True
        except OSError:
            status, answered = 0, False
        if 200 <= status < 300 and self._save("held", due):
            self.producing = True
            self._tell("keepalived_produces", "info", "this node is MASTER and produces")
            return
        self._tell("resume_failed", "critical", f"nodeos did not resume (answer {status})")
        self._since = boot_ms()
        if not answered:
            try:
                self._means.end(process)
            except FailoverError as error:
                self._tell("fence_failed", "critical", f"nodeos could NOT be stopped, stop it by hand: {error}")

    def _save(self, state: str, due: Ms, *, resume_open: bool = False) -> bool:
        """Write what the guard acts on; nothing to guard without a state."""
        try:
            if not state:
                self._file.remove()
                return True
            record = RuntimeRecord(
                boot_id=boot_id(),
                agent_pid=os.getpid(),
                state=state,
                epoch=self._epoch,
                instance="keepalived",
                seq=0,
                heartbeat_revision=0,
                leader_revision=0,
                lease=0,
                valid_until=due + self._spans.margin,
                stop_by=due,
                resume_open=resume_open,
                process=self._process,
            )
            self._file.save(record, self.more)
        except (OSError, FailoverError) as error:
            self._tell("file_failed", "critical", f"the run-time file cannot be written: {error}")
            return False
        self._stop_by = due
        return True
