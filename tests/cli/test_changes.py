"""What each word of an operator puts into etcd, what it refuses and why, and the line of etcdctl that does the same."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from agent.cli import changes
from agent.cli.changes import LAG, Author, best, hindrances
from agent.cli.look import Look
from agent.core.model.store import Compare, Delete, Put
from agent.errors import RefusedError
from tests.cli.groups import NAMES, member, silent, snapshot, well

JOE = Author("joe@host", "upgrade")
NOBODY = Look(NAMES, snapshot(10, None), snapshot(10, None))
SICK = member("bp-b", healthy=False, reasons=("peers: 0 peers connected",))


def put(change: changes.OperatorChange) -> dict[str, Any]:
    """Return the JSON of the one value that is put."""
    (only,) = change.then
    assert isinstance(only, Put)
    found: dict[str, Any] = json.loads(only.value)
    return found


def test_a_switchover_puts_its_wish_with_who_and_why() -> None:
    """The wish names the node, the time, the author and the reason; it is only put over no other wish."""
    change = changes.switchover(well(), None, "gap", JOE, force=False)
    assert put(change) == {"to": "bp-b", "when": "gap", "by": "joe@host", "reason": "upgrade"}
    assert Compare(NAMES.switchover, 0) in change.compare
    assert change.ask


def test_the_line_of_etcdctl_does_the_same() -> None:
    """A shell takes the line apart into just the key and the value that the command puts."""
    change = changes.override_set(well(), "bp-b", Author("o'neil@host", 'say "hi" $HOME'))
    (only,) = change.then
    assert isinstance(only, Put)
    assert shlex.split(change.etcdctl()[0]) == ["etcdctl", "put", only.key, only.value.decode()]
    assert "etcdctl lease grant 60" in change.etcdctl(60)[0]
    assert changes.clear(well(override=b"none"), NAMES.override, "", "").etcdctl() == [f"etcdctl del {NAMES.override}"]


@pytest.mark.parametrize(
    ("found", "to", "why"),
    [
        (well(), "bp-a", "bp-a leads already"),
        (well(), "bp-z", r"bp-z is not among the members \(bp-a, bp-b\)"),
        (well(members__bp_b=SICK), "bp-b", "bp-b is unhealthy: peers: 0 peers"),
        (well(members__bp_b=SICK), None, "no node can take over: bp-b is unhealthy"),
        (well(members__bp_b=member("bp-b", head=50)), "bp-b", "bp-b lags 50 blocks behind"),
        (well(members__bp_b=member("bp-b", drained=True)), "bp-b", "bp-b is drained .nofailover"),
        (well(members__bp_b=member("bp-b", held_down_ms=42_000)), "bp-b", "bp-b is held down for 42 s more"),
        (well(drain__bp_b=b'{"reason":"disk","by":"ann"}'), "bp-b", r"bp-b is drained \(disk \(ann\)\)"),
        (well(maintenance=b"disk swap"), "bp-b", "maintenance is on .disk swap"),
        (well(override=b"bp-a"), "bp-b", "an override says that bp-a may lead"),
        (well(override=b"none"), "bp-b", "an override says that nobody may lead"),
        (well(switchover=b'{"to":"bp-b"}'), "bp-b", "a switchover to bp-b is under way"),
        (
            Look(NAMES, snapshot(10, None), snapshot(10, None)),
            "bp-b",
            "nobody leads, so nobody can hand over: use `failover`",
        ),
        (silent(), "bp-b", "bp-a does not confirm its lead"),
        (well(members__bp_b=None), None, "there is no other member"),
    ],
)
def test_a_switchover_that_would_fail_is_refused_with_the_reason(found: Look, to: str | None, why: str) -> None:
    """An unhealthy, lagging, drained or unknown node, and words of operators that stand against it, are named."""
    with pytest.raises(RefusedError, match=why):
        changes.switchover(found, to, "now", JOE, force=False)


@pytest.mark.parametrize(
    ("found", "risk"),
    [
        (well(members__bp_b=SICK), "may miss slots, or not produce at all"),
        (well(members__bp_b=member("bp-b", head=50)), "misses slots until it has caught up"),
        (well(drain__bp_b=b"disk"), "somebody took bp-b out on purpose"),
    ],
)
def test_force_takes_an_unfit_node_and_says_what_it_risks(found: Look, risk: str) -> None:
    """With --force the wish is put, and the risk is shown."""
    change = changes.switchover(found, "bp-b", "now", JOE, force=True)
    assert (put(change)["to"], put(change)["force"]) == ("bp-b", True)
    assert any(risk in line for line in change.risks)


@pytest.mark.parametrize(("found", "to"), [(well(), "bp-z"), (well(maintenance=b""), "bp-b"), (silent(), "bp-b")])
def test_force_does_not_do_what_cannot_work(found: Look, to: str) -> None:
    """A node without an agent, maintenance, and a silent leader cannot be forced."""
    with pytest.raises(RefusedError):
        changes.switchover(found, to, "now", JOE, force=True)


def test_the_best_node_is_the_elections() -> None:
    """R11: the lowest priority number first, then the furthest head, then the name; the unfit are left out."""
    assert best(well(members__bp_c=member("bp-c")), "bp-a") == "bp-b"
    assert best(well(members__bp_c=member("bp-c", priority=50)), "bp-a") == "bp-c"
    assert best(well(members__bp_c=member("bp-c"), members__bp_b=member("bp-b", head=90)), "bp-a") == "bp-c"
    assert best(well(members__bp_c=member("bp-c"), drain__bp_b=b""), "bp-a") == "bp-c"
    assert hindrances(well(members__bp_b=member("bp-b", head=88)), "bp-b") == []  # 12 blocks: reports are not level


def test_a_failover_asks_a_living_leader_and_names_a_successor_of_a_silent_one() -> None:
    """A leader that confirms is asked by a switchover now; else the seat is named or freed, and R8 does the rest."""
    assert put(changes.failover(well(), "bp-b", JOE, force=False))["when"] == "now"
    assert changes.failover(silent(), "bp-b", JOE, force=False).then == (Put(NAMES.leader, b"bp-b"),)
    assert changes.failover(silent(), None, JOE, force=False).then == (Delete(NAMES.leader),)
    with pytest.raises(RefusedError, match="bp-b is unhealthy"):
        changes.failover(silent(members__bp_b=SICK), "bp-b", JOE, force=False)


def test_the_unsafe_word_is_only_said_of_a_silent_leader_by_its_name() -> None:
    """`--dead` deletes the heartbeat of the very node that is named, only while it stands still, and tells the risk."""
    change = changes.failover(silent(), "bp-b", JOE, force=False, dead="bp-a")
    assert change.then == (Delete(NAMES.heartbeat), Put(NAMES.leader, b"bp-b"))
    assert change.compare == (Compare(NAMES.heartbeat, 10),)
    assert "two nodes sign at once" in change.risks[0]
    for found, dead, why in ((well(), "bp-a", "is not dead"), (silent(), "bp-b", "the heartbeat is of bp-a")):
        with pytest.raises(RefusedError, match=why):
            changes.failover(found, None, JOE, force=True, dead=dead)


def test_an_override_tells_what_it_risks() -> None:
    """`none` stops everybody; a node that is not there leads nobody. Both are asked about."""
    assert put(changes.override_set(well(), "none", JOE)) == {"leader": "none", "reason": "upgrade", "by": "joe@host"}
    assert "nobody produces" in changes.override_set(well(), "none", JOE).risks[0]
    assert "bp-z is not among the members" in changes.override_set(well(), "bp-z", JOE).risks[0]
    assert "bp-z is not among the members" in changes.override_set(well(), "bp-z", JOE).insist
    assert changes.override_set(well(), "bp-b", JOE).risks == ()
    assert not changes.override_set(well(), "none", JOE).insist
    assert not changes.override_set(well(members__bp_b=SICK), "bp-b", JOE).insist, "sick, but there"
    with pytest.raises(RefusedError, match="no node's name"):
        changes.override_set(well(), "BP B", JOE)


def test_a_drain_says_whether_the_node_hands_over() -> None:
    """Draining the leader is asked about, and says when nobody could take over."""
    standby = changes.drain(well(), "bp-b", JOE)
    assert (standby.ask, standby.risks, put(standby)["by"]) == (False, (), "joe@host")
    leader = changes.drain(well(), "bp-a", JOE)
    assert leader.ask
    assert leader.notes == ("bp-a leads: it hands over",)
    assert "it stays until one can" in changes.drain(well(members__bp_b=SICK), "bp-a", JOE).risks[0]
    with pytest.raises(RefusedError, match="check the name"):
        changes.drain(well(), "bp-z", JOE)


def test_what_is_not_there_cannot_be_cleared() -> None:
    """Clearing nothing is told, not passed over."""
    with pytest.raises(RefusedError, match="no override is on"):
        changes.clear(well(), NAMES.override, "", "no override is on")
    assert changes.clear(well(override=b"none"), NAMES.override, "", "").then == (Delete(NAMES.override),)


def test_the_readme_names_the_lag_that_is_refused() -> None:
    """OPERATING.md says from how many blocks on a node lags."""
    text = (Path(__file__).parents[2] / "deploy" / "OPERATING.md").read_text()
    assert f"more than {LAG} blocks behind" in text
