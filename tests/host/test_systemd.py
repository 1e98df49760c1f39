"""What systemd hears, on real datagram sockets, and the watchdog device, by a FAKE one: no kernel watchdog is armed."""

from __future__ import annotations

import os
import socket
import struct
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.config.protocol import WatchdogSection
from agent.core.leadership.timing import Timing
from agent.errors import RefusedError
from agent.host.systemd import Notifier
from agent.host.watchdog import DeviceWatchdog, Watchdog, open_watchdog

pytestmark = pytest.mark.usefixtures("no_leaks")


class Systemd:
    """The other end of NOTIFY_SOCKET."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind("\0" + name[1:] if name.startswith("@") else name)
        self.socket.settimeout(2.0)

    def heard(self) -> list[str]:
        """Return the lines of the next message."""
        return self.socket.recv(4096).decode().split("\n")


@pytest.fixture(params=["path", "abstract"])
def systemd(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Systemd]:
    """Yield a systemd that listens."""
    name = str(tmp_path / "notify") if request.param == "path" else f"@nodeos-failover-{os.getpid()}-{time.time_ns()}"
    systemd = Systemd(name)
    yield systemd
    systemd.socket.close()


def test_each_word_is_one_datagram(systemd: Systemd) -> None:
    """READY, STATUS, WATCHDOG and STOPPING arrive as sd_notify(3) has them, a status on one line."""
    notifier = Notifier({"NOTIFY_SOCKET": systemd.name})
    notifier.ready("standby")
    assert systemd.heard() == ["READY=1", "STATUS=standby"]
    notifier.status("leading\nREADY=1")
    assert systemd.heard() == ["STATUS=leading READY=1"]
    notifier.watchdog()
    assert systemd.heard() == ["WATCHDOG=1"]
    notifier.stopping("standby")
    assert systemd.heard() == ["STOPPING=1", "STATUS=standby"]


def test_reloading_tells_the_time(systemd: Systemd) -> None:
    """RELOADING carries CLOCK_MONOTONIC in microseconds, as Type=notify-reload wants it."""
    before = time.monotonic_ns() // 1000
    Notifier({"NOTIFY_SOCKET": systemd.name}).reloading()
    word, stamp = systemd.heard()
    assert word == "RELOADING=1"
    assert before <= int(stamp.removeprefix("MONOTONIC_USEC=")) <= time.monotonic_ns() // 1000


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "3000000"}, 3.0),
        ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "7"}, 3.0),
        ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "8"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
    ],
)
def test_the_watchdog_is_for_one_process(tmp_path: Path, variables: dict[str, str], expected: float | None) -> None:
    """A sign of life is asked for by WATCHDOG_USEC, and only of the process that WATCHDOG_PID names."""
    assert Notifier({"NOTIFY_SOCKET": str(tmp_path / "s"), **variables}, pid=7).watchdog_s == expected


def test_without_systemd_nothing_happens() -> None:
    """Without NOTIFY_SOCKET every word goes nowhere."""
    notifier = Notifier({"WATCHDOG_USEC": "3000000"})
    notifier.ready("standby")
    notifier.watchdog()
    assert notifier.watchdog_s is None


def test_it_never_waits(systemd: Systemd, caplog: pytest.LogCaptureFixture) -> None:
    """A systemd that reads nothing, and one that is gone, hold nobody up; it is said once."""
    notifier = Notifier({"NOTIFY_SOCKET": systemd.name})
    begin = time.monotonic()
    for _ in range(2000):
        notifier.watchdog()
    assert time.monotonic() - begin < 2.0
    assert len([r for r in caplog.records if "could not be told" in r.message]) == 1
    systemd.socket.close()
    notifier.ready("standby")


class FakeDevice:
    """A fifo in the place of /dev/watchdog, and a FAKE ioctl that grants what it likes."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self.path = path
        self.asked: list[int] = []
        self.grants: int | None = None
        self.reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)

    def ioctl(self, _fd: int, _request: int, argument: bytes) -> bytes:
        """Grant a time-out."""
        self.asked.append(struct.unpack("i", argument)[0])
        return argument if self.grants is None else struct.pack("i", self.grants)

    def eaten(self) -> bytes:
        """Return what was written since last time."""
        try:
            return os.read(self.reader, 4096)
        except BlockingIOError:
            return b""


@pytest.fixture
def fake(tmp_path: Path) -> Iterator[FakeDevice]:
    """Yield a FAKE device."""
    device = FakeDevice(tmp_path / "FAKE-watchdog")
    yield device
    os.close(device.reader)


def test_it_is_armed_fed_and_disarmed(fake: FakeDevice) -> None:
    """The time-out is set, a feeding is a byte, and only an orderly end disarms it (the magic V)."""
    dog = open_watchdog("required", fake.path, 4, fake.ioctl)
    assert fake.asked == [4]
    assert dog.timeout_s == 4
    dog.feed()
    assert fake.eaten() == b"\0"
    dog.close()
    assert fake.eaten() == b"V"
    dog.close()
    assert fake.eaten() == b""


def test_off_touches_nothing(fake: FakeDevice) -> None:
    """With mode off there is a watchdog that does nothing."""
    dog = open_watchdog("off", fake.path, 4, fake.ioctl)
    assert type(dog) is Watchdog
    dog.feed()
    dog.close()
    assert fake.eaten() == b""
    assert dog.timeout_s is None


@pytest.mark.parametrize("fault", ["absent", "too long", "no watchdog"])
def test_one_that_cannot_be_used(fake: FakeDevice, caplog: pytest.LogCaptureFixture, fault: str) -> None:
    """Required refuses to start, with the remedy; automatic goes on without, and says so; nothing stays armed."""
    path = fake.path.with_name("absent") if fault == "absent" else fake.path
    fake.grants = 60 if fault == "too long" else None
    more = () if fault == "no watchdog" else (fake.ioctl,)  # a real ioctl on a fifo: not a watchdog
    with pytest.raises(RefusedError, match=r"watchdog\.mode"):
        open_watchdog("required", path, 4, *more)
    assert type(open_watchdog("automatic", path, 4, *more)) is Watchdog
    assert "going on without" in caplog.text
    assert set(fake.eaten()) <= set(b"V")


def test_a_device_that_fails_is_told_once(fake: FakeDevice, caplog: pytest.LogCaptureFixture) -> None:
    """A device that takes no food cannot be mended from here: it is said, and nothing is raised."""
    dog = DeviceWatchdog(fake.path, 4, fake.ioctl)
    fake.reader, old = os.open(os.devnull, os.O_RDONLY), fake.reader
    os.close(old)
    dog.feed()
    dog.feed()
    assert caplog.text.count("cannot be fed") == 1
    dog.close()


@pytest.mark.parametrize(
    ("timeout", "timing", "wrong"),
    [
        (4, Timing(), ""),
        (5, Timing(), "watchdog.timeout = 4 or less"),
        (1, Timing(validity=3100, election=500, lease_ttl=4), ""),
        (1, Timing(validity=2600, election=200, lease_ttl=4), "raise timing.validity"),
    ],
)
def test_its_time_out_fits_the_validity(timeout: int, timing: Timing, wrong: str) -> None:
    """A leader that is well must always be allowed to feed: T <= E - R - one request - one feeding (R3)."""
    problems = WatchdogSection(mode="required", timeout=timeout).problems(timing)
    assert bool(problems) == bool(wrong)
    assert all(wrong in text and text.startswith("watchdog.timeout is") for text in problems)
    assert not WatchdogSection(timeout=timeout).problems(timing), "off is not judged"
