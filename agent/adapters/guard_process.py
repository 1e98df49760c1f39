"""Starting the guard and seeing that it lives. What it does stands in `agent.guard`."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path

log = logging.getLogger(__name__)


class GuardProcess:
    """The guard of this agent. It outlives us, if it must: the end of its pipe tells it that we are gone."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._popen: subprocess.Popen[bytes] | None = None

    def ensure(self) -> None:
        """Start the guard, or start it again if it ended. OSError when that fails."""
        if self._popen is not None:
            code = self._popen.poll()
            if code is None:
                return
            log.error("the guard ended with %s; starting it again", code)
            self.close()
        command = [sys.executable, "-I", "-m", "agent.guard", str(self._path), str(os.getpid())]
        self._popen = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            cwd="/",
            start_new_session=True,  # a signal to our group is not for it
        )

    @property
    def pid(self) -> int | None:
        """The pid of the guard, None when there is none."""
        return self._popen.pid if self._popen is not None and self._popen.poll() is None else None

    def close(self) -> None:
        """Let go of the guard: it ends by itself once nothing is left to guard. Never blocks."""
        if self._popen is not None and self._popen.stdin is not None:
            self._popen.stdin.close()
        self._popen = None
