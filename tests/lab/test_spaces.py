"""Network namespaces of the lab: hosts reach each other, a cut drops one way and tells nobody, nothing stays behind."""

from __future__ import annotations

import contextlib
import itertools
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.errors import LabUnavailable
from tests.lab.process import Process
from tests.lab.slow_disk import SlowDisk, possible
from tests.lab.spaces import UDP, Spaces

PORT = 4321
SHORT = 0.5
LONG = 10.0


@pytest.fixture
def spaces(tmp_path: Path) -> Iterator[Spaces]:
    """Yield two hosts; skip where namespaces are not allowed."""
    try:
        made = Spaces(tmp_path, ["one", "two"])
    except LabUnavailable as error:
        pytest.skip(str(error))
    yield made
    made.close()


class Echo:
    """A connection from the host `one` to an echo on the host `two`."""

    def __init__(self, spaces: Spaces) -> None:
        two = spaces.places["two"]
        with two.inside():
            self._listener = socket.create_server((two.address, PORT))
        threading.Thread(target=self._serve, daemon=True).start()
        with spaces.places["one"].inside():
            self.client = socket.create_connection((two.address, PORT), timeout=LONG)
        self._numbers = itertools.count(1)

    def _serve(self) -> None:
        connection, _ = self._listener.accept()
        with connection:
            while data := connection.recv(100):
                with contextlib.suppress(OSError):
                    connection.sendall(data)

    def ask(self, limit: float = LONG) -> float:
        """Return how long an answer takes in seconds. TimeoutError when there is none."""
        began = time.monotonic()
        self.client.settimeout(limit)
        self.client.send(bytes([next(self._numbers)]))
        self.client.recv(1)
        return time.monotonic() - began

    def close(self) -> None:
        """End."""
        self.client.close()
        self._listener.close()


@pytest.fixture
def echo(spaces: Spaces) -> Iterator[Echo]:
    """Yield a connection between the two hosts."""
    made = Echo(spaces)
    yield made
    made.close()


@pytest.mark.real
@pytest.mark.parametrize(("source", "target"), [("one", "two"), ("two", "one")])
def test_cut_drops_one_way_and_the_connection_lives_on(spaces: Spaces, echo: Echo, source: str, target: str) -> None:
    """Nothing comes through, nobody is told; once it is healed what was sent arrives after all."""
    echo.ask()
    spaces.cut(source, target)
    with pytest.raises(TimeoutError):
        echo.ask(SHORT)
    spaces.heal(source, target)
    echo.client.settimeout(LONG)
    assert echo.client.recv(1)


@pytest.mark.real
def test_delay_holds_packets_back_until_it_is_healed(spaces: Spaces, echo: Echo) -> None:
    """Each packet of one way comes later by the span, none is lost; then all is as before."""
    spaces.delay("one", "two", 0.3)
    assert echo.ask() >= 0.3
    spaces.heal("one", "two")
    assert min(echo.ask() for _ in range(10)) < 0.2


@pytest.mark.real
def test_datagrams_alone_are_cut_and_seen(spaces: Spaces, echo: Echo) -> None:
    """Faults of datagrams leave connections alone; who taps a way sees each datagram, and may send it again."""
    two = spaces.places["two"]
    with two.inside():
        hears = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        hears.bind((two.address, PORT))
    with spaces.places["one"].inside():
        says = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with hears, says:
        hears.settimeout(LONG)
        spaces.cut("one", "two", UDP)
        says.sendto(b"lost", (two.address, PORT))
        echo.ask()
        spaces.heal("one", "two", UDP)
        spaces.delay("one", "two", 0.0, only=UDP, tap=lambda packet: [(0.01, packet), (0.02, packet[:-1] + b"!")])
        for packet in (b"one", b"two"):
            says.sendto(packet, (two.address, PORT))
        echo.ask()
        assert sorted(hears.recv(100) for _ in range(4)) == [b"one", b"one", b"two", b"two"]
        spaces.heal("one", "two", UDP)
        says.sendto(b"end", (two.address, PORT))
        assert hears.recv(100) == b"end", "what was changed has a checksum that is wrong"


@pytest.mark.real
def test_nothing_is_left_behind(tmp_path: Path) -> None:
    """After the end no namespace is held, and no device was made outside of them."""
    devices = sorted(Path("/sys/class/net").iterdir())
    try:
        spaces = Spaces(tmp_path, ["one", "two"])
    except LabUnavailable as error:
        pytest.skip(str(error))
    held = [place.namespace for place in spaces.places.values()]
    assert sorted(Path("/sys/class/net").iterdir()) == devices
    spaces.close()
    assert not any(Path(path).exists() for path in held)


SYNC = """
import os, sys, time
with open(sys.argv[1], "w") as file:
    for _ in range(3):
        began = time.monotonic()
        file.write(".")
        file.flush()
        os.fsync(file.fileno())
        print(f"{time.monotonic() - began:.3f}", flush=True)
"""


@pytest.mark.real
@pytest.mark.skipif(not possible(), reason="this kernel does not let us hold up an fsync")
def test_slow_disk_holds_up_each_fsync(tmp_path: Path) -> None:
    """The program waits for its disk as long as the disk is slow, and only then; it knows nothing of it."""
    process = Process("writer", ["/usr/bin/env", "python3", "-c", SYNC, tmp_path / "file"], tmp_path / "log")
    disk = SlowDisk(process)
    try:
        disk.slow(0.4)
        process.start()
        assert process.wait(LONG) == 0
        spans = [float(line) for line in (tmp_path / "log").read_text().split()]
        assert len(spans) == disk.calls == 3
        assert min(spans) >= 0.4
        disk.heal()
        process.start()
        assert process.wait(LONG) == 0
        assert min(float(line) for line in (tmp_path / "log").read_text().split()[3:]) < 0.4
    finally:
        process.close()
        disk.close()


def test_without_rights_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where namespaces are not allowed the caller may fall back to loopback, and knows why."""
    monkeypatch.setattr("tests.lab.spaces.os.geteuid", lambda: 1000)
    with pytest.raises(LabUnavailable, match="not root"):
        Spaces(tmp_path, ["one"])
    monkeypatch.undo()

    def no(*_: object, **__: object) -> subprocess.CompletedProcess[str]:
        raise subprocess.TimeoutExpired("ip", 1.0)

    monkeypatch.setattr("tests.lab.spaces.os.geteuid", lambda: 0)
    monkeypatch.setattr("tests.lab.process.subprocess.run", no)
    with pytest.raises(LabUnavailable):
        Spaces(tmp_path, ["one"])
