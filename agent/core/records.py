"""The JSON that stands in etcd and in the run-time file: strict readers and writers, and nothing else.

Whatever somebody wrote there, a reader gives a record or raises RecordError with the field at fault; sizes are bounded.
Only `leader`, `override` and `maintenance` are meant to be typed by hand, so they are plain text
(or, for `override`, JSON).
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from typing import Any

from agent.core.chain import Block, ProcessId
from agent.core.store import KeyValue, Ms, Snapshot

MAX_BYTES = 64 * 1024
MAX_NUMBER = 2**53
"""The largest whole number that every JSON reader keeps exactly."""
NAME = re.compile(r"[a-z0-9][a-z0-9.-]{0,62}")
NOBODY = "none"
"""The word of an operator for: nobody may lead."""


class RecordError(ValueError):
    """A value that can not be read; the text names the field and what was expected."""


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """What safety rests on: who holds the right to produce, and for how long after each confirmation (R1)."""

    epoch: int
    node: str
    instance: str
    seq: int
    validity_ms: Ms
    released: bool = False
    last_block: Block | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Override:
    """An operator's override: `leader` may lead and nobody else; None: nobody may."""

    leader: str | None
    reason: str = ""
    by: str = ""


@dataclass(frozen=True, slots=True)
class Switchover:
    """A wish, consumed once: hand over to `to`. `when` is `now` or a word that a later version knows."""

    to: str
    when: str = "now"
    by: str = ""


@dataclass(frozen=True, slots=True)
class Member:
    """How one agent is. `head_age_ms` is the age of its head at the time of writing; `drained`: it must not lead."""

    node: str
    instance: str
    role: str
    healthy: bool
    able: bool
    reasons: tuple[str, ...]
    head: int
    lib: int
    head_age_ms: Ms
    priority: int
    drained: bool
    version: str
    nodeos: str
    url: str = ""


@dataclass(frozen=True, slots=True)
class RuntimeRecord:
    """The run-time file of a tenure: what a restarted agent needs, and what the guard acts on.

    Times are CLOCK_BOOTTIME. `state` is `held`, `stopping` or `stopped`. `resume_open`: a resume may be
    under way unanswered.
    """

    boot_id: str
    agent_pid: int
    state: str
    epoch: int
    instance: str
    seq: int
    heartbeat_revision: int
    leader_revision: int
    lease: int
    valid_until: Ms
    stop_by: Ms
    resume_open: bool
    process: ProcessId | None


def keys(prefix: str, group: str) -> Keys:
    """Return the names of all keys of `group`."""
    return Keys(f"{prefix.rstrip('/')}/{group}/")


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of one group, all below `root`."""

    root: str

    @property
    def leader(self) -> str:
        """The name of the elected node, plain text; operators may put or delete it."""
        return self.root + "leader"

    @property
    def heartbeat(self) -> str:
        """The confirmation of the leader (R1); it stays when everything else goes."""
        return self.root + "heartbeat"

    @property
    def override(self) -> str:
        """The operators' override."""
        return self.root + "override"

    @property
    def maintenance(self) -> str:
        """The operators' reason why agents shall change nothing."""
        return self.root + "maintenance"

    @property
    def switchover(self) -> str:
        """A wish to hand over, consumed once."""
        return self.root + "switchover"

    def member(self, node: str) -> str:
        """How `node` is, on its session lease."""
        return f"{self.root}members/{node}"

    def history(self, epoch: int) -> str:
        """Return the key of the record of one change of leader."""
        return f"{self.root}history/{epoch}"


def _object(raw: bytes, what: str) -> dict[str, Any]:
    if len(raw) > MAX_BYTES:
        raise RecordError(f"{what}: {len(raw)} bytes, at most {MAX_BYTES} are read")
    try:
        value = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise RecordError(f"{what}: not JSON") from error
    if not isinstance(value, dict):
        raise RecordError(f"{what}: expected a JSON object")
    return value


def _number(value: dict[str, Any], name: str, default: int | None = None) -> int:
    found = value.get(name, default)
    if isinstance(found, bool) or not isinstance(found, int) or not 0 <= found < MAX_NUMBER:
        raise RecordError(f"{name}: expected a whole number from 0")
    return found


def _text(value: dict[str, Any], name: str, default: str | None = None, limit: int = 1000) -> str:
    found = value.get(name, default)
    if not isinstance(found, str):
        raise RecordError(f"{name}: expected text")
    return found[:limit]


def _flag(value: dict[str, Any], name: str, default: bool | None = None) -> bool:
    found = value.get(name, default)
    if not isinstance(found, bool):
        raise RecordError(f"{name}: expected true or false")
    return found


def _name(text: str, what: str) -> str:
    if not NAME.fullmatch(text):
        raise RecordError(f"{what}: expected a node's name (a-z, 0-9, dot, hyphen; at most 63)")
    return text


def write(record: Heartbeat | Member | Switchover | RuntimeRecord, **more: object) -> bytes:
    """Return a record as JSON, with `more` fields beside it. A heartbeat says `state`: `held` or `released`."""
    fields: dict[str, object] = asdict(record)
    if isinstance(record, Heartbeat):
        fields["state"] = "released" if fields.pop("released") else "held"
    return json.dumps(fields | more, separators=(",", ":")).encode()


def read_heartbeat(raw: bytes) -> Heartbeat:
    """Read a heartbeat."""
    value = _object(raw, "heartbeat")
    state = _text(value, "state")
    if state not in ("held", "released"):
        raise RecordError("state: expected held or released")
    block = value.get("last_block")
    if block is not None:
        if not isinstance(block, dict):
            raise RecordError("last_block: expected an object")
        block = Block(_number(block, "num"), _text(block, "id"), _number(block, "time"), _text(block, "producer"))
    return Heartbeat(
        _number(value, "epoch"),
        _name(_text(value, "node"), "node"),
        _text(value, "instance"),
        _number(value, "seq"),
        _number(value, "validity_ms"),
        state == "released",
        block,
        _text(value, "reason", ""),
    )


def read_override(raw: bytes) -> Override:
    """Read an override: a node's name, `none`, or JSON {leader, reason, by}."""
    text = raw.decode(errors="replace").strip()
    if not text.startswith("{"):
        return Override(None if text == NOBODY else _name(text, "override"))
    value = _object(raw, "override")
    leader = _text(value, "leader")
    who = None if leader == NOBODY else _name(leader, "leader")
    return Override(who, _text(value, "reason", ""), _text(value, "by", ""))


def read_switchover(raw: bytes) -> Switchover:
    """Read a switchover wish."""
    value = _object(raw, "switchover")
    return Switchover(_name(_text(value, "to"), "to"), _text(value, "when", "now"), _text(value, "by", ""))


def read_member(raw: bytes) -> Member:
    """Read how one agent is."""
    value = _object(raw, "member")
    reasons = value.get("reasons", [])
    if not isinstance(reasons, list) or not all(isinstance(each, str) for each in reasons):
        raise RecordError("reasons: expected a list of texts")
    age = value.get("head_age_ms", 0)
    if isinstance(age, bool) or not isinstance(age, int) or abs(age) >= MAX_NUMBER:
        raise RecordError("head_age_ms: expected a whole number")
    return Member(
        _name(_text(value, "node"), "node"),
        _text(value, "instance"),
        _text(value, "role", "", 40),
        _flag(value, "healthy"),
        _flag(value, "able", False),
        tuple(each[:300] for each in reasons[:30]),
        _number(value, "head", 0),
        _number(value, "lib", 0),
        age,
        _number(value, "priority", 100),
        _flag(value, "drained", False),
        _text(value, "version", "", 100),
        _text(value, "nodeos", "", 100),
        _text(value, "url", "", 300),
    )


def read_runtime(raw: bytes) -> RuntimeRecord:
    """Read the run-time file."""
    value = _object(raw, "run-time file")
    state = _text(value, "state")
    if state not in ("held", "stopping", "stopped"):
        raise RecordError("state: expected held, stopping or stopped")
    process = value.get("process")
    if process is not None:
        if not isinstance(process, dict):
            raise RecordError("process: expected an object")
        process = ProcessId(_number(process, "pid"), _number(process, "start_ticks"))
    return RuntimeRecord(
        boot_id=_text(value, "boot_id"),
        agent_pid=_number(value, "agent_pid"),
        state=state,
        epoch=_number(value, "epoch"),
        instance=_text(value, "instance"),
        seq=_number(value, "seq"),
        heartbeat_revision=_number(value, "heartbeat_revision"),
        leader_revision=_number(value, "leader_revision"),
        lease=_lease(value),
        valid_until=_number(value, "valid_until"),
        stop_by=_number(value, "stop_by"),
        resume_open=_flag(value, "resume_open"),
        process=process,
    )


def _lease(value: dict[str, Any]) -> int:
    found = value.get("lease")
    if isinstance(found, bool) or not isinstance(found, int) or not 0 <= found < 2**63:
        raise RecordError("lease: expected a lease id")
    return found


# --- the keys of a group, read together -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class LeaderKey:
    """The key `leader`. `name` is None when its value is no node's name. `lease` 0: put by hand (R10)."""

    name: str | None
    revision: int
    lease: int = 0


@dataclass(frozen=True, slots=True)
class HeartbeatKey:
    """The key `heartbeat`. `record` is None when its value can not be read."""

    record: Heartbeat | None
    revision: int


@dataclass(frozen=True, slots=True)
class GroupView:
    """All keys of a group at one revision. `problems` has a line for each value that could not be read."""

    revision: int
    leader: LeaderKey | None = None
    heartbeat: HeartbeatKey | None = None
    override: Override | None = None
    maintenance: str | None = None
    switchover: Switchover | None = None
    members: tuple[Member, ...] = ()
    problems: tuple[str, ...] = ()


def leader_key(item: KeyValue) -> LeaderKey:
    """Read the key `leader`, whatever stands there."""
    text = item.value.decode(errors="replace").strip()
    return LeaderKey(text if NAME.fullmatch(text) else None, item.mod_revision, item.lease)


def heartbeat_key(item: KeyValue) -> HeartbeatKey:
    """Read the key `heartbeat`, whatever stands there."""
    try:
        return HeartbeatKey(read_heartbeat(item.value), item.mod_revision)
    except RecordError:
        return HeartbeatKey(None, item.mod_revision)


def read_group(names: Keys, snapshot: Snapshot) -> GroupView:
    """Read a snapshot of a group's prefix. What can not be read is left out and named in `problems`."""
    found: dict[str, Any] = {}
    members: list[Member] = []
    problems: list[str] = []
    for item in snapshot.items:
        try:
            if item.key == names.leader:
                found["leader"] = leader_key(item)
                if found["leader"].name is None:
                    raise RecordError("expected a node's name; put one, or delete the key")  # noqa: TRY301 - one place reports
            elif item.key == names.heartbeat:
                found["heartbeat"] = heartbeat_key(item)
                read_heartbeat(item.value)
            elif item.key == names.override:
                found["override"] = read_override(item.value)
            elif item.key == names.maintenance:
                found["maintenance"] = item.value.decode(errors="replace")[:1000]
            elif item.key == names.switchover:
                found["switchover"] = read_switchover(item.value)
            elif item.key.startswith(names.root + "members/"):
                member = read_member(item.value)
                if item.key != names.member(member.node):
                    raise RecordError("node: differs from the key's name")  # noqa: TRY301 - one place reports
                members.append(member)
        except RecordError as error:
            problems.append(f"{item.key}: {error}")
    return GroupView(snapshot.revision, members=tuple(members), problems=tuple(problems), **found)
