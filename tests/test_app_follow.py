"""The thread that follows etcd goes on whatever happens in it."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from agent import app
from agent.core.model.keys import keys
from agent.core.model.store import Snapshot
from agent.core.node.state import EtcdSeen
from agent.errors import StoreRejected


class Breaking:
    """A follower that breaks twice, with an error that no adapter is meant to raise, before it ends well."""

    def __init__(self) -> None:
        self.rounds = 0

    def snapshots(self) -> Iterator[Snapshot]:
        """Yield one snapshot a round."""
        self.rounds += 1
        yield Snapshot(self.rounds, ())
        if self.rounds < 3:
            raise OSError(22, "Invalid argument")


class Events:
    """Takes events instead of the loop."""

    def __init__(self) -> None:
        self.taken: list[object] = []

    def emit(self, event: object) -> None:
        """Keep an event."""
        self.taken.append(event)


def test_the_reader_speaks_for_itself() -> None:
    """What reading the group gives is told as the reader's own, so that the session's success cannot hide it."""
    agent, events = object.__new__(app.Agent), Events()
    agent.loop = events  # type: ignore[assignment] # stands in for the loop
    agent._etcd_failed(StoreRejected("permission_denied", "no"))
    agent._etcd_read()
    assert events.taken == [EtcdSeen("no", reader=True), EtcdSeen(reader=True)]


def test_follower_goes_on_after_a_defect(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """A node whose follower ended would see nothing any more and never lead again (P2): it is begun again, and told."""
    monkeypatch.setattr(app, "FOLLOW_AGAIN_S", 0.01)
    agent = object.__new__(app.Agent)
    broken, events = Breaking(), Events()
    agent.over = threading.Event()
    agent.names = keys("/nodeos-failover", "g")
    agent.follower = broken  # type: ignore[assignment] # stands in for the follower
    agent.loop = events  # type: ignore[assignment] # stands in for the loop
    agent._follow()
    assert len(events.taken) == 3
    assert caplog.text.count("a defect in the follower") == 2
