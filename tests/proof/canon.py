"""Two worlds that behave alike get one form: time is counted from now, numbers are named by their order.

What is dropped here must not matter to the core. `test_proof_canon.py` holds that against runs without any of it.
"""

from __future__ import annotations

from collections.abc import Mapping

from agent.core import events as ev
from agent.core.chain import ProcessId
from agent.core.records import Heartbeat, HeartbeatKey, LeaderKey, RuntimeRecord
from agent.core.state import Phase, Power, Seen, State, Tenure
from agent.core.store import Ms
from agent.core.timing import Timing, standstill
from tests.proof.copying import replace
from tests.support.world import Ask, Host, Save, Store, Wish

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
        stalled_for=min(found.stalled_for, 3),
    )


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
    if core.power in (Power.PAUSING, Power.FENCING):
        live.add(core.call)
    live.update(version for version, _ in core.guard_next)
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
        valid_until=past(record.valid_until, 1),
        stop_by=past(record.stop_by, 4),
        process=_process(record.process, pids),
    )


def _core(core: State, past, due, kept, numbers, pids) -> State:  # type: ignore[no-untyped-def] # local functions
    power, timing = core.power, core.setup.timing
    calling = power in (Power.PAUSING, Power.FENCING)
    return replace(
        core,
        phase_since=past(core.phase_since, timing.catch_up) if core.phase is Phase.ELECTED else 0,
        power_since=0,
        power_until=kept(core.power_until) if calling or power is Power.SETTLING else 0,
        power_retry=due(core.power_retry),
        pause_by=kept(core.pause_by) if core.phase is Phase.STOPPING else 0,
        resume_call=numbers.get(core.resume_call, 0),
        process=_process(core.process, pids),
        call=numbers[core.call] if calling else 0,
        head_call=numbers[core.head_call],
        head_until=kept(core.head_until),
        head_retry=due(core.head_retry),
        tenure=_tenure(core, core.tenure, past, kept) if core.tenure else None,
        request=numbers[core.request],
        retry_at=due(core.retry_at),
        numbers=len(numbers),
        seen=_seen(core.seen, past, timing),
        standing_since=past(core.standing_since, 3 * timing.rank_step),
        holdoff_until=due(core.holdoff_until),
        saving=numbers[core.saving],
        saving_what=core.saving_what if core.saving else "",
        guard_by=kept(core.guard_by),
        guard_next=tuple((numbers[version], kept(by)) for version, by in core.guard_next),
        leaving_since=past(core.leaving_since, timing.validity + timing.margin),
        wake=None if core.wake is None else kept(core.wake),
    )


def _tenure(core: State, tenure: Tenure, past, kept) -> Tenure:  # type: ignore[no-untyped-def] # local functions
    return replace(
        tenure,
        valid_until=kept(tenure.valid_until),
        sent=tuple(replace(each, at=past(each.at, core.setup.timing.validity + 1)) for each in tenure.sent),
        stop_reason="",
        gap=0,
        origin="",
        before="",
        expected=tenure.expected if core.phase is Phase.CAMPAIGNING else (0, 0),
        wait_head=tenure.wait_head if core.phase in (Phase.CAMPAIGNING, Phase.ELECTED) else None,
    )


def _seen(seen: Seen, past, timing: Timing) -> Seen:  # type: ignore[no-untyped-def] # local functions
    still = standstill(timing.validity)
    return replace(
        seen,
        words_revision=min(seen.words_revision, 1),
        leader_since=past(seen.leader_since, timing.nomination),
        heartbeat_since=past(seen.heartbeat_since, still + timing.nomination + 3 * timing.rank_step),
        heartbeat=_seen_heartbeat(seen.heartbeat),
    )


def _seen_heartbeat(found: HeartbeatKey | None) -> HeartbeatKey | None:
    """Drop the seq of a heartbeat that was only seen: the core compares seqs in answers to its own writes alone."""
    if found is None or found.record is None:
        return found
    return replace(found, record=replace(found.record, seq=0, reason=""))


# --- what hosts share: revisions, epochs, seqs -----------------------------------------------------------------------

EPOCH = 1_000
SEQ = 10_000


def of(found: Host | Store | Wish) -> frozenset[int]:
    """Return the shared numbers in a part of the world: revisions as they are, epochs and seqs moved out of the way."""
    out: set[int] = set()
    if isinstance(found, Store):
        out.add(found.revision)
        _of_leader(found.leader, out)
        _of_heartbeat(found.heartbeat, out)
    elif isinstance(found, Wish):
        _of_wish(found, out)
    else:
        _of_host(found, out)
    return frozenset(out - {0, EPOCH})


def _of_leader(found: LeaderKey | None, out: set[int]) -> None:
    if found:
        out.add(found.revision)


def _owner(name: str) -> int:
    return SEQ * (1 + ord(name[0]) - ord("a"))


def _of_record(record: Heartbeat | None, out: set[int], seq: bool = True) -> None:
    if record:
        out.add(EPOCH + record.epoch)
        if seq and record.seq:
            out.add(_owner(record.node) + record.seq)


def _of_heartbeat(found: HeartbeatKey | None, out: set[int], seq: bool = True) -> None:
    if found:
        out.add(found.revision)
        _of_record(found.record, out, seq)


def _of_wish(found: Wish, out: set[int]) -> None:
    out.update((found.leader_at or 0, found.heartbeat_at or 0))
    _of_record(found.heartbeat, out)


def _of_host(found: Host, out: set[int]) -> None:
    owner = _owner(found.name)
    for record in (found.file, *(each.record for each in found.saves)):
        if record:
            out.update((record.heartbeat_revision, record.leader_revision, EPOCH + record.epoch, owner + record.seq))
    if found.request:
        _of_wish(found.request.wish, out)
        answer = found.request.answer
        if isinstance(answer, ev.Applied):
            out.add(answer.revision)
        elif isinstance(answer, ev.Refused):
            out.add(answer.revision)
            _of_leader(answer.leader, out)
            _of_heartbeat(answer.heartbeat, out)
    core = found.core
    if core is None:
        return
    seen, tenure = core.seen, core.tenure
    out.update((seen.keys_revision, EPOCH + seen.max_epoch, EPOCH + core.ended_epoch))
    _of_leader(seen.leader, out)
    _of_heartbeat(seen.heartbeat, out, seq=False)
    if tenure:
        out.update((tenure.heartbeat_revision, tenure.leader_revision, *tenure.expected, EPOCH + tenure.epoch))
        out.update(owner + seq for seq in (tenure.seq, *(each.seq for each in tenure.sent)) if seq)


class Names(dict[int, int]):
    """New names for shared numbers. `same`: nothing changes."""

    same: bool


def names(live: frozenset[int]) -> Names:
    """Name numbers by their order. Between epochs a gap stays, as one: an epoch + 1 meets no other by chance."""
    out = Names({0: 0, EPOCH: EPOCH})
    last_old = last_new = place = 0
    for number in sorted(live):
        if number < EPOCH:
            place += 1
            out[number] = place
        elif number < SEQ:
            step = min(number - max(last_old, EPOCH), 2)
            last_old, last_new = number, max(last_new, EPOCH) + step
            out[number] = last_new
        else:
            base = number // SEQ * SEQ
            out[number] = 1 + max((new for old, new in out.items() if base < old < number), default=base)
    out.same = all(old == new for old, new in out.items())
    return out


def store(found: Store, to: Names) -> Store:
    """Rename the shared numbers of a store."""
    return replace(
        found,
        revision=to[found.revision],
        leader=_leader_to(found.leader, to),
        heartbeat=_heartbeat_to(found.heartbeat, to),
    )


def wish(found: Wish, to: Names) -> Wish:
    """Rename the shared numbers of a transaction."""
    return replace(
        found,
        leader_at=None if found.leader_at is None else to[found.leader_at],
        heartbeat_at=None if found.heartbeat_at is None else to[found.heartbeat_at],
        heartbeat=_record_to(found.heartbeat, to),
    )


def shared(found: Host, to: Names) -> Host:
    """Rename the shared numbers of a host."""
    owner = _owner(found.name)
    request = found.request
    if request:
        request = replace(request, wish=wish(request.wish, to), answer=_answer_to(request.answer, to))
    return replace(
        found,
        core=_core_to(found.core, owner, to) if found.core else None,
        file=_file_to(found.file, owner, to),
        saves=tuple(replace(each, record=_file_to(each.record, owner, to)) for each in found.saves),
        request=request,
    )


def _leader_to(found: LeaderKey | None, to: Names) -> LeaderKey | None:
    return replace(found, revision=to[found.revision]) if found else None


def _record_to(record: Heartbeat | None, to: Names, seq: bool = True) -> Heartbeat | None:
    if record is None:
        return None
    owner = _owner(record.node)
    new = to[owner + record.seq] - owner if seq and record.seq else 0
    return replace(record, epoch=to[EPOCH + record.epoch] - EPOCH, seq=new, reason="")


def _heartbeat_to(found: HeartbeatKey | None, to: Names, seq: bool = True) -> HeartbeatKey | None:
    return HeartbeatKey(_record_to(found.record, to, seq), to[found.revision]) if found else None


def _answer_to(answer: ev.Event | None, to: Names) -> ev.Event | None:
    if isinstance(answer, ev.Applied):
        return replace(answer, revision=to[answer.revision])
    if isinstance(answer, ev.Refused):
        return replace(
            answer,
            revision=to[answer.revision],
            leader=_leader_to(answer.leader, to),
            heartbeat=_heartbeat_to(answer.heartbeat, to),
        )
    return answer


def _file_to(record: RuntimeRecord | None, owner: int, to: Names) -> RuntimeRecord | None:
    if record is None:
        return None
    return replace(
        record,
        epoch=to[EPOCH + record.epoch] - EPOCH,
        seq=to[owner + record.seq] - owner,
        heartbeat_revision=to[record.heartbeat_revision],
        leader_revision=to[record.leader_revision],
    )


def _core_to(core: State, owner: int, to: Names) -> State:
    seen, tenure = core.seen, core.tenure
    if tenure:
        tenure = replace(
            tenure,
            epoch=to[EPOCH + tenure.epoch] - EPOCH,
            seq=to[owner + tenure.seq] - owner if tenure.seq else 0,
            heartbeat_revision=to[tenure.heartbeat_revision],
            leader_revision=to[tenure.leader_revision],
            sent=tuple(replace(each, seq=to[owner + each.seq] - owner) for each in tenure.sent),
            expected=(to[tenure.expected[0]], to[tenure.expected[1]]),
        )
    seen = replace(
        seen,
        keys_revision=to[seen.keys_revision],
        leader=_leader_to(seen.leader, to),
        heartbeat=_heartbeat_to(seen.heartbeat, to, seq=False),
        max_epoch=to[EPOCH + seen.max_epoch] - EPOCH,
    )
    return replace(core, tenure=tenure, seen=seen, ended_epoch=to[EPOCH + core.ended_epoch] - EPOCH)
