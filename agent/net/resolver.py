"""Name look-ups with a total deadline.

`getaddrinfo` knows no time-out, so it runs in a thread that may be left behind: at most one for each name, a daemon.
"""

from __future__ import annotations

import socket
import threading
from contextlib import suppress

from agent.host.deadline import Deadline

Address = tuple[int, tuple[str, int] | tuple[str, int, int, int]]
"""An address family and what `connect` takes for it."""


class _Lookup:
    """One look-up under way."""

    def __init__(self, host: str, port: int) -> None:
        self.done = threading.Event()
        self.addresses: list[Address] = []
        self.error: OSError | None = None
        self._host, self._port = host, port
        threading.Thread(target=self._run, name=f"resolve-{host}", daemon=True).start()

    def _run(self) -> None:
        try:
            for family, _, _, _, address in socket.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM):
                if family in (socket.AF_INET, socket.AF_INET6):
                    self.addresses.append((family, address))  # type: ignore[arg-type] # by the family these are they
        except (OSError, UnicodeError) as error:
            self.error = error if isinstance(error, OSError) else OSError(f"{self._host!r} is no host name")
        finally:
            self.done.set()


class Resolver:
    """Finds addresses. One that was found is kept until `forget`, so that a pause does not wait for a dead resolver."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[tuple[str, int], list[Address]] = {}
        self._running: dict[tuple[str, int], _Lookup] = {}

    def find(self, host: str, port: int, deadline: Deadline) -> list[Address]:
        """Return the addresses of `host`. TimeoutError at the deadline; OSError when there is no such name."""
        literal = _literal(host, port)
        if literal is not None:
            return [literal]
        key = (host, port)
        with self._lock:
            if key in self._known:
                return self._known[key]
            lookup = self._running.get(key)
            if lookup is None or lookup.error is not None:  # a failure that nobody waited for is old news
                lookup = self._running[key] = _Lookup(host, port)
        if not lookup.done.wait(deadline.left()):
            raise TimeoutError(f"the name {host} was not resolved in time")
        with self._lock:
            if self._running.get(key) is lookup:
                del self._running[key]
            if lookup.addresses:
                self._known[key] = lookup.addresses
        if lookup.error is not None or not lookup.addresses:
            raise OSError(f"the name {host} has no address: {lookup.error}") from lookup.error
        return lookup.addresses

    def forget(self, host: str, port: int) -> None:
        """Look `host` up anew next time: nothing answers at the addresses that are known."""
        with self._lock:
            self._known.pop((host, port), None)


def _literal(host: str, port: int) -> Address | None:
    """Return `host` as an address when it is written as one, so that no resolver is asked."""
    with suppress(OSError):
        socket.inet_pton(socket.AF_INET, host)
        return socket.AF_INET, (host, port)
    with suppress(OSError):
        socket.inet_pton(socket.AF_INET6, host)
        return socket.AF_INET6, (host, port, 0, 0)
    return None
