"""The watchdog device, by a FAKE one: a fifo that takes what a device is fed. No kernel watchdog is armed here."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.config.watchdog import WatchdogSection
from agent.core.leadership.timing import Timing
from agent.errors import RefusedError
from agent.host.watchdog import DeviceWatchdog, Watchdog, open_watchdog

pytestmark = pytest.mark.usefixtures("no_leaks")


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
