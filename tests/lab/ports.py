"""Free TCP ports that stay ours. Only the choice and reservation of ports may live here.

A port found by binding to 0 can be lost again before the child binds it. So each port is reserved first, under a name
in the abstract Unix namespace: exclusive among all labs that share a network namespace, and released by the kernel
however this process ends. Ports lie below the ephemeral range, where no outgoing connection can take them.
"""

import random
import socket
import threading
from pathlib import Path

from tests.lab.errors import LabError

SPAN = 16_000  # ports to choose from, just below the ephemeral range
LOWEST = 2_000
EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")


class Ports:
    """Ports of 127.0.0.1, each given out once and reserved until `close`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: dict[int, socket.socket] = {}

    def take(self) -> int:
        """Reserve a free port and return it. Raises LabError when there is none left."""
        top = int(EPHEMERAL.read_text().split()[0])
        choice = range(max(LOWEST, top - SPAN), top)
        if not choice:
            raise LabError(f"no ports below the ephemeral range that {EPHEMERAL} gives: let it start above {LOWEST}")
        first = random.randrange(len(choice))
        with self._lock:
            for step in range(len(choice)):
                port = choice[(first + step) % len(choice)]
                if port not in self._held and (lock := _reserve(port)) is not None:
                    self._held[port] = lock
                    return port
        raise LabError(f"no free port between {choice.start} and {choice.stop} on 127.0.0.1: end other labs")

    def close(self) -> None:
        """Release all ports."""
        with self._lock:
            while self._held:
                self._held.popitem()[1].close()


def _reserve(port: int) -> socket.socket | None:
    """Return the lock on `port`, or None when another lab holds it or something listens there."""
    lock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        lock.bind(f"\0nodeos-failover-lab-port-{port}")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
    except OSError:
        lock.close()
        return None
    return lock
