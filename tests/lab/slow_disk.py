"""A slow disk under a real program: each of its fsync and fdatasync calls takes longer. Only that lives here.

The program starts with a seccomp filter that makes the kernel ask us before each such call (seccomp_unotify(2), Linux
5.5 and later); we answer after a while, and the call goes on. So the program itself waits for its disk as it would for
a slow one, and nothing else does. It works with programs that take no LD_PRELOAD, as etcd, a static Go program.
"""

from __future__ import annotations

import errno
import fcntl
import os
import platform
import select
import socket
import struct
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

from tests.lab.process import Process

ACTIONS = Path("/proc/sys/kernel/seccomp/actions_avail")
RECEIVE, SEND = 0xC0502100, 0xC0182101
NOTE = 80
"""Bytes of struct seccomp_notif; the first 8 are its id."""
ANSWER = struct.Struct("=QqiI")
GO_ON = 1
PERIOD = 0.02
"""Seconds between two looks whether calls that wait may go on."""
ENTER = """
import ctypes, os, socket, struct, sys
ARCH, SYNC, DATASYNC, ALLOW, ASK = 0xC000003E, 74, 75, 0x7FFF0000, 0x7FC00000  # of x86_64
code = [(0x20, 0, 0, 4), (0x15, 0, 3, ARCH), (0x20, 0, 0, 0), (0x15, 2, 0, SYNC), (0x15, 1, 0, DATASYNC)]
code += [(0x06, 0, 0, ALLOW), (0x06, 0, 0, ASK)]
text = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *each) for each in code))
class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("code", ctypes.c_void_p)]
program = Program(len(code), ctypes.addressof(text))
libc = ctypes.CDLL(None, use_errno=True)
libc.prctl(38, 1, 0, 0, 0)  # no new privileges
for flags in (8 | 32, 8):  # a listener, and only a fatal signal interrupts a call that it was told of (Linux 5.19)
    asked = libc.syscall(317, 1, flags, ctypes.byref(program))
    if asked >= 0:
        break
else:
    sys.exit(f"no seccomp filter: {os.strerror(ctypes.get_errno())}")
with socket.socket(socket.AF_UNIX) as lab:
    lab.connect("\\0" + sys.argv[1])
    socket.send_fds(lab, [b"."], [asked])
os.close(asked)
os.execv(sys.argv[2], sys.argv[2:])
"""


def possible() -> bool:
    """Whether this kernel asks."""
    return platform.machine() == "x86_64" and ACTIONS.exists() and "user_notif" in ACTIONS.read_text()


class SlowDisk:
    """The disk of one process; make it before the process starts. It may start again and again."""

    def __init__(self, process: Process) -> None:
        self.calls = 0
        self._delay = 0.0
        self._over = False
        name = f"nodeos-failover-lab-disk-{os.getpid()}-{process.name}-{id(self)}"
        with process.place.inside():
            self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind("\0" + name)
        self._listener.listen(4)
        process.command[:0] = [sys.executable, "-I", "-S", "-c", ENTER, name]
        self._threads = [threading.Thread(target=self._accept, name=f"lab-disk-{process.name}", daemon=True)]
        self._threads[0].start()

    def slow(self, seconds: float) -> None:
        """Let each call take `seconds` longer."""
        self._delay = seconds

    def heal(self) -> None:
        """End that; calls that wait go on at once."""
        self._delay = 0.0

    def close(self) -> None:
        """End. The process has to have ended before: else its calls fail from now on."""
        self._over = True
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5.0)
        self._listener.close()

    def _accept(self) -> None:
        while not self._over:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                _, handed, _, _ = socket.recv_fds(connection, 1, 1)
            for asked in handed:
                thread = threading.Thread(target=self._serve, args=(asked,), name="lab-disk-calls", daemon=True)
                self._threads.append(thread)
                thread.start()

    def _serve(self, asked: int) -> None:
        """Let the calls of one run of the process go on, each at its time, until it has ended."""
        poll = select.poll()
        poll.register(asked, select.POLLIN)
        waiting: list[tuple[float, int]] = []
        while not self._over:
            ready = dict(poll.poll((PERIOD if waiting else 1.0) * 1000)).get(asked, 0)
            if ready & select.POLLIN:
                number = _receive(asked)
                if number is not None:
                    self.calls += 1
                    waiting.append((time.monotonic(), number))
            elif ready:
                break  # nobody is left who could call
            now, delay = time.monotonic(), self._delay
            for since, number in [each for each in waiting if each[0] + delay <= now]:
                waiting.remove((since, number))
                with suppress(OSError):  # whoever called is gone
                    fcntl.ioctl(asked, SEND, ANSWER.pack(number, 0, 0, GO_ON))
        os.close(asked)


def _receive(asked: int) -> int | None:
    """Return the number of a call that waits, None when whoever called is gone."""
    note = bytearray(NOTE)
    try:
        fcntl.ioctl(asked, RECEIVE, note)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.EINTR):
            return None
        raise
    return int(struct.unpack_from("=Q", note)[0])
