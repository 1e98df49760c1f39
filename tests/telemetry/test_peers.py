"""What confirms a leader, as page and metrics tell it (R15)."""

from __future__ import annotations

from typing import Any

import pytest

from agent.core.leadership import events as ev
from agent.core.leadership.state import Identity, Phase, State, Tenure
from agent.core.leadership.support import Support, Vote
from agent.core.leadership.timing import PeersMode, Timing
from agent.core.model.keys import keys
from agent.core.model.peers import Beat, Peer, Promise
from agent.core.model.runtime_record import Listing
from agent.core.model.store import Ms
from agent.telemetry.metrics import Metrics
from agent.telemetry.peers import Confirmation, confirmation
from tests.support.recorder import Recorder

PEER = Peer("bp-b", "host-b")
IDENTITY = Identity("bp-a", "i", keys("/nodeos-failover", "eos"), timing=Timing(peers=PeersMode.LEASE))


def leader(valid_until: Ms, etcd_at: Ms, promised: Ms | None) -> State:
    """Return a leader that etcd confirmed at one time, and a peer's promise at another."""
    votes = () if promised is None else (Vote(PEER, promised, promised, 0),)
    support = Support(lists=(Listing((PEER,), 2000, etcd_at),), votes=votes)
    tenure = Tenure(1, "i", 1, 7, valid_until=valid_until, support=support)
    return State(IDENTITY, phase=Phase.LEADING, tenure=tenure)


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        (leader(12_000, 10_000, 10_500), Confirmation("peers", {"etcd": 1000, "peers": 1500})),
        (leader(12_000, 10_500, 10_000), Confirmation("etcd", {"etcd": 1500, "peers": 1000})),
        (leader(12_000, 10_500, None), Confirmation("etcd", {"etcd": 1500, "peers": 0})),
        (leader(12_000, 1, 10_500), Confirmation("peers", {"etcd": 0, "peers": 1500})),
        (leader(11_000, 10_000, 10_500), None),
        (State(IDENTITY), None),
    ],
)
def test_what_confirms_a_leader_is_what_does_so_for_longest(state: State, expected: Confirmation | None) -> None:
    """Each source by itself, and none once the confirmation is over."""
    assert confirmation(state, 11_000) == expected


def test_promises_are_counted_by_what_came_of_them() -> None:
    """A beat that was answered, one that was not, and a promise that was heard."""
    clock: Any = Recorder({"boot": 0, "wall": 0})
    snapshot: Any = Recorder()
    metrics = Metrics("eos", "bp-a", clock, snapshot)
    metrics.promised()
    metrics.stepped(ev.BeatReceived(Beat(1, "i", 1, "bp-b", 2000), 0), 0)
    metrics.stepped(ev.BeatReceived(Beat(1, "i", 2, "bp-b", 2000), 0), 0)
    metrics.stepped(ev.PromiseReceived(Promise(1, "i", 1, "bp-b", "h"), 0), 0)
    counts = {values[0]: found[0] for values, found in metrics._promises.told().items()}
    assert counts == {"given": 1, "withheld": 1, "heard": 1}
