"""What the exhaustive search found about answers that come late, twice or never; each as a small story of one agent."""

from __future__ import annotations

from agent.core import events as ev
from agent.core.records import Heartbeat, HeartbeatKey, LeaderKey, RuntimeRecord
from agent.core.state import Phase
from tests.core.test_rules import LEASE, NODEOS, One, T


def test_candidate_cut_off_for_long_keeps_few_writes_in_mind() -> None:
    """R2: writes too old to allow anything are forgotten, or a long outage of etcd would fill the memory."""
    one = One()
    one.standby()
    one.see(leader=None, heartbeat=None)
    for _ in range(200):
        one.tell(ev.Unknown(one.request("take").request, "no answer"), T.request)
    assert one.state.tenure is not None
    assert len(one.state.tenure.sent) <= T.validity // T.request + 1


def test_restarted_agent_takes_no_write_of_its_forerunner_for_its_own() -> None:
    """R2, restart: a seq that the process before had sent does not prolong V by the time of a later try."""
    one = One()
    until = one.now + T.validity - 3000
    file = RuntimeRecord("boot", 9, "held", 4, "old", 7, 30, 20, LEASE, until, until - T.margin, False, NODEOS)
    one.tell(ev.Started(file, NODEOS))
    one.save()
    request = one.request("confirm")
    # the process before sent seq 8 too, and died before its run-time file said so
    before = Heartbeat(4, "bp-a", "old", 8, T.validity)
    one.tell(ev.Refused(request.request, 32, LeaderKey("bp-a", 20, LEASE), HeartbeatKey(before, 31)), 2)
    assert one.state.tenure is not None
    assert one.state.tenure.valid_until == until
    assert one.state.phase is Phase.LEADING


def test_take_over_that_was_given_up_lends_its_epoch_to_no_other() -> None:
    """R2, R8: a try without an answer, applied after the next was rejected, does not count as a later try."""
    one = One()
    one.standby()
    one.see(leader=None, heartbeat=None)
    lost = one.request("take")
    assert one.state.tenure is not None
    epoch, seq = one.state.tenure.epoch, one.state.tenure.seq
    one.tell(ev.Unknown(lost.request, "no answer"), T.request)
    one.tell(ev.Rejected(one.request("take").request, lease_gone=False, why="no space"), 5)
    assert one.phase() is Phase.STANDBY
    one.tick(one.state.setup.backoff)
    again = one.request("take")
    # the first try was applied meanwhile: others count from then on, so this node may not count from now
    early = Heartbeat(epoch, "bp-a", "me", seq, T.validity)
    one.tell(ev.Refused(again.request, 21, LeaderKey("bp-a", 20, LEASE), HeartbeatKey(early, 20)), 5)
    assert one.phase() is Phase.STOPPING, "what was taken is released"
