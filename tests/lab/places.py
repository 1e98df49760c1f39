"""Where a part of the lab runs: on this host's loopback, or in a network namespace. Only that lives here."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

CLONE_NEWNET = 0x40000000
OWN = "/proc/thread-self/ns/net"


@dataclass(frozen=True)
class Place:
    """A place: the address at which other places reach it, and its network namespace (empty: ours).

    What only its own processes are to reach listens on 127.0.0.1 there too, as on a host.
    """

    name: str = ""
    address: str = "127.0.0.1"
    namespace: str = ""

    def command(self, command: Sequence[str | Path]) -> list[str | Path]:
        """Return the command that runs `command` in this place, as the same process."""
        if not self.namespace:
            return list(command)
        return ["/usr/bin/nsenter", f"--net={self.namespace}", "--", *command]

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Let the sockets that this thread makes meanwhile belong to the place; OSError when it is gone."""
        if not self.namespace:
            yield
            return
        own = os.open(OWN, os.O_RDONLY | os.O_CLOEXEC)
        try:
            there = os.open(self.namespace, os.O_RDONLY | os.O_CLOEXEC)
            try:
                _enter(there)
            finally:
                os.close(there)
            try:
                yield
            finally:
                _enter(own)
        finally:
            os.close(own)


def _enter(namespace: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(namespace, CLONE_NEWNET):
        number = ctypes.get_errno()
        raise OSError(number, f"cannot enter a network namespace: {os.strerror(number)}")


LOOPBACK = Place()
