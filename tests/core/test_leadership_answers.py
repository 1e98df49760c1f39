"""What the exhaustive search found about answers that come late, twice or never; each as a small story of one agent."""

from __future__ import annotations

from dataclasses import replace

from agent.core import actions as do
from agent.core import events as ev
from agent.core.records import Heartbeat, HeartbeatKey, LeaderKey, RuntimeRecord
from agent.core.state import Phase
from tests.core.test_rules import KEYS, LEASE, NODEOS, One, T

assert KEYS


def test_candidate_cut_off_for_long_keeps_few_writes_in_mind() -> None:
    """R2: writes too old to allow anything are forgotten, or a long outage of etcd would fill the memory."""
    one = One()
    one.standby()
    one.see(leader=None, heartbeat=None)
    for _ in range(200):
        one.tell(ev.Unknown(one.request("take").request, "no answer"), T.request)
    assert one.state.tenure is not None
    assert len(one.state.tenure.sent) <= T.validity // T.request + 1
