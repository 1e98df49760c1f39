"""A run-time file as an agent writes it, a nodeos that may lie, and a guard: for tests of what stops nodeos."""

from __future__ import annotations

import os
import signal
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from agent.core.model.chain import ProcessId
from agent.core.model.runtime_record import RuntimeRecord
from agent.guard.spawn import GuardProcess
from agent.host.clock import boot_id, boot_ms
from agent.host.page import identity
from agent.host.page_file import PageFile
from agent.host.runtime_file import LockedFile
from agent.host.tenure_file import TenureFile
from tests.support.children import NODEOS, Child, child, wait_until
from tests.support.children import plan as plan_for

LATE_MS = 400
"""How much later than its time anything may happen on a busy machine."""
PAUSE_MS, BLOCK_MS, KILL_MS = 300, 500, 500


class Bench:
    """A run-time file, a nodeos and a guard of our own."""

    def __init__(self, root: Path, closing: ExitStack) -> None:
        self.closing = closing
        self.locked = LockedFile(root / "run" / "group-a.json")
        self.locked.lock()
        self.page = PageFile(root / "run" / "group-a.permit", boot_id(), identity("group", "a"))
        self.file = TenureFile(self.locked, self.page)
        self.log = root / "nodeos.log"
        self.guard = GuardProcess(self.file.path)
        self.nodeos: Child | None = None
        closing.callback(self.page.close)
        closing.callback(self.end_guard)

    def start_nodeos(self, how: str = "honest") -> Child:
        """Start a nodeos that takes a pause in some way."""
        self.nodeos = self.closing.enter_context(child(NODEOS, how, str(self.log)))
        return self.nodeos

    def start_guard(self) -> int:
        """Start the guard, wait until it guards, and return its pid."""
        self.guard.ensure()
        pid = self.guard.pid
        assert pid is not None
        wait_until(lambda: ignores(pid))
        return pid

    def end_guard(self) -> None:
        """End the guard whatever it does."""
        pid = self.guard.pid
        self.guard.close()
        if pid is not None:
            os.kill(pid, signal.SIGKILL)
            wait_until(lambda: self.guard.pid is None)

    def record(self, stop_in_ms: int, **changes: Any) -> RuntimeRecord:
        """Return the record of a tenure that is to stop so soon."""
        stop_by = boot_ms() + stop_in_ms
        process = self.nodeos.id if self.nodeos else ProcessId(4_000_000, 1)
        record = RuntimeRecord(
            boot_id(), os.getpid(), "held", 7, "f00d", 3, 12, 11, 99, stop_by + 1100, stop_by, False, process
        )
        return replace(record, **changes)

    def save(self, record: RuntimeRecord, **plan: Any) -> RuntimeRecord:
        """Write the file as the agent does."""
        gated = plan.pop("gated", False)
        more = self.plan(**plan)
        self.file.save(record, {"guard": {**more["guard"], "gated": gated}})
        return record

    def plan(self, **plan: Any) -> dict[str, Any]:
        """Return what the agent writes about stopping nodeos."""
        url = f"http://127.0.0.1:{self.nodeos.said}" if self.nodeos else "http://127.0.0.1:1"
        times = {"pause_ms": PAUSE_MS, "block_ms": BLOCK_MS, "kill_ms": KILL_MS, "slack_ms": 300, "term_ms": 1000}
        return {"guard": {"plan": asdict(plan_for(url, **plan)), "producer_url": url, **times}}

    def asked(self, what: str = "pause") -> list[int]:
        """Return when nodeos was asked for something, in ms of CLOCK_BOOTTIME."""
        lines = [line.split() for line in self.log.read_text().splitlines()] if self.log.exists() else []
        return [int(when) for name, when in lines if name == what]

    def gone(self) -> bool:
        """Whether nodeos is gone."""
        assert self.nodeos is not None
        return not self.nodeos.alive


def ignores(pid: int) -> bool:
    """Whether SIGTERM does not end a process any more: the guard sees to that before anything else."""
    lines = dict(line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return bool((int(lines["SigCgt"], 16) | int(lines["SigIgn"], 16)) >> (signal.SIGTERM - 1) & 1)
