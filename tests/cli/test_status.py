"""`status`: what is read from the keys of a group, when it is called unhealthy, and how it is printed."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from agent.cli import look, target
from agent.cli.main import main
from agent.cli.status import table, verdict
from agent.config.sections import EtcdSection
from agent.core.model.store import KeyValue, Snapshot
from agent.errors import StoreUnavailable
from agent.group.view import group_view
from tests.cli.groups import NAMES, beat, member, snapshot
from tests.support.recorder import Recorder


def view(**other: bytes | None) -> dict[str, Any]:
    """Return what two looks at a group give, the heartbeat having moved on in between."""
    return group_view(NAMES, snapshot(10, beat(3), **other), snapshot(11, beat(4), **other))


def test_a_group_that_is_well_is_told_so() -> None:
    """R1: a heartbeat that moved on between two looks confirms its leader; lag is counted from the furthest head."""
    data = view()
    assert data["healthy"], data["why"]
    assert (data["leader"], data["confirmed"], data["nominated"]) == ("bp-a", True, False)
    assert data["since"] == "2023-11-14T22:13:20.000+00:00"
    assert [(each["node"], each["leads"], each["lag"]) for each in data["members"]] == [
        ("bp-a", True, 0),
        ("bp-b", False, 3),
    ]
    json.dumps(data)


@pytest.mark.parametrize(
    ("first", "second", "reason"),
    [
        (snapshot(10, beat(3)), snapshot(10, beat(3)), "bp-a has not confirmed its lead"),
        (snapshot(10, None), snapshot(10, None), "nobody leads"),
        (snapshot(10, beat(3)), snapshot(11, beat(4, released=True)), "nobody leads"),
        (snapshot(10, beat(3)), snapshot(11, beat(4), members__bp_a=None), "not among the members"),
        (
            snapshot(10, beat(3)),
            snapshot(11, beat(4), members__bp_a=member("bp-a", healthy=False, reasons=("2 peers",))),
            "bp-a leads but is unhealthy: 2 peers",
        ),
        (snapshot(10, beat(3)), snapshot(11, beat(4), leader=b"bp-b"), "the seat names bp-b, the heartbeat bp-a"),
        (snapshot(10, beat(3)), snapshot(11, beat(4), leader=b"\xff\x00"), "cannot be read"),
        (snapshot(10, beat(3)), snapshot(11, b"{"), "cannot be read"),
    ],
)
def test_a_group_that_is_not_well_says_why(first: Snapshot, second: Snapshot, reason: str) -> None:
    """Each way of not being well is a reason of its own."""
    data = group_view(NAMES, first, second)
    assert not data["healthy"]
    assert any(reason in why for why in data["why"]), data["why"]


def test_a_group_that_was_told_not_to_lead_is_well() -> None:
    """An override `none` makes the lack of a leader what the operators asked for."""
    released = beat(4, released=True)
    assert group_view(NAMES, snapshot(10, released, override=b"none"), snapshot(10, released, override=b"none"))[
        "healthy"
    ]


@given(st.binary(max_size=30), st.binary(max_size=30), st.binary(max_size=30))
def test_whatever_stands_in_the_keys_can_be_shown(leader: bytes, heartbeat: bytes, history: bytes) -> None:
    """No value that somebody put by hand makes the view or the table fail."""
    words = {"leader": leader, "history__7": history, "override": leader, "maintenance": heartbeat}
    data = group_view(NAMES, snapshot(10, beat(7), **words), snapshot(11, heartbeat, **words))
    Console(width=200, file=None, quiet=True).print(table(data))
    json.dumps(data)


def test_what_is_not_known_is_not_a_number() -> None:
    """An agent without a nodeos knows no head: no lag of all blocks and no age of zero; no age is below zero."""
    data = view(members__bp_b=member("bp-b", head=0, lib=0, head_age_ms=0, healthy=False, nodeos=""))
    row = data["members"][1]
    assert (row["head"], row["lag"], row["head_age"], row["irreversible"]) == (None, None, None, None)
    assert re.search(r"bp-b +standby +unhealthy +- +- +- ", printed(data))
    assert "lag=0;" in verdict(data)[1]
    early = view(members__bp_b=member("bp-b", head_age_ms=-400))
    assert early["members"][1]["head_age"] == 0.0


def test_only_who_holds_the_heartbeat_leads() -> None:
    """A killed leader's last report says `leading` for as long as its lease lives: it was."""
    new = {"leader": b"bp-b", "members__bp_b": member("bp-b", role="leading")}
    first, second = (snapshot(10 + at, beat(at, node="bp-b", epoch=8), **new) for at in (1, 2))
    lines = printed(group_view(NAMES, first, second)).splitlines()
    assert [line.split("  ")[1] for line in lines if line.startswith("bp-")] == ["was leading", "leading"]


def test_words_that_end_by_themselves_say_when() -> None:
    """An override or a maintenance that hangs on a lease is told with the seconds that are left."""
    items = {"override": b'{"leader":"bp-a","by":"joe"}', "maintenance": b"disks"}

    def leased(found: Snapshot) -> Snapshot:
        return replace(
            found, items=tuple(replace(each, lease=7 * each.key.endswith(tuple(items))) for each in found.items)
        )

    first, second = leased(snapshot(10, beat(3), **items)), leased(snapshot(11, beat(4), **items))
    text = printed(group_view(NAMES, first, second, {7: 42.0}))
    assert "override: only bp-a may lead (joe), ends by itself in 42 s" in text
    assert "maintenance: disks, ends by itself in 42 s" in text
    assert "ends by itself" not in printed(view(**items))


def printed(data: dict[str, Any]) -> str:
    """Return the table as text."""
    console = Console(width=200)
    with console.capture() as capture:
        console.print(table(data))
    return capture.get()


def test_the_table_shows_leader_words_of_operators_and_faults() -> None:
    """Who leads, since when, override, maintenance and what is wrong; markup in a text is text."""
    text = printed(
        view(
            override=b'{"leader":"bp-a","reason":"upgrade [bold]","by":"joe"}',
            maintenance=b"disk swap",
            members__bp_b=member("bp-b", healthy=False, reasons=("no peers [/red]",), drained=True),
        )
    )
    for part in (
        "eos: bp-a leads epoch 7 since 2023-11-14 22:13:20 UTC",
        "override: only bp-a may lead (upgrade [bold], joe)",
        "disk swap",
    ):
        assert part in text
    assert "no peers [/red]" in text
    assert "standby, drained" in text


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Run `status` against a list of snapshots."""
    monkeypatch.setattr(target, "LOOK_FOR_S", 0.05)
    monkeypatch.setattr(look, "EVERY_S", 0.01)

    def invoke(answers: list[Snapshot], *arguments: str) -> tuple[int, str]:
        store = Recorder({"range": list(answers)})
        monkeypatch.setattr(target, "open_store", lambda section: store)
        result = CliRunner().invoke(main, ["status", "--etcd", "http://127.0.0.1:1", "--group", "eos", *arguments])
        assert store.names[-1:] == ["close"] or result.exit_code == 2
        return result.exit_code, result.stdout

    yield invoke


def test_status_exits_with_0_or_8(run: Any) -> None:
    """0 when the group is well, 8 when its heartbeat stands still; the JSON has the same data."""
    code, text = run([snapshot(10, beat(3)), snapshot(10, beat(3)), snapshot(11, beat(4))], "-f", "json")
    assert code == 0
    assert json.loads(text) == view()
    code, text = run([snapshot(10, beat(3))], "-f", "table")
    assert code == 8
    assert "has not confirmed" in text


def test_status_without_etcd_exits_with_4(monkeypatch: pytest.MonkeyPatch) -> None:
    """An unreachable etcd is a message and exit code 4."""
    dead = StoreUnavailable("etcd at http://127.0.0.1:1: nothing listens there")
    monkeypatch.setattr(target, "open_store", lambda section: Recorder({"range": dead}))
    result = CliRunner().invoke(main, ["status", "--etcd", "http://127.0.0.1:1", "--group", "eos"])
    assert result.exit_code == 4
    assert "nothing listens there" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "text"),
    [
        (["--etcd", "http://127.0.0.1:1", "--config", "/nowhere"], 3, "or name --etcd and --group"),
        (["--etcd", "http://a:1/x", "--group", "eos"], 3, "has a path"),
        (["--etcd", "http://a:1", "--group", "eos", "--prefix", "x"], 3, "is no key prefix"),
        (["--config", "/nope"], 3, "cannot read /nope"),
    ],
)
def test_status_refuses_what_it_cannot_use(arguments: list[str], code: int, text: str) -> None:
    """Usage and configuration errors have their own exit codes."""
    result = CliRunner().invoke(main, ["status", *arguments])
    assert result.exit_code == code
    assert text in result.stderr


def below(found: Snapshot, group: str) -> tuple[KeyValue, ...]:
    """Return the same keys, of another group."""
    return tuple(replace(item, key=item.key.replace("/eos/", f"/{group}/")) for item in found.items)


def test_all_groups_below_the_prefix_stand_in_one_table(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """`--all`: one row each, what is wrong said; keys of no group are none; exit code 8 unless all are well."""
    monkeypatch.delenv("COLUMNS", raising=False)  # a worker of pytest has one, and folds rows by it
    first, second = snapshot(10, beat(3)), snapshot(11, beat(4))
    dead, none = snapshot(10, beat(3, node="bp-x")), snapshot(10, None, leader=None)
    stray = (KeyValue("/nodeos-failover/stray", b"x", 1), KeyValue("/nodeos-failover/NO NAME/leader", b"x", 1))
    rest = (*below(dead, "wax"), *below(none, "telos"), *stray)
    answers = [Snapshot(10, (*first.items, *rest)), Snapshot(11, (*second.items, *rest))]
    code, text = run(answers, "--all")
    rows = {line.split()[0]: line for line in text.splitlines()[1:]}
    assert (code, list(rows)) == (8, ["eos", "telos", "wax"])
    assert re.match(r"eos +bp-a +7 +2023-11-14 22:13:20 +2/2 +ok$", rows["eos"])
    assert re.match(r"telos +- +- +- +2/2 +nobody leads", rows["telos"])
    assert "bp-x has not confirmed its lead while we looked" in rows["wax"]
    code, text = run([first, second], "--all", "-f", "json")
    assert (code, [each["group"] for each in json.loads(text)["groups"]]) == (0, ["eos"])
    assert run([Snapshot(1, ())], "--all")[1].split() == [
        "group",
        "leader",
        "epoch",
        "since",
        "(UTC)",
        "healthy",
        "state",
        "none",
    ]
    assert run([first], "--all", "-W")[0] == 2


def test_who_saw_a_leader_die_is_not_told_that_it_lives() -> None:
    """A report of a second ago suffices for `status`, not for `failover`: there only what moves in between counts."""
    now = time.time_ns() // 1_000_000
    found = snapshot(10, beat(3), members__bp_a=member("bp-a", role="leading", asked_ms=now))
    there = target.Target(EtcdSection(endpoints=("http://e:1",)), "eos", 1.0, look_for=0.05)
    store: Any = Recorder({"range": found})
    assert look.look(store, there).confirmed
    assert not look.look(store, there, moving=True).confirmed
