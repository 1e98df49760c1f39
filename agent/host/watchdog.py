"""/dev/watchdog: the kernel, or the hardware below it, resets the host when it is not fed in time.

For a host whose kernel hangs, so that neither agent nor guard run while nodeos's last block is still under way, and for
a nodeos that nothing can end. When it may be fed is decided in `runtime.liveness`; only the device lives here.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import struct
from collections.abc import Callable
from pathlib import Path

from agent.errors import RefusedError

log = logging.getLogger(__name__)

SET_TIMEOUT = 0xC0045706
"""WDIOC_SETTIMEOUT (linux: include/uapi/linux/watchdog.h)."""
RELEASE = b"V"
"""The magic word: closed after it, the device is disarmed, unless the driver knows no way out."""
Ioctl = Callable[[int, int, bytes], bytes | int]


class Watchdog:
    """Something to be fed; this one is off. `timeout_s`: how long after the last feeding the host is reset, or None."""

    timeout_s: int | None = None

    def feed(self) -> None:
        """Put the reset off."""

    def close(self) -> None:
        """Disarm it: the agent ends as it should."""


class DeviceWatchdog(Watchdog):
    """An open device. An agent that is killed leaves it armed: the next one has `timeout_s` to take it over."""

    def __init__(self, path: Path, timeout_s: int, ioctl: Ioctl = fcntl.ioctl) -> None:
        """Open and arm the device. OSError when that fails, or when it cannot be as short as `timeout_s`."""
        self._fd = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        self.timeout_s = timeout_s
        try:
            self.timeout_s = _set_timeout(self._fd, timeout_s, ioctl)
        except OSError:
            self.close()
            raise
        self._failed = False

    def feed(self) -> None:
        """Put the reset off. A device that takes no food can only be told of: the host will be reset."""
        try:
            os.write(self._fd, b"\0")
        except OSError as error:
            if not self._failed:
                log.critical("the watchdog cannot be fed, the host will be reset: %s", error)
            self._failed = True
        else:
            self._failed = False

    def close(self) -> None:
        """Disarm it."""
        if self._fd < 0:
            return
        try:
            os.write(self._fd, RELEASE)
        except OSError as error:
            log.critical("the watchdog cannot be disarmed, the host will be reset: %s", error)
        os.close(self._fd)
        self._fd = -1


def _set_timeout(descriptor: int, timeout_s: int, ioctl: Ioctl) -> int:
    """Return the time-out that the device took. OSError when it is longer than asked for."""
    answer = ioctl(descriptor, SET_TIMEOUT, struct.pack("i", timeout_s))
    granted: int = struct.unpack("i", answer)[0] if isinstance(answer, bytes) else timeout_s
    if not 0 < granted <= timeout_s:
        raise OSError(errno.EINVAL, f"it takes {granted} s instead of {timeout_s} s")
    return granted


def open_watchdog(mode: str, path: Path, timeout_s: int, ioctl: Ioctl = fcntl.ioctl) -> Watchdog:
    """Return the watchdog as [watchdog] wants it. RefusedError when it is required and cannot be had."""
    if mode == "off":
        return Watchdog()
    try:
        return DeviceWatchdog(path, timeout_s, ioctl)
    except OSError as error:
        why = f"the watchdog {path} cannot be used: {error.strerror}"
        if mode == "required":
            raise RefusedError(
                f"{why}; load a driver, let the agent's user write to it, see that nobody else has it open (systemd's "
                "RuntimeWatchdogSec), or set watchdog.mode to automatic"
            ) from error
        log.warning("%s; going on without", why)
        return Watchdog()
