"""What systemd hears, on real datagram sockets, one of them abstract."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.host.systemd import Notifier

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
