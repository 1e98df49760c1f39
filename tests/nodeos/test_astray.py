"""Who answered: an answer of another nodeos than the one that is known is no proof, and no resume goes to it (R4, R9).

A name has several addresses, or another one by now, and a floating address moves to another host, while the nodeos that
was found goes on.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from agent.core.leadership import actions as do
from agent.core.leadership import events as ev
from agent.errors import FenceError
from agent.guard.stop import Means, Pending
from agent.host.clock import SystemClock, boot_ms
from agent.host.deadline import Deadline
from agent.net.endpoint import parse_endpoint
from agent.net.resolver import Resolver
from agent.nodeos import listener
from agent.nodeos.client import HttpNodeos
from agent.nodeos.fence import ProcessFence
from agent.runtime import calls
from tests.support.children import NODEOS, RELAY, Child, child, ident, plan, program

pytestmark = [pytest.mark.real, pytest.mark.usefixtures("no_leaks")]
NAME = "nodeos.example"
ELSEWHERE = "192.0.2.7"
"""An address of no host (RFC 5737)."""


class Stage:
    """Our nodeos at a port of 127.0.0.1, known to our fence, and whoever comes besides."""

    def __init__(self, root: Path, closing: ExitStack, monkeypatch: pytest.MonkeyPatch) -> None:
        self._root = root
        self._closing = closing
        self.addresses = ["127.0.0.1"]
        real = socket.getaddrinfo

        def look_up(host: str, port: int, **more: Any) -> Any:
            if host != NAME:
                return real(host, port, **more)
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, port)) for each in self.addresses]

        monkeypatch.setattr(socket, "getaddrinfo", look_up)
        self.ours = closing.enter_context(child(NODEOS, "honest", str(root / "ours")))
        self.url = f"http://{NAME}:{self.ours.said}"
        self.fence = ProcessFence(plan(self.url))
        assert ident(self.fence.find()) == self.ours.id

    def another(self) -> Child:
        """Start another nodeos at the same port of another address, which the name has, too, and first."""
        self.addresses.insert(0, "127.0.0.2")
        other = (NODEOS, "honest", str(self._root / "other"), "127.0.0.2", self.ours.said)
        return self._closing.enter_context(child(*other))

    def asked(self, whose: str) -> list[str]:
        """Return what one of the two was asked."""
        file = self._root / whose
        return [line.split()[0] for line in file.read_text().splitlines()] if file.exists() else []

    def client(self) -> HttpNodeos:
        """Return a client that looks the name up now."""
        return HttpNodeos(self.url, astray=self.fence.astray)

    def pause(self) -> ev.PauseDone:
        """Pause as the agent does."""
        return calls.pause(self.client(), do.PauseNodeos(1, 1000), SystemClock())

    def resume(self) -> ev.ResumeDone:
        """Resume as the agent does."""
        return calls.resume(self.client(), do.ResumeNodeos(1, 1000, boot_ms() + 1000), SystemClock())

    def means(self) -> Means:
        """Return how a guard stops it."""
        return Means(parse_endpoint(self.url), plan(self.url), 1.0, 0.0, 1.0, 0.0, 0.5)

    def pending(self) -> Pending:
        """Return the tenure that a guard has to end."""
        return Pending(7, 0, boot_ms(), False, False, self.ours.id, self.means())


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    """Yield a stage that ends with the test."""
    with ExitStack() as closing:
        yield Stage(tmp_path, closing, monkeypatch)


def test_our_own_nodeos_is_paused_and_resumed(stage: Stage) -> None:
    """Nothing speaks against the one that is known, also where a name has a second address at which nobody listens."""
    stage.addresses.insert(0, "127.0.0.2")
    assert stage.pause().result is ev.Call.OK
    assert stage.resume().result is ev.Call.OK
    assert stage.pending().stop() == "nodeos is paused"


def test_a_pause_that_another_nodeos_answered_proves_nothing(stage: Stage) -> None:
    """R4: it said ok and is paused, and ours goes on producing: the stop is not proven, for agent and guard."""
    other = stage.another()
    done = stage.pause()
    assert stage.asked("other") == ["pause"], "the name leads there"
    assert (done.result, f"pid {other.id.pid}" in done.why) == (ev.Call.ERROR, True)
    assert not stage.means().paused(stage.ours.id)
    assert stage.pending().stop() == "nodeos ended by SIGKILL"
    assert (stage.ours.alive, other.alive) == (False, True), "the one that may produce is ended"


def test_no_resume_goes_to_another_nodeos(stage: Stage) -> None:
    """R9: it was never proven stopped, and its end would not be seen."""
    stage.another()
    assert stage.resume().result is ev.Call.UNREACHABLE
    assert stage.asked("other") == []


def test_another_nodeos_does_not_take_the_place_of_one_that_lives(stage: Stage) -> None:
    """R4: the one that was found first may produce as long as it lives; then the other one is it."""
    other = stage.another()
    again = ProcessFence(plan(f"http://127.0.0.2:{stage.ours.said}"), stage.ours.id)
    with pytest.raises(FenceError, match=f"pid {stage.ours.id.pid}"):
        again.find()
    assert again.stop(0.5, 1.0) == "ended by SIGTERM"
    assert not stage.ours.alive
    assert ident(again.find()) == other.id


@pytest.mark.parametrize("listens", ["127.0.0.1", "0.0.0.0"])
def test_an_address_that_left_this_host_proves_nothing(stage: Stage, listens: str, tmp_path: Path) -> None:
    """R4: a floating address, or a name, leads to another host by now, whatever our own nodeos listens on."""
    with child(NODEOS, "honest", str(tmp_path / "any"), listens, "0") as nodeos:
        endpoint = parse_endpoint(f"http://{ELSEWHERE}:{nodeos.said}")
        names, deadline = Resolver(), Deadline(2.0)
        assert listener.listeners(endpoint, names, deadline) == []
        known = ProcessFence(plan(endpoint.url), nodeos.id)
        assert "no address of this host" in known.astray(endpoint, names, deadline)


def test_a_forwarder_speaks_neither_for_nor_against(stage: Stage, tmp_path: Path) -> None:
    """What it forwards to is known by a setting: as before."""
    with child(RELAY, "0", stage.ours.said, python=program(tmp_path, "lighttpd")) as relay:
        url = f"http://127.0.0.1:{relay.said}"
        known = ProcessFence(plan(url, executable=Path("/proc/self/exe").readlink().name), stage.ours.id)
        assert calls.pause(HttpNodeos(url, astray=known.astray), do.PauseNodeos(1, 1000), SystemClock()).result is (
            ev.Call.OK
        )
