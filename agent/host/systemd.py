"""What systemd is told: one datagram a message, never a wait (sd_notify(3))."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping

from agent.core.model.fields import shown

LONGEST = 200
"""Characters of a status line."""


class Notifier:
    """Sends to the socket that NOTIFY_SOCKET names; without one every method does nothing.

    `watchdog_s`: how often systemd wants a sign of life at least (WatchdogSec), None for never.
    """

    def __init__(self, environ: Mapping[str, str], pid: int | None = None) -> None:
        name = environ.get("NOTIFY_SOCKET", "")
        self._address = "\0" + name[1:] if name.startswith("@") else name  # @: an abstract one
        self._failed = False
        self.watchdog_s: float | None = None
        if not self._address:
            return
        usec, wanted = environ.get("WATCHDOG_USEC", ""), environ.get("WATCHDOG_PID", "")
        if usec.isdecimal() and int(usec) and wanted in ("", str(pid or os.getpid())):
            self.watchdog_s = int(usec) / 1e6

    def ready(self, status: str) -> None:
        """Say that the agent has started, or is done with reloading."""
        self.send("READY=1", f"STATUS={shown(status, LONGEST)}")

    def status(self, text: str) -> None:
        """Say one line for `systemctl status`."""
        self.send(f"STATUS={shown(text, LONGEST)}")

    def watchdog(self) -> None:
        """Give a sign of life."""
        self.send("WATCHDOG=1")

    def reloading(self) -> None:
        """Begin to read the configuration again; `ready` ends that."""
        self.send("RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def stopping(self, status: str) -> None:
        """Begin to end."""
        self.send("STOPPING=1", f"STATUS={shown(status, LONGEST)}")

    def send(self, *lines: str) -> None:
        """Send one message; what nobody takes is lost."""
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sock:
                sock.sendto("\n".join(lines).encode(), self._address)
        except OSError as error:  # a full queue, or nobody there: the next one may pass, and nothing here may wait
            if not self._failed:
                import logging  # the gate starts without it

                logging.getLogger(__name__).warning("systemd could not be told %s: %s", lines[0], error)
            self._failed = True
        else:
            self._failed = False
