"""Peers: who may take over a heartbeat that names some, what a member promises, what a leader counts (R13 to R17).

A leader's V rests on what each other member may do, by each of its own heartbeats that may stand in the store. One that
stands is seen by others only after it was sent, and must stand still for its validity; and a member that has promised
takes over only E_s after it heard the beat, which it cannot have heard before that was sent. So V is the least, over
these heartbeats, of the later of the two (`bound`).
"""

from __future__ import annotations

from agent.core.leadership.actions import Exit, SendBeat, SendPromise
from agent.core.leadership.events import BeatReceived, EtcdLeaderBeside, LeaseKept, PromiseReceived, Restarting
from agent.core.leadership.state import Phase, State
from agent.core.leadership.step import Step
from agent.core.leadership.support import Sent, Told, Vote
from agent.core.leadership.timing import PeersMode, Timing, standstill
from agent.core.leadership.transitions import ACTIVE
from agent.core.model.copying import replace
from agent.core.model.peers import MOST_PEERS, Beat, Peer, Promise, Sight
from agent.core.model.records import Heartbeat
from agent.core.model.runtime_record import Listing
from agent.core.model.store import Ms

LEADERS = 4
"""Leading processes whose last number is remembered."""

# --- what a leader counts (R15, R16) ---


def listed(step: Step, record: Heartbeat, at: Ms | None) -> None:
    """Note the one heartbeat of ours that is known to stand, sent at `at`: no other may stand any more (R15).

    A write of the process before us, or one long forgotten, was sent when its list says, or at a time unknown.
    """
    state = step.state
    if not state.peered:
        return
    support, timing = step.tenure.support, state.identity.timing
    old = next((each for each in support.lists if each.peers == record.peers), None)
    validity = timing.peers_validity if record.peers else timing.validity
    if at is None:
        at, validity = (old.at, old.validity_ms) if old else (0, validity)
    step.set_tenure(support=replace(support, lists=(Listing(record.peers, validity, at),), unsaved=0))


def prolong(step: Step) -> None:
    """Prolong V to what promises and confirmations allow by now (R15); not when it is too late to use."""
    state = step.state
    if state.phase not in ACTIVE or not state.support.lists or step.now >= state.renew_deadline:
        return
    valid = _bound(state)
    if valid <= step.tenure.valid_until:
        return
    step.set_tenure(valid_until=valid)
    told = max((by for _, by in state.guard_next), default=state.guard_stops_at)
    if step.state.renew_deadline >= told + state.identity.timing.beat:
        step.save("held")


def _bound(state: State) -> Ms:
    """Return until when nobody else can take over, by any of our heartbeats that may stand (R15)."""
    may_stand = state.support.lists
    return min(max(each.at + each.validity_ms if each.at else 0, _promised(state, each)) for each in may_stand)


def _promised(state: State, each: Listing) -> Ms:
    """Return until when every node that this heartbeat names has promised not to take over; 0: not every one has."""
    votes = [state.support.vote(peer) for peer in each.peers]
    if not votes or None in votes:
        return 0
    span = min(state.identity.timing.peers_validity, each.validity_ms)  # all that binds a peer which began anew
    until = min(vote.sent for vote in votes if vote) + span
    return min(until, _lease_until(state)) if state.identity.timing.peers is PeersMode.LEASE else until


def _lease_until(state: State) -> Ms:
    """Return until when our lease lives for sure, by our clock; 0: not known."""
    return state.lease_kept[1] if state.tenure is not None and state.lease_kept[0] == state.tenure.lease else 0


def held_by_lease(state: State) -> bool:
    """Tell whether promises count no longer than V because our lease may end then (R15)."""
    tenure, mode = state.tenure, state.identity.timing.peers
    return tenure is not None and mode is PeersMode.LEASE and tenure.valid_until == _lease_until(state)


def _lease_ends(step: Step) -> bool:
    """Tell whether promises count for less than E_s, because our lease may not live as long (R15)."""
    timing = step.state.identity.timing
    return timing.peers is PeersMode.LEASE and step.at(_lease_until(step.state) - timing.peers_validity)


def plan_list(step: Step) -> bool:
    """See whether the next heartbeat has to be unlike the last; True when it cannot be sent yet (R16).

    V is capped, and the run-time file says so, before it leaves. A try of unknown outcome is sent again as it was.
    """
    state, tenure = step.state, step.tenure
    support = tenure.support
    if support.unsaved:
        return True
    if not state.peered or tenure.sent or len(support.lists) != 1:
        return False
    wanted = wanted_peers(step)
    if wanted == support.named or not step.at(state.retry_at) or not lease_for(step):
        return False
    timing = state.identity.timing
    validity = timing.peers_validity if wanted else timing.validity
    step.set_tenure(support=replace(support, lists=(*support.lists, Listing(wanted, validity, step.now))))
    step.set_tenure(valid_until=min(tenure.valid_until, _bound(step.state)))
    step.save("held")
    step.set_tenure(support=replace(step.tenure.support, unsaved=step.state.saving))
    return True


def cap_by_settings(step: Step, beyond: Ms) -> bool:
    """Cap V where the process before told longer spans than this one writes; True if it had to be (R16).

    The first confirmation shortens what stands, and the others count from it, whether its answer comes or not. Where a
    gate is required only since the restart, the others wait less `beyond` V than it needs, until they are told (R8).
    """
    timing, tenure = step.state.identity.timing, step.tenure
    lists = tuple(
        replace(each, validity_ms=min(each.validity_ms, _span(timing, each))) for each in tenure.support.lists
    )
    written = _span(timing, lists[-1]) if lists else timing.validity
    valid = min(tenure.valid_until - max(0, timing.beyond - beyond), step.now + written)
    step.set_tenure(valid_until=valid, support=replace(tenure.support, lists=lists))
    return valid < tenure.valid_until


def _span(timing: Timing, each: Listing) -> Ms:
    return timing.peers_validity if each.peers else timing.validity


def file_written(step: Step, version: int) -> None:
    """Note that the run-time file of this version was written: what it says may be sent (R16)."""
    tenure = step.state.tenure
    if tenure is not None and tenure.support.unsaved and version >= tenure.support.unsaved:
        step.set_tenure(support=replace(tenure.support, unsaved=0))


# --- whom it names (R17) ---


def wanted_peers(step: Step) -> tuple[Peer, ...]:
    """Return whom our heartbeat shall name: who is there and promises; nobody while another process is to go on."""
    state = step.state
    if not state.leads or state.restarting_since or not state.identity.host_id:
        return ()
    seen, named = state.seen, state.support.named
    there = seen.peers if seen.known else named
    if seen.leader_since > state.phase_since and not step.at(seen.leader_since + state.identity.timing.lease):
        there = tuple(sorted({*there, *named}))  # our own lease ended, and so did theirs: they report again soon
    return tuple(peer for peer in there if _nameable(step, peer))[:MOST_PEERS]


def _nameable(step: Step, peer: Peer) -> bool:
    state, timing = step.state, step.state.identity.timing
    if peer.node in state.etcd_beside or peer.node == state.identity.node:
        return False
    vote = state.support.vote(peer)
    if peer in state.support.named:
        return not step.at((vote.heard if vote else state.phase_since) + timing.steady)
    steady = vote is not None and vote.heard - vote.since >= timing.steady and step.now <= vote.heard + timing.late
    return steady and not _lease_ends(step)


def late(step: Step) -> bool:
    """Tell whether the promise of a named peer is late, or counts for less: etcd has to confirm in its place (R17)."""
    state, timing = step.state, step.state.identity.timing
    if state.support.named and _lease_ends(step):
        return True
    for peer in state.support.named:
        vote = state.support.vote(peer)
        if vote is None or step.at(vote.heard + timing.late + 1):
            return True
    return False


def confirm_within(step: Step) -> Ms:
    """Return how long a confirmation may take: while a promise is late, a second one has to fit before V - A (R17)."""
    timing = step.state.identity.timing
    return timing.request_short if late(step) else timing.request


def next_confirmation(step: Step) -> Ms:
    """Return when to confirm by etcd again: after R, or seldom while every named peer promises (R17)."""
    state, timing = step.state, step.state.identity.timing
    if not state.support.lists:
        return step.now
    known = state.support.lists[0]
    if not known.at or (state.restarting_since and known.at < state.restarting_since):
        return step.now
    if len(state.support.lists) > 1:
        return step.now
    if not state.support.named:
        return known.at + timing.renew
    return known.at + (timing.renew_short if late(step) else timing.renew_seldom)


def rule_lapsed(step: Step) -> None:
    """See whether `leader` is gone because our lease ended while promises held the lead: then it is put anew (R17).

    Nobody can take it before, for the heartbeat is ours still. While our lease may live an operator took it away.
    """
    state = step.state
    if state.phase not in ACTIVE or state.identity.timing.peers is not PeersMode.FAILSAFE:
        return
    lease, until = state.lease_kept
    gone = state.seen.leader is None and state.lost_leader and state.stands(state.seen.heartbeat)
    over = step.tenure.lapsed or lease != step.tenure.lease or step.now >= until
    step.set_tenure(lapsed=gone and over)


def lease_for(step: Step) -> bool:
    """Tell whether there is a lease to confirm on: one that lapsed is replaced by the session's next (R17)."""
    state = step.state
    if not step.tenure.lapsed:
        return True
    lease, until = state.lease_kept
    if state.lease is None or lease != state.lease or step.now >= until:
        return False
    step.set_tenure(lease=state.lease)
    return True


# --- beats and promises ---


def rule_beat(step: Step) -> None:
    """Send a beat to every member that may promise (R14)."""
    state = step.state
    if not state.peered or not state.leads or not state.identity.host_id:
        return
    nodes = sorted({peer.node for peer in (*state.seen.peers, *state.support.named)} - {state.identity.node})
    timing, support, number = state.identity.timing, step.tenure.support, state.beat_number + 1
    if not nodes or not step.at(support.beats[-1].at + timing.beat if support.beats else step.now):
        return
    beats = tuple(each for each in support.beats if each.at + timing.peers_validity > step.now)
    step.set(beat_number=number)
    step.set_tenure(support=replace(support, beats=(*beats, Sent(number, step.now))))
    beat = Beat(step.tenure.epoch, state.identity.instance, number, state.identity.node, timing.promised_short)
    step.do(SendBeat(beat, tuple(nodes)))
    step.at(step.now + timing.beat)


def promise_received(step: Step, event: PromiseReceived) -> None:
    """Count a promise for a beat of ours, from when that beat left (R15)."""
    state, promise = step.state, event.promise
    if not state.peered or state.phase not in ACTIVE:
        return
    support = step.tenure.support
    sent = next((each.at for each in support.beats if each.number == promise.number), None)
    if sent is None or (promise.epoch, promise.instance) != (step.tenure.epoch, state.identity.instance):
        return
    peer = Peer(promise.node, promise.host_id)
    old = support.vote(peer)
    gap = old is None or step.now > old.heard + state.identity.timing.late
    vote = Vote(peer, max(sent, old.sent if old else 0), step.now, step.now if gap or not old else old.since)
    others = tuple(each for each in support.votes if each.peer.node != peer.node)
    step.set_tenure(support=replace(support, votes=tuple(sorted((*others, vote), key=_by_node))[:MOST_PEERS]))
    _note(step, promise.node, promise.sight)
    prolong(step)


def _by_node(vote: Vote) -> str:
    return vote.peer.node


def _note(step: Step, node: str, sight: Sight | None) -> None:
    """Note what a member's nodeos told, if that is new. Only how long a new leader waits rests on it (R9)."""
    told = step.state.sights
    if sight is None or any(each.node == node and each.sight == sight for each in told):
        return
    others = tuple(each for each in told if each.node != node)
    step.set(sights=(Told(node, sight, step.now), *others)[:MOST_PEERS])


def beat_received(step: Step, event: BeatReceived) -> None:
    """Promise not to take over, and note it before the promise leaves; or give no answer (R14)."""
    state, beat = step.state, event.beat
    if not _may_promise(state, beat, step.now):
        return
    pledge, me = state.pledge, state.identity
    last = tuple(each for each in pledge.last if each[0] != beat.instance)[-LEADERS + 1 :]
    until = max(pledge.until, event.at + standstill(beat.validity_ms))
    last = (*last, (beat.instance, beat.number))
    step.set(pledge=replace(pledge, until=until, last=last, heard=max(pledge.heard, event.at)))
    _note(step, beat.node, beat.sight)
    step.do(SendPromise(Promise(beat.epoch, beat.instance, beat.number, me.node, me.host_id), beat.node))


def _may_promise(state: State, beat: Beat, now: Ms) -> bool:
    """Tell whether this member may promise: it cannot take over, and the sender leads as far as is known."""
    seen = state.seen
    record = seen.record
    if not state.peered or not state.identity.host_id or state.phase is not Phase.STANDBY or not seen.moved:
        return False
    if beat.to != state.identity.instance:  # recorded before this process began: nothing tells that it is old
        return False
    if not state.proven and not _held_by_promises(state, now):
        return False  # it could neither take over nor free the seat, so it must not be named (R17)
    if record is None or record.released or (record.epoch, record.node) != (beat.epoch, beat.node):
        return False
    if beat.number <= dict(state.pledge.last).get(beat.instance, 0):
        return False
    other = seen.leader is not None and seen.leader.name != beat.node and not state.void(seen.leader)
    return not other and (seen.override is None or seen.override.leader == beat.node)


def _held_by_promises(state: State, now: Ms) -> bool:
    """Tell whether a leader is held by promises alone, and ours is one: its heartbeat stands still for so long.

    Then its list cannot be changed, and nobody can take over: without our promise it would stop for nothing.
    """
    seen, timing = state.seen, state.identity.timing
    named = seen.record is not None and Peer(state.identity.node, state.identity.host_id) in seen.record.peers
    return named and now > seen.heartbeat_since + timing.renew_seldom + timing.request


# --- what else is heard ---


def lease_kept(step: Step, event: LeaseKept) -> None:
    """Note until when our lease may live, by our own clock: in `lease` promises count no longer (R15)."""
    step.set(lease_kept=(event.lease, event.until))
    prolong(step)


def etcd_leader_beside(step: Step, event: EtcdLeaderBeside) -> None:
    """Note beside whom etcd's leader runs: they are not named (R17)."""
    step.set(etcd_beside=event.nodes)


def restarting(step: Step, _event: Restarting) -> None:
    """Prepare to be replaced by the next process."""
    if not step.state.restarting_since:
        step.set(restarting_since=step.now)


def rule_restart(step: Step) -> None:
    """End for the next process to go on, once it has the long validity to start in; not later than in two requests."""
    state = step.state
    if not state.restarting_since or state.exited:
        return
    ready = state.phase in (Phase.STARTING, Phase.STANDBY)
    if state.leads:
        lists = state.support.lists
        long = len(lists) == 1 and not lists[0].peers and lists[0].at >= state.restarting_since
        ready = (long or not state.peered) and not state.guard_next
    if ready or step.at(state.restarting_since + 2 * state.identity.timing.request):
        step.set(exited=True)
        step.do(Exit(holding=True))


def heirs_of(record: Heartbeat) -> tuple[Peer, ...] | None:
    """Return who alone may take over from this heartbeat while it is held; None: anybody (R13)."""
    return tuple(sorted((*record.peers, Peer(record.node, record.host_id)))) if record.peers else None
