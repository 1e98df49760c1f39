"""What a run-time file says about stopping nodeos, and stopping it with that (R3, R4). Standard library only.

Three use it: the guard beside each agent, the fence of a supervisor, the parent process. None of them needs the
configuration, etcd or the agent: whatever it takes to stop nodeos stands in a file on tmpfs.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from agent.core.model.backoff import doubled
from agent.core.model.chain import ProcessId
from agent.core.model.fields import RecordError, an_object, flag, inner, number, text, texts
from agent.core.model.runtime_record import RuntimeRecord
from agent.errors import ConfigError, FailoverError, FenceError
from agent.host import tenure_reader
from agent.host.clock import boot_ms
from agent.host.deadline import Deadline, NotSent
from agent.net.endpoint import Endpoint, parse_endpoint
from agent.net.http import Answer, call
from agent.net.resolver import Resolver
from agent.nodeos.fence import ProcessFence
from agent.nodeos.finder import EXECUTABLE, FencePlan

ARMED = ("held", "stopping")
"""States of a tenure that may produce, or was not proven to have stopped."""
LONGEST_MS = 600_000
"""No span can be configured longer."""
BUSY = (429, 503)
"""What a busy nodeos answers."""
LONGEST = 64 * 1024
"""Nothing that is read is longer: nothing is cut."""


@dataclass(frozen=True, slots=True)
class Means:
    """How nodeos is paused and ended. Spans in seconds, named as in [timing] and [fence].

    `gated`: nodeos signs through a gate that is required, and which signs nothing from V - G on by itself.
    """

    producer: Endpoint
    plan: FencePlan
    pause_s: float
    block_s: float
    kill_s: float
    slack_s: float
    term_s: float
    gated: bool = False

    def paused(self, process: ProcessId | None = None) -> bool:
        """Pause nodeos, and tell whether it then says that it is paused; within `pause_s` seconds in all (P).

        The block in flight may still be signed for `block_s` seconds after that (B). What another nodeos than `process`
        says is no answer; None: it is not known.
        """
        deadline = Deadline(self.pause_s)
        try:
            if not 200 <= self._pause(deadline) < 300 or self.astray(process):
                return False
            answer = self._ask(deadline)
        except (FailoverError, OSError):
            return False
        return 200 <= answer.status < 300 and answer.body.strip() == b"true"

    def _pause(self, deadline: Deadline) -> int:
        """Pause, and return the status of the answer. A nodeos that is busy is asked again while there is time."""
        while True:
            status = call(self.producer, "/v1/producer/pause", deadline.left()).status
            left = deadline.remaining()
            wait = doubled(round(1000 * (deadline.span - left))) / 1000
            if status not in BUSY or left <= wait:
                return status
            time.sleep(wait)

    def astray(self, process: ProcessId | None) -> str:
        """Return why what is asked of nodeos does not reach `process` (see `listener.astray`)."""
        return ProcessFence(self.plan, process).astray(self.producer, Resolver(), Deadline(self.pause_s))

    def listens(self) -> bool:
        """Tell whether anybody takes connections where a pause goes."""
        try:
            call(self.producer, "/v1/producer/paused", self.pause_s)
        except NotSent as error:
            return not isinstance(error.__cause__, (ConnectionRefusedError, FileNotFoundError))
        except OSError:
            return True
        return True

    def _ask(self, deadline: Deadline) -> Answer:
        """Ask where a pause is taken, and where that is unknown (a listener for producer_rw alone), where the rest is.

        TimeoutError, which is an OSError, at the deadline.
        """
        answer = call(self.producer, "/v1/producer/paused", deadline.left())
        if answer.status == 404 and (other := parse_endpoint(self.plan.url)) != self.producer:
            return call(other, "/v1/producer/paused", deadline.left())
        return answer

    def end(self, process: ProcessId | None, term_s: float = 0.0) -> str:
        """End nodeos within `term_s` + `kill_s` seconds, and return how. FenceError when it is not seen to be gone."""
        return "nodeos " + ProcessFence(self.plan, process).stop(term_s, term_s + self.kill_s)


@dataclass(frozen=True, slots=True)
class Pending:
    """A tenure that has to be stopped at `stop_by`; all is over by `valid_until` (ms of CLOCK_BOOTTIME).

    `process` None: it is not known.
    """

    epoch: int
    stop_by: int
    valid_until: int
    stopping: bool
    resume_open: bool
    process: ProcessId | None
    means: Means

    def left_ms(self, now: int) -> int:
        """Return for how long (ms) from `now` an agent that starts may go on with this tenure (start and restart)."""
        return 0 if self.stopping or self.resume_open else max(0, self.stop_by - now)

    def stop(self) -> str:
        """Stop nodeos and prove it, for an agent that is gone; return how. FenceError when it cannot be proven."""
        means = self.means
        if not self.resume_open and means.paused(self.process):
            time.sleep(means.block_s)
            return "nodeos is paused"
        left_s = (self.valid_until - boot_ms()) / 1000
        return means.end(self.process, max(0.0, min(means.term_s, left_s - means.kill_s - means.slack_s)))


@dataclass(frozen=True, slots=True)
class Found:
    """What a run-time file says. `armed` None: nothing has to be stopped. `agent_pid` 0: nobody wrote it."""

    armed: Pending | None
    agent_pid: int = 0


def read(path: Path, boot_id: str, *, anew: bool = False) -> Found:
    """Read a run-time file with its page; an empty one was left by an agent that ended well.

    OSError, RecordError or ConfigError name what cannot be read. `anew`: as in `tenure_reader.read`.
    """
    found = tenure_reader.read(path, anew=anew)
    return to_stop(*found, boot_id) if found is not None else Found(None)


def stop_other(path: Path, boot_id: str, ours: Means) -> str:
    """Stop the nodeos that was led with if it is another one than ours, and return how; empty: it is ours, or none.

    No pause of ours reaches that one, so it would sign on beside the next leader (R4). It is ours if it is asked at the
    same addresses, or is the same process. FenceError when it cannot be stopped: then the guard that it has goes on.
    """
    try:
        armed = read(path, boot_id, anew=True).armed
    except (OSError, RecordError, ConfigError):
        return ""  # it does not tell where its nodeos is
    if armed is None or (armed.means.plan.url, armed.means.producer) == (ours.plan.url, ours.producer):
        return ""
    with suppress(FenceError):
        if (found := ProcessFence(ours.plan).find()) is not None:
            found.close()
            if found.id == armed.process:
                return ""
    return armed.stop()


def to_stop(record: RuntimeRecord, raw: bytes, boot_id: str) -> Found:
    """Return what a record says, with the means that stand beside it. RecordError or ConfigError for these."""
    if record.state not in ARMED or record.boot_id != boot_id:
        return Found(None, record.agent_pid)
    process = record.process if record.process is not None and record.process.pid else None
    stopping = record.state == "stopping"
    spans = (record.stop_by, record.valid_until)
    pending = Pending(record.epoch, *spans, stopping, record.resume_open, process, read_means(raw))
    return Found(pending, record.agent_pid)


def means_of(fields: Mapping[str, object]) -> Means:
    """Return how nodeos is stopped by what an agent would leave (`plan.guard_fields`)."""
    return read_means(json.dumps(fields).encode())


def read_means(raw: bytes) -> Means:
    """Read how nodeos is stopped, from a run-time file or a plan file."""
    guard = inner(an_object(raw, "run-time file"), "guard")
    plan = inner(guard, "plan")
    url = text(plan, "url", limit=LONGEST)
    parse_endpoint(url)
    return Means(
        parse_endpoint(text(guard, "producer_url", limit=LONGEST)),
        FencePlan(
            url,
            text(plan, "pid_file", limit=LONGEST),
            text(plan, "unit", limit=LONGEST),
            texts(plan, "command", LONGEST, LONGEST),
            flag(plan, "enabled"),
            text(plan, "executable", EXECUTABLE, limit=LONGEST),  # these two are not in what version 0.1.0 wrote
            text(plan, "data_dir", "", limit=LONGEST),
        ),
        number(guard, "pause_ms", below=LONGEST_MS) / 1000,
        number(guard, "block_ms", 0, below=LONGEST_MS) / 1000,
        number(guard, "kill_ms", below=LONGEST_MS) / 1000,
        number(guard, "slack_ms", 0, below=LONGEST_MS) / 1000,  # an agent of version 0.1.0 did not write these two
        number(guard, "term_ms", 0, below=LONGEST_MS) / 1000,
        flag(guard, "gated", default=False),
    )
