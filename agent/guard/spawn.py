"""Starting the guard and seeing that it lives. What it does stands in `agent.guard`."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
from pathlib import Path

from agent.host.process import stopped

log = logging.getLogger(__name__)


class GuardProcess:
    """The guard of this agent. It outlives us, if it must: the end of its pipe tells it that we are gone.

    Every method may be called from any thread.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._popen: subprocess.Popen[bytes] | None = None
        self._over = False

    def ensure(self) -> None:
        """Start the guard, or start it again if it ended; nothing after `close`. OSError when that fails.

        One that a signal has stopped guards nothing: it is ended, and the next call starts another.
        """
        with self._lock:
            if self._over:
                return
            if self._popen is not None:
                code = self._popen.poll()
                if code is None:
                    if stopped(self._popen.pid):
                        log.error("the guard is stopped by a signal, so it guards nothing: it is ended")
                        self._popen.kill()
                    return
                log.error("the guard ended with %s; starting it again", code)
                self._let_go()
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
        popen = self._popen
        return popen.pid if popen is not None and popen.poll() is None else None

    def close(self) -> None:
        """Let go of the guard: it ends by itself once nothing is left to guard. Never blocks."""
        with self._lock:
            self._over = True
            self._let_go()

    def _let_go(self) -> None:
        if self._popen is not None and self._popen.stdin is not None:
            self._popen.stdin.close()
