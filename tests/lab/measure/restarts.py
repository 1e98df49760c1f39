"""An agent that leads is killed and started again, ever anew: how soon it beats and confirms, and whether it leads on.

A real group of two per mode of the peers, and one whose signing gates are required. The supervisor is the lab: it
starts the next agent `PAUSE_S` after the end of the one before. Seconds run from before the process is made.
"""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from signal import SIGKILL, SIGUSR2
from typing import Any

from agent.errors import StoreError
from agent.etcd.connection import EtcdOptions
from agent.etcd.store import EtcdStore
from tests.lab.agents import Agent
from tests.lab.errors import LabError
from tests.lab.figures import markdown
from tests.lab.group import ROOT, Group
from tests.lab.measure import spread
from tests.lab.wait import until

PAUSE_S = 0.1
"""What systemd (RestartSec) and the parent guard wait."""
LIMIT_S = 30.0
STEADY_S = 3.0
"""After a restart: the heartbeat names the other member again, and who takes over has done so."""
MODES: Mapping[str, Mapping[str, Any]] = {
    "off": {"peers": {"mode": "off"}},
    "lease": {"peers": {"mode": "lease"}},
    "failsafe": {"peers": {"mode": "failsafe"}},
    "gate": {"gate": {"mode": "required"}, "timing": {"slack": 0.1, "gate_close": 0.1}, "peers": {"validity": 0.9}},
}
_ALL, _IP = 3, 0x0800


@dataclass
class Restart:
    """One restart: seconds until the first beat, the first confirmation and READY; None: it did not come."""

    planned: bool
    beat: float | None = None
    confirmed: float | None = None
    ready: float | None = None
    kept: bool = False


@dataclass
class Ears:
    """What is heard of one start; each time that of the first of its kind since `begin`."""

    begin: float = 0.0
    heard: dict[str, float] = field(default_factory=dict)

    def restart(self) -> None:
        """Forget, and count from now."""
        self.heard.clear()
        self.begin = time.perf_counter()

    def note(self, what: str) -> None:
        """Take a sign."""
        self.heard.setdefault(what, time.perf_counter() - self.begin)


@contextmanager
def listening(group: Group, ears: Ears, ports: set[int]) -> Iterator[None]:
    """Hear the heartbeat in etcd and, where that is allowed, the datagrams from `ports`."""
    over = threading.Event()
    threads = [threading.Thread(target=_watch, args=(group.etcd.urls, ears, over), daemon=True)]
    with suppress(PermissionError):
        sock = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(_ALL))
        sock.bind(("lo", 0))
        sock.settimeout(0.2)
        threads.append(threading.Thread(target=_sniff, args=(sock, ears, ports, over), daemon=True))
    for each in threads:
        each.start()
    try:
        yield
    finally:
        over.set()
        for each in threads:
            each.join()


def _watch(urls: list[str], ears: Ears, over: threading.Event) -> None:
    key = f"{ROOT}heartbeat"
    store = EtcdStore(EtcdOptions(tuple(urls), probe=key))
    watch = store.watch(key, store.range(key, 5.0).revision + 1, 5.0)
    while not over.is_set():
        with suppress(StoreError):
            if watch.next(0.2) is not None:
                ears.note("confirmed")
    store.close()


def _sniff(sock: socket.socket, ears: Ears, ports: set[int], over: threading.Event) -> None:
    with sock:
        while not over.is_set():
            with suppress(TimeoutError):
                packet = sock.recv(65_536)
                at = 4 * (packet[0] & 15)
                if packet[9] == socket.IPPROTO_UDP and struct.unpack_from(">H", packet, at)[0] in ports:
                    ears.note("beat")


def restarted(root: Path, mode: str, runs: int) -> list[Restart]:
    """Restart the leader of a group `runs` times, killed and as its unit does by turns. LabError: never settled."""
    found = []
    with Group(root, apart=True, **MODES[mode]) as group, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.bind(f"{root}/notify")
        notify.settimeout(LIMIT_S)
        for agent in group.agents.values():
            agent.env["NOTIFY_SOCKET"] = f"{root}/notify"
        group.start()
        ears, ports = Ears(), set[int]()
        with listening(group, ears, ports):
            for number in range(runs):
                group.settle()
                _steady(group, mode)
                found.append(_restart(group, notify, ears, ports, planned=bool(number % 2)))
    return found


def _steady(group: Group, mode: str) -> None:
    """Wait until the heartbeat names the other member, where there are peers."""
    if mode != "off":
        until(lambda: bool(group.heartbeat().get("peers")), LIMIT_S, "a heartbeat that names the standby")


def _restart(group: Group, notify: socket.socket, ears: Ears, ports: set[int], *, planned: bool) -> Restart:
    leader: Agent = group.leader
    epoch = group.heartbeat()["epoch"]
    leader.signal(SIGUSR2 if planned else SIGKILL)
    leader.wait(LIMIT_S)
    time.sleep(PAUSE_S)
    _drain(notify)
    ports.clear()
    ports.add(leader.http_port)
    ears.restart()
    leader.start()
    while not notify.recv(4096).startswith(b"READY=1"):
        pass
    ears.note("ready")
    time.sleep(STEADY_S)
    now, heard = group.heartbeat(), ears.heard
    kept = now["epoch"] == epoch and now.get("state") != "released"
    return Restart(planned, heard.get("beat"), heard.get("confirmed"), heard.get("ready"), kept)


def _drain(sock: socket.socket) -> None:
    sock.setblocking(False)
    with suppress(BlockingIOError):
        while True:
            sock.recv(4096)
    sock.settimeout(LIMIT_S)


def table(found: Mapping[str, list[Restart]]) -> str:
    """Return the figures as Markdown: p50 / p99 / max."""
    columns: tuple[Callable[[Restart], float | None], ...] = (
        lambda each: each.beat,
        lambda each: each.confirmed,
        lambda each: each.ready,
    )
    rows = []
    for mode, runs in found.items():
        for planned in (False, True):
            some = [each for each in runs if each.planned is planned]
            if not some:
                continue
            spans = [[value for each in some if (value := get(each)) is not None] for get in columns]
            cells = [" / ".join(spread(values, 2)) if values else "-" for values in spans]
            how = "by its unit" if planned else "kill -9"
            rows.append([mode, how, f"{sum(each.kept for each in some)} of {len(some)}", *cells])
    return markdown(["mode", "restarted", "kept the lead", "first beat, s", "first confirmation, s", "READY, s"], rows)


def lost(found: Mapping[str, list[Restart]]) -> list[str]:
    """Return the modes in which a restart cost the lead."""
    return [
        f"{mode}: {sum(not each.kept for each in runs)} of {len(runs)} restarts lost the lead"
        for mode, runs in found.items()
        if not all(each.kept for each in runs)
    ]


def measured(root: Path, modes: list[str], runs: int) -> dict[str, list[Restart]]:
    """Restart in each mode. LabError for one that is unknown."""
    if unknown := sorted(set(modes) - set(MODES)):
        raise LabError(f"no such mode: {', '.join(unknown)}; there are {', '.join(MODES)}")
    return {mode: restarted(root / mode, mode, runs) for mode in modes}
