"""Two worlds that behave alike get one form: time is counted from now, numbers are named by their order.

What is dropped here must not matter to the core. `test_proof_canon.py` holds that against runs without any of it.
"""

from __future__ import annotations

from collections.abc import Mapping

from agent.core.leadership import events as ev
from agent.core.leadership.campaign import FREEING_RANKS
from agent.core.leadership.state import GateState, Phase, Production, State, StoreView, Tenure
from agent.core.leadership.support import Support, Vote
from agent.core.leadership.timing import Timing, standstill
from agent.core.leadership.transitions import ACTIVE
from agent.core.model.chain import ProcessId
from agent.core.model.copying import replace
from agent.core.model.records import HeartbeatKey, LeaderKey
from agent.core.model.runtime_record import RuntimeRecord
from agent.core.model.store import Ms
from tests.proof.gate import SignGate
from tests.proof.world import Ask, Host, Save

SEEN: Ms = 12
"""So long ago is long ago enough for all that peers count."""
BASE: Ms = 100
"""The present, in every canonical world."""


# --- what belongs to one host: time, numbers of calls, processes ---


def host(found: Host) -> Host:
    """Return a host in the form that all hosts which behave alike share."""
    shift = found.clock - BASE

    def past(when: Ms, span: Ms) -> Ms:
        """Keep a moment in the past, as long as rules that count `span` from it can tell it from an older one."""
        return max(when - shift, BASE - span) if when else 0

    def due(when: Ms) -> Ms:
        return when - shift if when and when - shift > BASE else 0

    def kept(when: Ms) -> Ms:
        return max(when - shift, BASE) if when else 0

    pids = _pids(found)
    numbers = _numbers(found)
    core = found.core
    return replace(
        found,
        clock=BASE,
        core=_core(core, past, due, kept, numbers, pids) if core else None,
        nodeos=replace(
            found.nodeos, pid=pids[found.nodeos.pid], quiet_at=due(found.nodeos.quiet_at), rogue=_rogue(found)
        ),
        file=_file(found.file, past, pids),
        saves=tuple(
            Save(numbers.get(each.version, 0), _file(each.record, past, pids), kept(each.due), each.slow)
            for each in found.saves
        ),
        asks=tuple(
            sorted(
                (
                    Ask(each.kind, numbers.get(each.number, 0), kept(each.due), each.slow, each.acted)
                    for each in found.asks
                ),
                key=lambda each: (each.kind, each.number, each.due, each.slow, each.acted),
            )
        ),
        request=replace(
            found.request,
            number=numbers[found.request.number],
            due=kept(found.request.due),
            answer=_answer(found.request.answer, numbers),
        )
        if found.request
        else None,
        inbox=tuple(replace(each, came=past(each.came, SEEN)) for each in found.inbox),
        stalled_for=min(found.stalled_for, 3),
        gate=_gate(found.gate, past, due, kept) if found.gate else None,
    )


def _gate(gate: SignGate, past, due, kept) -> SignGate:  # type: ignore[no-untyped-def] # local functions
    until = kept(gate.until) if gate.torn else due(gate.until)
    return replace(gate, until=until, since=past(gate.since, 1))


def _rogue(found: Host) -> bool:
    return found.nodeos.rogue and found.nodeos.signs(found.clock)


def _answer(answer: ev.Event | None, numbers: Mapping[int, int]) -> ev.Event | None:
    if isinstance(answer, ev.Applied | ev.Refused | ev.Rejected):
        return replace(answer, request=numbers[answer.request])
    return answer


def _numbers(found: Host) -> dict[int, int]:
    """Name the numbers that the core still waits for; an answer that it does not wait for has number 0."""
    core = found.core
    if core is None:
        return {}
    live = {core.request, core.head_call, core.saving, 0}
    if any(each.number == core.resume_call for each in found.asks):
        live.add(core.resume_call)
    if core.production in (Production.PAUSING, Production.FENCING):
        live.add(core.call)
    if core.gate is GateState.CLOSING:
        live.add(core.gate_call)
    live.update(version for version, _ in core.guard_next)
    live.add(core.support.unsaved)
    if found.request:
        live.add(found.request.number)
    return {number: place for place, number in enumerate(sorted(live))}


def _pids(found: Host) -> dict[int, int]:
    live = {found.nodeos.pid, 0}
    records = [found.file, *(each.record for each in found.saves)]
    for process in (found.core.process if found.core else None, *(each.process for each in records if each)):
        if process:
            live.add(process.pid)
    return {pid: place for place, pid in enumerate(sorted(live))}


def _process(process: ProcessId | None, pids: Mapping[int, int]) -> ProcessId | None:
    return ProcessId(pids[process.pid], 0) if process else None


def _file(record: RuntimeRecord | None, past, pids) -> RuntimeRecord | None:  # type: ignore[no-untyped-def] # local
    if record is None:
        return None
    return replace(
        record,
        lists=tuple(replace(each, at=past(each.at, SEEN)) for each in record.lists if record.state == "held"),
        valid_until=past(record.valid_until, 1),
        stop_by=past(record.stop_by, 4),
        process=_process(record.process, pids),
    )


def _core(core: State, past, due, kept, numbers, pids) -> State:  # type: ignore[no-untyped-def] # local functions
    production, timing = core.production, core.identity.timing
    calling = production in (Production.PAUSING, Production.FENCING)
    return replace(
        core,
        phase_since=_phase_since(core, past),
        production_since=0,
        production_until=kept(core.production_until)
        if calling or production in (Production.SETTLING, Production.FOUND)
        else 0,
        pause_retry_at=due(core.pause_retry_at),
        gate_since=past(core.gate_since, timing.block) if core.phase is Phase.STOPPING else 0,
        gate_until=past(core.gate_until, timing.slack),
        gate_call=numbers[core.gate_call] if core.gate is GateState.CLOSING else 0,
        gate_by=kept(core.gate_by) if core.gate is GateState.CLOSING else 0,
        gate_retry=due(core.gate_retry),
        pause_by=kept(core.pause_by) if core.phase is Phase.STOPPING else 0,
        resume_call=numbers.get(core.resume_call, 0),
        process=_process(core.process, pids),
        call=numbers[core.call] if calling else 0,
        head_call=numbers[core.head_call],
        head_until=kept(core.head_until) if core.head_call or core.phase is Phase.STOPPING else 0,
        head_retry=due(core.head_retry),
        tenure=_tenure(core, core.tenure, past, kept, numbers) if core.tenure else None,
        request=numbers[core.request],
        floor=core.floor if core.request else 0,
        retry_at=due(core.retry_at),
        pause=0,  # R is one tick, and a tenth of it is none
        numbers=len(numbers),
        seen=_seen(core, past, due),
        eligible_since=past(core.eligible_since, core.eligibility.rank * timing.rank_step),
        holdoff_until=due(core.holdoff_until),
        clear_at=due(core.clear_at),
        saving=numbers[core.saving],
        saving_what=core.saving_what if core.saving else "",
        guard_stops_at=kept(core.guard_stops_at) if core.phase in ACTIVE else 0,
        guard_next=tuple((numbers[version], kept(by)) for version, by in core.guard_next),
        resume_delayed_until=due(core.resume_delayed_until),
        pledge=replace(core.pledge, until=due(core.pledge.until), heard=0),  # no rule rests on it
        restarting_since=past(core.restarting_since, SEEN),
        leaving_since=past(core.leaving_since, timing.validity + timing.margin),
        wake=None if core.wake is None else kept(core.wake),
    )


def _tenure(core: State, tenure: Tenure, past, kept, numbers) -> Tenure:  # type: ignore[no-untyped-def] # local functions
    return replace(
        tenure,
        valid_until=kept(tenure.valid_until),
        sent=tuple(replace(each, at=past(each.at, core.identity.timing.validity + 1)) for each in tenure.sent),
        stop_reason="",
        gap=0,
        origin="",
        before="",
        support=_support(core, tenure.support, past, kept, numbers),
        expected=_expected(core, tenure),
        wait_head=tenure.wait_head if core.phase in (Phase.CAMPAIGNING, Phase.ELECTED) else None,
    )


def _phase_since(core: State, past) -> Ms:  # type: ignore[no-untyped-def] # a local function
    timing = core.identity.timing
    leading = core.phase is Phase.LEADING and core.peered
    span = timing.catch_up if core.phase is Phase.ELECTED else timing.steady if leading else 0
    since: Ms = past(core.phase_since, span) if span else 0
    return since


def _support(core: State, found: Support, past, kept, numbers) -> Support:  # type: ignore[no-untyped-def] # local functions
    """Keep what a leader that may yet go on counts with; nothing of one that has begun to stop."""
    if core.phase not in (*ACTIVE, Phase.CAMPAIGNING):
        return Support()
    timing = core.identity.timing
    return replace(
        found,
        lists=tuple(replace(each, at=past(each.at, SEEN)) for each in found.lists),
        unsaved=numbers[found.unsaved],
        beats=tuple(replace(each, at=past(each.at, timing.peers_validity)) for each in found.beats),
        votes=tuple(_vote(each, timing, past) for each in found.votes),
    )


def _vote(found: Vote, timing: Timing, past) -> Vote:  # type: ignore[no-untyped-def] # a local function
    heard = past(found.heard, timing.steady + 1)
    since = max(past(found.since, SEEN), heard - timing.steady)
    return replace(found, sent=past(found.sent, timing.peers_validity), heard=heard, since=since)


def _expected(core: State, tenure: Tenure) -> tuple[LeaderKey | None, HeartbeatKey | None]:
    leader, heartbeat = tenure.expected
    return (leader, _seen_heartbeat(heartbeat)) if core.phase is Phase.CAMPAIGNING else (None, None)


def _seen(core: State, past, due) -> StoreView:  # type: ignore[no-untyped-def] # local functions
    seen = core.seen
    leader_since, heartbeat_since = _sights(core, past)
    barred_until = due(seen.barred_until)
    return replace(
        seen,
        words_revision=min(seen.words_revision, 1),
        leader_since=leader_since,
        heartbeat_since=heartbeat_since,
        heartbeat=_seen_heartbeat(seen.heartbeat),
        answered=0,  # whoever reads now asks later
        barred_until=barred_until,
    )


def _sights(core: State, past) -> tuple[Ms, Ms]:  # type: ignore[no-untyped-def] # a local function
    """Return since when the keys stand, as far as R8 and R10 ask: the seat is free some time after the later of two.

    Each moment is set anew when its key changes, so one that does not count now never will.
    """
    seen, timing = core.seen, core.identity.timing
    free = seen.heartbeat is None or (core.released and not core.doubted)
    old = core.doubted or (seen.at_first and (core.peered or seen.keyed))
    free_after = 0 if free else standstill(core.forgotten if old else timing.promised)
    rank = core.eligibility.rank * timing.rank_step
    silent = replace(core, seen=replace(seen, override=None, maintenance=None))  # words that bar a name may end
    kept_for_another = silent.seat_at(0) > 0
    if core.peered:  # one that frees the seat waits longer, whoever it is kept for
        free_after += FREEING_RANKS * timing.rank_step
        return past(seen.leader_since, timing.nomination), past(
            seen.heartbeat_since, free_after + timing.nomination + rank
        )
    if not kept_for_another:
        return 0, past(seen.heartbeat_since, free_after + rank)
    if seen.leader_since > seen.heartbeat_since + free_after:
        return past(seen.leader_since, timing.nomination), past(seen.heartbeat_since, rank) if rank else 0
    return 0, past(seen.heartbeat_since, free_after + timing.nomination + rank)


def _seen_heartbeat(found: HeartbeatKey | None) -> HeartbeatKey | None:
    """Drop what is for people."""
    if found is None or found.record is None:
        return found
    return HeartbeatKey(replace(found.record, reason=""), found.revision)
