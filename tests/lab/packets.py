"""Packets that come late or never: a device of the kernel's whose other end is the lab. Only that lives here."""

from __future__ import annotations

import fcntl
import heapq
import itertools
import os
import random
import select
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress

TUNSETIFF = 0x400454CA
IFF_TUN_NO_PI = 0x0001 | 0x1000
LONGEST = 65_536
ADDRESSES = slice(12, 20)
"""Source and target in the header of an IPv4 packet."""
Way = tuple[str, str]
Tap = Callable[[bytes], Iterable[tuple[float, bytes]]]
"""Sees a packet that passes, and returns others that shall come besides, each with the seconds until then."""


def open_tun(name: str) -> int:
    """Make the device `name` in this thread's network namespace; return our end of it. OSError when not allowed."""
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TUN_NO_PI))
    except OSError:
        os.close(device)
        raise
    return device


class PacketDelay:
    """Takes what the kernel sends through the device, and gives it back later. In order, whatever the delay becomes."""

    def __init__(self, device: int) -> None:
        self._device = device
        self._ways: dict[Way, tuple[float, float, Tap | None]] = {}
        self._waiting: list[tuple[float, int, bytes]] = []
        self._last: dict[Way, float] = {}
        self._order = itertools.count()
        self._rng = random.Random()
        self._wake_out, self._wake_in = socket.socketpair()
        self._over = False
        self._thread = threading.Thread(target=self._run, name="lab-packets", daemon=True)
        self._thread.start()

    def set(self, way: Way, seconds: float, lost: float, tap: Tap | None = None) -> None:
        """Let packets from one address to another wait, a share of them be lost, and `tap` see each of them."""
        self._ways[way] = seconds, lost, tap

    def close(self) -> None:
        """End; what waits is lost."""
        self._over = True
        self._wake_in.send(b".")
        self._thread.join(5.0)
        self._wake_in.close()
        self._wake_out.close()

    def _run(self) -> None:
        while not self._over:
            wait = max(0.0, self._waiting[0][0] - time.monotonic()) if self._waiting else None
            ready, _, _ = select.select([self._device, self._wake_out.fileno()], [], [], wait)
            if self._device in ready:
                self._take()
            while self._waiting and self._waiting[0][0] <= time.monotonic():
                packet = heapq.heappop(self._waiting)[2]
                with suppress(OSError):  # a packet may be lost
                    os.write(self._device, packet)

    def _take(self) -> None:
        with suppress(BlockingIOError):
            while True:
                packet = os.read(self._device, LONGEST)
                if packet[0] >> 4 != 4:
                    continue
                ends = packet[ADDRESSES]
                way = socket.inet_ntoa(ends[:4]), socket.inet_ntoa(ends[4:])
                seconds, lost, tap = self._ways.get(way, (0.0, 0.0, None))
                now = time.monotonic()
                for later, more in tap(packet) if tap is not None else ():
                    heapq.heappush(self._waiting, (now + later, next(self._order), more))
                if self._rng.random() < lost:
                    continue
                due = max(now + seconds, self._last.get(way, 0.0))
                self._last[way] = due
                heapq.heappush(self._waiting, (due, next(self._order), packet))
