"""Words to standard error that never wait for a reader."""

from __future__ import annotations

import os
import threading
import time

TELL_S = 0.2
"""How long the last words of a process that ends may take."""


class Voice:
    """Writes lines to standard error without ever waiting for its reader; what it is late with is not said."""

    def __init__(self, name: str = "guard") -> None:
        self._name = name
        self._thread: threading.Thread | None = None

    def say(self, text: str) -> None:
        """Write one line, unless the one before is still stuck."""
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._write, args=(text,), daemon=True)
            self._thread.start()

    def end(self) -> None:
        """Give the last line a moment."""
        if self._thread is not None:
            self._thread.join(TELL_S)

    def _write(self, text: str) -> None:
        when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        try:
            os.write(2, f"{when} nodeos-failover {self._name}: {text}\n".encode(errors="replace"))
        except OSError:
            return  # nobody reads it: no reason to stop guarding
