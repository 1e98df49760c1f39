"""The step is total: whatever stands in any key, whatever is answered in whatever order, it raises nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.core.health.checks import ProcessProbed
from agent.core.leadership import events as ev
from agent.core.leadership.state import Production
from agent.core.model.chain import ProcessId
from agent.core.model.records import GroupView, heartbeat_key, leader_key
from agent.core.model.store import Delete, KeyValue, Put, Txn
from agent.core.node.state import NodeEvent
from tests.simulation.story import NAMES, Host, Story

ODD: tuple[Any, ...] = (
    0, 1, -1, 2**52, 2**53 - 1, 2**53, 2**63, 10**400, 0.5, True, None, "", "x", "none", "bp-a", "bp-b", "held",
    "released", " ", "/", "é", [], {}, ["1:2", "9" * 50 + ":x"], "9999-12-31T23:59:59-12:00",
    "0001-01-01T00:00:00+12:00", "2999-01-01T00:00:00Z", "now", "gap")  # fmt: skip
BARE = (b"", b" ", b"/", b"{", b"null", b"[]", b"1" * 5000, b"\xff\x00", b"x" * 1_000_000, "é".encode(), b"none",
        b"bp-a", b"bp-b", b"bp-nobody")  # fmt: skip
BLOCK = {"num": 5, "id": "a", "time": 1, "producer": "x"}
BEAT = {"epoch": 1, "node": "bp-a", "instance": "i-bp-a", "seq": 1, "validity_ms": 6000, "state": "held"}
TEMPLATES: dict[str, dict[str, Any]] = {
    "heartbeat": {**BEAT, "last_block": BLOCK, "reason": ""},
    "leader": {},
    "override": {"leader": "bp-b", "reason": "", "by": ""},
    "maintenance": {},
    "switchover": {"to": "bp-b", "when": "gap", "by": "me", "reason": "", "force": False},
    "members/bp-b": {
        "node": "bp-b",
        "instance": "i",
        "healthy": True,
        "able": True,
        "head": 1,
        "asked_ms": 0,
        "own_ms": 0,
        "held_down_ms": 0,
        "priority": 1,
        "reasons": [],
        "own": [],
        "told": [],
    },
    "ledger/4242": {"slot": 4242, "slots": 12, "signed": 1, "by": {}},
    "drain/bp-a": {"reason": "", "by": ""},
}
FAR = "9999-12-31T23:59:59-12:00"
KEYS = st.sampled_from(tuple(TEMPLATES))
SPANS = st.sampled_from((1, 20, 100, 500, 1500, 6000, 12_000))


def values(key: str) -> st.SearchStrategy[bytes]:
    """Return what may stand in a key: bytes without sense, or what should stand there with fields that should not."""
    whole = TEMPLATES[key]
    odd = st.sampled_from(ODD)
    changes = st.dictionaries(st.sampled_from(tuple(whole)), odd, max_size=3) if whole else st.just({})
    made = changes.map(lambda found: json.dumps({**whole, **found}).encode())
    moments = st.just(json.dumps({**whole, "when": FAR}).encode())
    return st.one_of(st.sampled_from(BARE), made, moments if key == "switchover" else made, st.binary(max_size=20))


PUTS = KEYS.flatmap(lambda key: st.tuples(st.just("put"), st.just(key), values(key), st.booleans()))
ANSWERS = st.tuples(
    st.just("answer"),
    st.sampled_from((ev.Applied, ev.Refused, ev.Unknown, ev.Rejected)),
    st.sampled_from((0, 0, 0, -1, 1)),
    st.one_of(st.none(), values("leader")),
    st.one_of(st.none(), values("heartbeat")),
)
CALLS = st.tuples(
    st.just("call"), st.sampled_from(("pause", "resume", "fence", "closed", "unclosed", "refused", "head")),
    st.sampled_from(tuple(ev.Call)), st.sampled_from((0, 0, 1)),
)  # fmt: skip
OTHER = st.tuples(
    st.just("other"), st.sampled_from(("lease", "no lease", "gone", "other", "paused", "unpaused", "late", "saved"))
)
STEPS = st.lists(
    st.one_of(
        PUTS,
        PUTS,
        st.tuples(st.just("forge"), st.dictionaries(st.sampled_from(tuple(BEAT)), st.sampled_from(ODD), max_size=2)),
        st.tuples(st.just("forge"), st.just({"state": "released"})),
        st.tuples(st.just("delete"), KEYS),
        ANSWERS,
        CALLS,
        OTHER,
        st.tuples(st.just("pass"), SPANS),
    ),
    max_size=12,
)


class Player:
    """One agent of a story, and whatever somebody does to it."""

    def __init__(self) -> None:
        self.story = Story("bp-a")
        self.host: Host = self.story.hosts[0]
        self.host.start()

    def play(self, move: tuple[Any, ...]) -> None:
        """Do one thing."""
        getattr(self, f"_{move[0]}")(*move[1:])

    def _pass(self, span: int) -> None:
        self.story.go(span / 1000)

    def _put(self, key: str, value: bytes, leased: bool) -> None:
        lease = self.host.lease if leased and self.host.lease in self.story.etcd._leases else None
        self._write(Put(NAMES.root + key, value, lease or 0))

    def _forge(self, changes: dict[str, Any]) -> None:
        """Put the heartbeat that stands again, with other fields."""
        found = self.story.etcd.keys.get(NAMES.heartbeat)
        if found is not None and found.value.startswith(b"{") and isinstance(value := _json(found.value), dict):
            self._write(Put(NAMES.heartbeat, json.dumps({**value, **changes}).encode()))

    def _delete(self, key: str) -> None:
        self._write(Delete(NAMES.root + key))

    def _write(self, write: Put | Delete) -> None:
        self.story.etcdctl.txn(Txn((), (write,)), 1.0)

    def _answer(self, kind: type, off: int, leader: bytes | None, heartbeat: bytes | None) -> None:
        request, revision = self.host.node.leadership.request + off, self.story.etcd.revision + off
        if kind is ev.Refused:
            stood = KeyValue("", leader or b"", max(1, revision - 1)), KeyValue("", heartbeat or b"", max(1, revision))
            keys = leader_key(stood[0]) if leader is not None else None
            self.host.step(
                ev.Refused(request, revision, keys, heartbeat_key(stood[1]) if heartbeat is not None else None)
            )
        elif kind is ev.Applied:
            self.host.step(ev.Applied(request, revision))
        else:
            self.host.step(ev.Unknown(request, "?") if kind is ev.Unknown else ev.Rejected(request, off == 0, "?"))

    def _call(self, what: str, result: ev.Call, off: int) -> None:
        state = self.host.node.leadership
        epoch = state.tenure.epoch if state.tenure else 0
        events: dict[str, ev.Event] = {
            "pause": ev.PauseDone(state.call + off, result),
            "resume": ev.ResumeDone(state.resume_call + off, result),
            "fence": ev.FenceDone(state.call + off, gone=result is ev.Call.OK),
            "closed": ev.GateDone(state.gate_call + off, closed=True),
            "unclosed": ev.GateDone(state.gate_call + off, closed=False, why="?"),
            "refused": ev.GateRefused(epoch, "?"),
            "head": ev.HeadRead(state.head_call + off, None if result is ev.Call.ERROR else 2**60, "x", 1, "x"),
        }
        self.host.step(events[what])

    def _other(self, what: str) -> None:
        host, now, state = self.host, self.story.now, self.host.node.leadership
        events: dict[str, NodeEvent] = {
            "late": ev.StoreSeen(GroupView(1)),  # older than what is known
            "lease": ev.LeaseSeen(77),
            "no lease": ev.LeaseSeen(None),
            "gone": ProcessProbed(None),
            "other": ProcessProbed(ProcessId(99, now)),
            "paused": ev.PausedSeen(now, paused=True),
            "unpaused": ev.PausedSeen(now, paused=False),
            "saved": ev.RuntimeSaved(state.saving, ok=bool(now % 2), why="?"),
        }
        host.step(events[what])


def _json(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except ValueError:
        return None


@pytest.mark.timeout(300)
@settings(deadline=None, derandomize=True, max_examples=200, suppress_health_check=list(HealthCheck))
@given(st.sampled_from((0, 300, 700, 1500, 4000, 9000)), STEPS)
def test_nothing_that_stands_anywhere_or_is_answered_raises(before: int, moves: list[tuple[Any, ...]]) -> None:
    """Any bytes for any key at any phase, any answer in any order: the step gives a state, never an exception.

    And of whoever leads then it is known that nodeos produces: that is what leading means.
    """
    player = Player()
    player.story.go(before / 1000)
    for move in moves:
        player.play(move)
        player.story.go(0.03)
        state = player.host.node.leadership
        assert state.production is Production.PRODUCING or not state.leads
    player.story.go(1)
