"""Records: whatever stands in etcd or in the run-time file, a reader gives a record or says what is wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from agent.config.base import LONGEST_S
from agent.core.model import records
from agent.core.model.chain import Block, ProcessId
from agent.core.model.fields import MAX_BYTES, NAME, RecordError
from agent.core.model.keys import keys
from agent.core.model.operator import Drain, Override, Switchover, moment, read_drain, read_override, read_switchover
from agent.core.model.records import GroupView, Heartbeat, Member, read_group, read_heartbeat, read_member, write
from agent.core.model.runtime_record import RuntimeRecord, read_runtime
from agent.core.model.store import KeyValue, Snapshot

NAMES = keys("/nodeos-failover", "lab")

Record = Heartbeat | Member | Switchover | RuntimeRecord
READERS: dict[str, Callable[[bytes], Any]] = {
    "heartbeat": read_heartbeat,
    "override": read_override,
    "switchover": read_switchover,
    "member": read_member,
    "run-time file": read_runtime,
}
HEARTBEAT = Heartbeat(7, "bp-a", "f00d", 3, 6000)
MEMBER = Member("bp-a", "f00d", "standby", True, True, (), 100, 90, 250, 100, False, "0.1.0", "v4.1.0")
RUNTIME = RuntimeRecord("boot", 41, "held", 7, "f00d", 3, 12, 11, 99, 60_000, 58_900, False, ProcessId(5, 77))
READABLE: dict[str, bytes] = {
    "heartbeat": write(HEARTBEAT),
    "override": b'{"leader": "bp-a", "reason": "why", "by": "me"}',
    "switchover": write(Switchover("bp-b")),
    "member": write(MEMBER),
    "run-time file": write(RUNTIME),
}

numbers = st.integers(0, 2**53 - 1)
names = st.from_regex(NAME, fullmatch=True)
plain = st.text(st.characters(codec="utf-8").filter(str.isprintable), max_size=12)  # a producer has 13 at most
dirty = st.text(st.characters(), max_size=60) | st.text("\x1b\ud800\U0001f600\n", min_size=240, max_size=1100)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=6,
)


def record_of(text: st.SearchStrategy[str]) -> st.SearchStrategy[Record]:
    """Return a strategy for every kind of record, with texts from `text`."""
    blocks = st.none() | st.builds(Block, numbers, text, numbers, text)
    processes = st.none() | st.builds(ProcessId, numbers, numbers)
    heartbeats = st.builds(
        Heartbeat, numbers, names, text, numbers, st.integers(1, records.LONGEST_VALIDITY), st.booleans(), blocks, text
    )
    members = st.builds(
        Member,
        names,
        text,
        text,
        st.booleans(),
        st.booleans(),
        st.lists(text, max_size=12).map(tuple),
        numbers,
        numbers,
        st.integers(-10_000, 10**12),
        numbers,
        st.booleans(),
        text,
        text,
        text,
        *[numbers, numbers, numbers, st.booleans(), text],
    )
    whens = st.sampled_from(["now", "gap", "2026-01-31T03:00:00Z", "2026-01-31 03:00:00.5+01:00"])
    wishes = st.builds(Switchover, names | st.just(""), whens, text, text, st.booleans())
    files = st.builds(
        RuntimeRecord,
        text,
        numbers,
        st.sampled_from(["held", "stopping", "stopped"]),
        *[numbers, text, numbers, numbers, numbers, st.integers(0, 2**63 - 1), numbers, numbers],
        st.booleans(),
        processes,
    )
    return st.one_of(heartbeats, members, wishes, files)


def read(record: Record, raw: bytes) -> Record:
    """Read `raw` as what `record` is."""
    kinds: dict[type, Callable[[bytes], Record]] = {
        Heartbeat: read_heartbeat,
        Member: read_member,
        Switchover: read_switchover,
        RuntimeRecord: read_runtime,
    }
    return kinds[type(record)](raw)


# --- every reader, whatever it is given ---


@pytest.mark.parametrize("kind", READERS)
@given(raw=st.binary(max_size=300) | json_values.map(lambda value: json.dumps(value).encode()))
@example(raw=b"")
@example(raw=b"null")
@example(raw=b"{}")
@example(raw=b"\xff\xfe{\x00}\x00")
@example(raw=b"[" * 60_000)
@example(raw=b'{"a":' * 10_000)
@example(raw=b"1" * 5000)
def test_any_bytes_give_a_record_or_a_record_error(kind: str, raw: bytes) -> None:
    """Whatever bytes stand in a key, a reader returns a record or raises RecordError, never anything else."""
    try:
        READERS[kind](raw)
    except RecordError as error:
        assert str(error)


@pytest.mark.parametrize("kind", READERS)
@given(data=st.data())
def test_any_field_may_be_anything(kind: str, data: st.DataObject) -> None:
    """A right record with one field of another type or size, or left out, is read or refused by name."""
    value = json.loads(READABLE[kind])
    field = data.draw(st.sampled_from(sorted(value)))
    if data.draw(st.booleans()):
        del value[field]
    else:
        value[field] = data.draw(json_values)
    try:
        READERS[kind](json.dumps(value).encode())
    except RecordError as error:
        part = {"last_block": ("num", "id", "time", "producer"), "process": ("pid", "start_ticks")}.get(field, ())
        assert str(error).startswith((field, *part))


@pytest.mark.parametrize("kind", READERS)
def test_a_value_above_the_limit_is_refused_unread(kind: str) -> None:
    """A value of more than 64 KiB is refused, whatever it holds."""
    value = json.loads(READABLE[kind]) | {"more": "x" * MAX_BYTES}
    with pytest.raises(RecordError, match=f"at most {MAX_BYTES}"):
        READERS[kind](json.dumps(value).encode())


@given(record_of(plain), st.dictionaries(st.sampled_from(["later", "version_of_2030"]), json_values))
def test_fields_of_a_later_version_are_ignored(record: Record, more: dict[str, Any]) -> None:
    """A record with fields that this version does not know is read as if they were not there."""
    assert read(record, write(record, **more)) == record


# --- what is written can be read ---


@given(record_of(plain))
def test_what_is_written_is_read_back(record: Record) -> None:
    """Every record that an agent writes is read back as it was."""
    assert read(record, write(record)) == record


@given(record_of(dirty))
def test_whatever_is_written_can_be_read_and_is_bounded(record: Record) -> None:
    """However long or odd the texts of a record are, what is written stays below the limit and is readable."""
    raw = write(record)
    assert len(raw) <= MAX_BYTES
    once = read(record, raw)
    assert read(record, write(once)) == once


def test_the_longest_member_is_bounded() -> None:
    """Hundreds of long reasons in a script of four bytes a letter do not make a member unreadable to the others."""
    long = "\U0001f600" * 5000
    member = replace(MEMBER, reasons=(long,) * 500, url=long, version=long, nodeos=long, role=long, instance=long)
    member = replace(member, plan=long)
    assert read_member(write(member)).reasons


@given(dirty)
def test_texts_can_be_shown(text: str) -> None:
    """What is read from etcd can be encoded, fits a line, and moves no cursor: it goes to logs and to terminals."""
    raw = json.dumps({"leader": "none", "reason": text}).encode()
    if len(raw) <= MAX_BYTES:
        reason = read_override(raw).reason
        assert reason.encode().decode() == reason
        assert "\n" not in reason
        assert "\x1b" not in reason


# --- single records ---


def test_a_heartbeat_says_whether_it_is_held() -> None:
    """The state of a heartbeat is a word that operators read: held or released."""
    assert json.loads(write(HEARTBEAT))["state"] == "held"
    assert json.loads(write(replace(HEARTBEAT, released=True)))["state"] == "released"


@pytest.mark.parametrize("validity", [0, -1, 600_001, 10**12, 1.5, True, None, "6000"])
def test_a_heartbeat_has_a_validity_that_an_agent_can_have(validity: object) -> None:
    """A validity of nothing (take it at once) or of ages (wait for ever) was not written by an agent (R8)."""
    value = json.loads(write(HEARTBEAT)) | {"validity_ms": validity}
    with pytest.raises(RecordError, match="validity_ms"):
        read_heartbeat(json.dumps(value).encode())


def test_the_longest_validity_is_that_of_the_configuration() -> None:
    """No agent can be configured with a longer validity than readers accept."""
    assert records.LONGEST_VALIDITY == LONGEST_S * 1000
    longest = replace(HEARTBEAT, validity_ms=records.LONGEST_VALIDITY)
    assert read_heartbeat(write(longest)) == longest


@pytest.mark.parametrize(
    ("text", "leader"),
    [("bp-b", "bp-b"), (" bp-b\n", "bp-b"), ("none", None), ('{"leader":"none"}', None), (' {"leader":"x"}\n', "x")],
)
def test_override_in_each_form(text: str, leader: str | None) -> None:
    """An override is a name, `none`, or JSON; what an editor leaves at the ends does not matter."""
    assert read_override(text.encode()).leader == leader


@pytest.mark.parametrize("text", ["", "BP-B", "bp b", "{", "{}", '{"leader":null}', '{"leader":7}', "-bp", "x" * 64])
def test_an_override_that_names_nobody_is_refused(text: str) -> None:
    """What is neither a name nor `none` is no override: it is told, not guessed."""
    with pytest.raises(RecordError):
        read_override(text.encode())


def test_an_override_keeps_reason_and_author() -> None:
    """The reason and the author of an override are read for status."""
    assert read_override(READABLE["override"]) == Override("bp-a", "why", "me")


@pytest.mark.parametrize(
    ("when", "at"),
    [("now", None), ("gap", None), ("1970-01-01T00:00:01Z", 1000), ("1970-01-01T02:00:00.250+02:00", 250)],
)
def test_a_switchover_says_when(when: str, at: int | None) -> None:
    """A wish is for now, for a gap, or for a moment with its offset from UTC."""
    assert moment(read_switchover(json.dumps({"to": "bp-b", "when": when}).encode()).when) == at


@pytest.mark.parametrize("when", ["", "soon", "03:00", "2026-01-31", "2026-01-31T03:00:00", "9999-99-99T00:00:00Z", 7])
def test_a_switchover_without_a_clear_moment_is_refused(when: object) -> None:
    """A moment that is not clear, one without an offset above all, is told and not guessed."""
    with pytest.raises(RecordError, match="when"):
        read_switchover(json.dumps({"to": "bp-b", "when": when}).encode())


def test_a_switchover_needs_no_more_than_a_node() -> None:
    """All but `to` may be left out: then it is for a gap and not forced; an empty `to` means whoever is best."""
    assert read_switchover(b'{"to":"bp-b"}') == Switchover("bp-b", "gap", "", "", force=False)
    assert read_switchover(b'{"to":""}').to == ""
    with pytest.raises(RecordError, match="to"):
        read_switchover(b'{"to":"No Name"}')


@pytest.mark.parametrize(
    ("typed", "drain"),
    [
        (b"", Drain()),
        (b"a disk\n", Drain("a disk")),
        (b'{"reason":"a disk","by":"me"}', Drain("a disk", "me")),
        (b"{a disk", Drain("{a disk")),
        (b'{"reason":7}', Drain('{"reason":7}')),
    ],
)
def test_a_drain_is_one_whatever_its_text(typed: bytes, drain: Drain) -> None:
    """A node is drained by the key alone; the reason is read as far as it can be."""
    assert read_drain(typed) == drain


@pytest.mark.parametrize("number", [True, -1, 1.0, "1", 2**53, None, [1]])
def test_numbers_are_whole_and_exact(number: object) -> None:
    """A number is a whole one that every JSON reader keeps exactly; true is not 1."""
    value = json.loads(write(HEARTBEAT)) | {"epoch": number}
    with pytest.raises(RecordError, match="epoch"):
        read_heartbeat(json.dumps(value).encode())


def test_the_guards_fields_stand_beside_the_record_untouched() -> None:
    """What the guard needs is written as it is, paths that are no UTF-8 included."""
    raw = write(RUNTIME, guard={"path": "/tmp/\udcff\n"})
    assert json.loads(raw)["guard"]["path"] == "/tmp/\udcff\n"
    assert read_runtime(raw) == RUNTIME


# --- a group ---

group_keys = st.sampled_from(
    [
        *("leader", "heartbeat", "override", "maintenance", "switchover", "members/bp-a", "members/", "history/1"),
        *("drain/bp-a", "drain/", "drain/No Name", "", "x"),
    ]
).map(lambda name: NAMES.root + name) | st.text(max_size=20)
values = st.one_of(st.binary(max_size=200), st.sampled_from(sorted(READABLE.values())), names.map(str.encode))
items = st.builds(KeyValue, group_keys, values, st.integers(1, 2**62), st.integers(0, 2**62))


def seen(**found: bytes) -> GroupView:
    """Return the view of a group with these keys; `__` stands for a slash."""
    pairs = ((NAMES.root + name.replace("__", "/").replace("_", "-"), value) for name, value in found.items())
    return read_group(NAMES, Snapshot(9, tuple(KeyValue(key, value, 5, 3) for key, value in pairs)))


@given(st.lists(items, max_size=12))
def test_a_group_is_read_whatever_stands_there(found: list[KeyValue]) -> None:
    """Reading a group never raises, and each problem is one line that begins with the key at fault."""
    view = read_group(NAMES, Snapshot(3, tuple(found)))
    assert view.revision == 3
    for problem in view.problems:
        assert problem.startswith(NAMES.root)
        assert problem.splitlines() == [problem]


@given(st.lists(items, max_size=8))
def test_leader_and_heartbeat_keep_their_revision_though_unreadable(found: list[KeyValue]) -> None:
    """A leader or a heartbeat that cannot be read is still there, with its revision: a take-over compares it (R8)."""
    view = read_group(NAMES, Snapshot(3, tuple(found)))
    last = {item.key: item for item in found}
    for key, at in ((NAMES.leader, view.leader), (NAMES.heartbeat, view.heartbeat)):
        assert (at.revision if at else None) == (last[key].mod_revision if key in last else None)


def test_a_whole_group() -> None:
    """Every key of a group is read into its place."""
    view = seen(
        leader=b"bp-a\n",
        heartbeat=write(HEARTBEAT),
        override=b"none",
        maintenance=b"a disk",
        switchover=write(Switchover("bp-b")),
        members__bp_a=write(MEMBER),
        history__1=b"{}",
        drain__bp_b=b"a disk",
    )
    assert view == GroupView(
        9,
        records.LeaderKey("bp-a", 5, 3),
        records.HeartbeatKey(HEARTBEAT, 5),
        Override(None),
        "a disk",
        Switchover("bp-b"),
        (MEMBER,),
        drains={"bp-b": Drain("a disk")},
        switchover_revision=5,
        reported={"bp-a": 5},
    )


def test_what_cannot_be_read_is_named_and_left_out() -> None:
    """Garbage in one key is told with the key, and costs the others nothing."""
    view = seen(
        leader=b"{", heartbeat=b"{", override=b"{", switchover=b"{", members__bp_b=b"{", members__bp_a=write(MEMBER)
    )
    assert sorted(problem.partition(":")[0].removeprefix(NAMES.root) for problem in view.problems) == [
        "heartbeat",
        "leader",
        "members/bp-b",
        "override",
        "switchover",
    ]
    assert view.leader == records.LeaderKey(None, 5, 3)
    assert view.heartbeat == records.HeartbeatKey(None, 5)
    assert (view.override, view.switchover) == (None, None)
    assert view.members == (MEMBER,)


def test_a_member_under_another_ones_key_is_refused() -> None:
    """A member that stands under another name's key is nobody's report."""
    view = seen(members__bp_b=write(MEMBER))
    assert not view.members
    assert "differs" in view.problems[0]


def test_a_maintenance_reason_is_one_bounded_line() -> None:
    """Whatever text is typed for maintenance, it is on, and its reason can be shown."""
    view = seen(maintenance=b"line\nline\x1b[2J\xff" + b"x" * 5000)
    assert view.maintenance is not None
    assert len(view.maintenance) <= 1000
    assert view.maintenance.isprintable()
    assert seen(maintenance=b"").maintenance == ""


def test_the_keys_of_a_group() -> None:
    """The keys are those that operators type."""
    assert keys("/nodeos-failover/", "lab") == NAMES
    root = "/nodeos-failover/lab/"
    assert [NAMES.leader, NAMES.heartbeat, NAMES.override] == [root + "leader", root + "heartbeat", root + "override"]
    assert [NAMES.maintenance, NAMES.switchover] == [root + "maintenance", root + "switchover"]
    assert [NAMES.member("bp-a"), NAMES.history(7)] == [root + "members/bp-a", root + "history/7"]
    assert [NAMES.drain("bp-a"), NAMES.answer] == [root + "drain/bp-a", root + "answer"]
