"""The numbers that hosts share: revisions, epochs, seqs. Worlds that differ by their size alone get one form.

The core only compares them, and counts an epoch or a seq up by one: so their order says all, but for a gap between
two epochs, which stays one.
"""

from __future__ import annotations

from agent.core.leadership import events as ev
from agent.core.leadership.state import State
from agent.core.leadership.support import Support
from agent.core.model.copying import replace
from agent.core.model.records import Heartbeat, HeartbeatKey, LeaderKey
from agent.core.model.runtime_record import RuntimeRecord
from tests.proof.world import Host, Letter, Store, Wish

EPOCH = 1_000
SEQ = 10_000
BEAT = 10 * SEQ
GAPS = -1
"""Stands among the numbers of a store that has gone back: there a revision may be met again, so gaps between stay."""


def of(found: Host | Store | Wish) -> frozenset[int]:
    """Return the shared numbers in a part of the world: revisions as they are, epochs and seqs moved out of the way."""
    out: set[int] = set()
    if isinstance(found, Store):
        _of_store(found, out)
    elif isinstance(found, Wish):
        _of_wish(found, out)
    else:
        _of_host(found, out)
    return frozenset(out - {0, EPOCH})


def _of_store(found: Store, out: set[int]) -> None:
    out.add(found.revision)
    _of_leader(found.leader, out)
    _of_heartbeat(found.heartbeat, out)
    if found.snapshot:
        _of_store(found.snapshot, out)
    if found.forgot:
        out.add(GAPS)


def _of_leader(found: LeaderKey | None, out: set[int]) -> None:
    if found:
        out.add(found.revision)


def _owner(name: str) -> int:
    return SEQ * (1 + ord(name[0]) - ord("a"))


def _of_record(record: Heartbeat | None, out: set[int]) -> None:
    if record:
        out.add(EPOCH + record.epoch)
        if record.seq:
            out.add(_owner(record.node) + record.seq)


def _of_heartbeat(found: HeartbeatKey | None, out: set[int]) -> None:
    if found:
        out.add(found.revision)
        _of_record(found.record, out)


def _of_wish(found: Wish, out: set[int]) -> None:
    out.update((found.leader_at or 0, found.heartbeat_at or 0))
    _of_record(found.heartbeat, out)
    _of_record(found.heartbeat_was, out)


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
    for letter in found.inbox:
        _of_letter(letter, out)
    core = found.core
    if core is None:
        return
    seen, tenure = core.seen, core.tenure
    out.update(_beats(instance) + number for instance, number in core.pledge.last)
    if core.beat_number:
        out.add(_beats(found.name) + core.beat_number)
    out.update(_beats(found.name) + each.number for each in core.support.beats)
    out.update((seen.keys_revision, seen.least, core.floor, EPOCH + seen.max_epoch, EPOCH + core.ended_epoch))
    _of_leader(seen.leader, out)
    _of_heartbeat(seen.heartbeat, out)
    if tenure:
        out.update((tenure.heartbeat_revision, tenure.leader_revision, EPOCH + tenure.epoch))
        _of_leader(tenure.expected[0], out)
        _of_heartbeat(tenure.expected[1], out)
        out.update(owner + seq for seq in (tenure.seq, *(each.number for each in tenure.sent)) if seq)


def _beats(instance: str) -> int:
    return BEAT + _owner(instance)


def _of_letter(letter: Letter, out: set[int]) -> None:
    out.add(EPOCH + letter.said.epoch)
    out.add(_beats(letter.said.instance) + letter.said.number)


class Names(dict[int, int]):
    """New names for shared numbers. `same`: nothing changes."""

    same: bool


def names(live: frozenset[int]) -> Names:
    """Name numbers by their order. Between epochs a gap stays, as one: an epoch + 1 meets no other by chance."""
    out = Names({0: 0, EPOCH: EPOCH, GAPS: GAPS})
    last_old = last_new = place = before = 0
    for number in sorted(live - {GAPS}):
        if number < EPOCH:
            place += min(number - before, 2) if GAPS in live else 1
            before = number
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


def renamed(part: Host | Store | Wish, to: Names) -> Host | Store | Wish:
    """Rename the shared numbers of a part."""
    if isinstance(part, Host):
        return _host(part, to)
    return _store(part, to) if isinstance(part, Store) else _wish(part, to)


def _store(found: Store, to: Names) -> Store:
    return replace(
        found,
        revision=to[found.revision],
        leader=_leader_to(found.leader, to),
        heartbeat=_heartbeat_to(found.heartbeat, to),
        snapshot=_store(found.snapshot, to) if found.snapshot else None,
    )


def _wish(found: Wish, to: Names) -> Wish:
    return replace(
        found,
        leader_at=None if found.leader_at is None else to[found.leader_at],
        heartbeat_at=None if found.heartbeat_at is None else to[found.heartbeat_at],
        heartbeat=_record_to(found.heartbeat, to),
        heartbeat_was=_record_to(found.heartbeat_was, to),
    )


def _host(found: Host, to: Names) -> Host:
    owner = _owner(found.name)
    request = found.request
    inbox = tuple(sorted((_letter_to(each, to) for each in found.inbox), key=repr))
    if request:
        request = replace(request, wish=_wish(request.wish, to), answer=_answer_to(request.answer, to))
    return replace(
        found,
        core=_core_to(found.core, owner, to) if found.core else None,
        file=_file_to(found.file, owner, to),
        saves=tuple(replace(each, record=_file_to(each.record, owner, to)) for each in found.saves),
        request=request,
        inbox=inbox,
    )


def _letter_to(letter: Letter, to: Names) -> Letter:
    said, base = letter.said, _beats(letter.said.instance)
    number = to[base + said.number] - base
    return replace(letter, said=replace(said, epoch=to[EPOCH + said.epoch] - EPOCH, number=number))


def _leader_to(found: LeaderKey | None, to: Names) -> LeaderKey | None:
    return replace(found, revision=to[found.revision]) if found else None


def _record_to(record: Heartbeat | None, to: Names) -> Heartbeat | None:
    if record is None:
        return None
    owner = _owner(record.node)
    new = to[owner + record.seq] - owner if record.seq else 0
    return replace(record, epoch=to[EPOCH + record.epoch] - EPOCH, seq=new, reason="")


def _heartbeat_to(found: HeartbeatKey | None, to: Names) -> HeartbeatKey | None:
    return HeartbeatKey(_record_to(found.record, to), to[found.revision]) if found else None


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
            sent=tuple(replace(each, number=to[owner + each.number] - owner) for each in tenure.sent),
            expected=(_leader_to(tenure.expected[0], to), _heartbeat_to(tenure.expected[1], to)),
            support=_support_to(tenure.support, owner + BEAT, to),
        )
    seen = replace(
        seen,
        keys_revision=to[seen.keys_revision],
        least=to[seen.least],
        leader=_leader_to(seen.leader, to),
        heartbeat=_heartbeat_to(seen.heartbeat, to),
        max_epoch=to[EPOCH + seen.max_epoch] - EPOCH,
    )
    last = tuple((each, to[_beats(each) + number] - _beats(each)) for each, number in core.pledge.last)
    return replace(
        core,
        tenure=tenure,
        seen=seen,
        floor=to[core.floor],
        ended_epoch=to[EPOCH + core.ended_epoch] - EPOCH,
        pledge=replace(core.pledge, last=last),
        beat_number=to[owner + BEAT + core.beat_number] - owner - BEAT if core.beat_number else 0,
    )


def _support_to(support: Support, base: int, to: Names) -> Support:
    return replace(support, beats=tuple(replace(each, number=to[base + each.number] - base) for each in support.beats))
