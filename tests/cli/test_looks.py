"""How status, its live view, and history look at 80 and at 160 columns: compared with files, character by character.

`--rewrite` writes the files anew; look at the difference before it is kept.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console, RenderableType

from agent.cli import history
from agent.cli.status import Watched, live, table
from agent.cli.target import Target
from agent.config.sections import EtcdSection
from agent.doctor import finding
from agent.group import past
from agent.group.view import group_view
from tests.cli.groups import NAMES, beat, member, snapshot

GOLDEN = Path(__file__).parent / "golden"
TROUBLED: dict[str, bytes | None] = {
    "override": b'{"leader":"bp-a","reason":"upgrade of bp-b to Spring 1.3, see the calendar","by":"ann@office"}',
    "maintenance": b"the disks of both hosts are being replaced, no failover until 18:00 (joe@host)",
    "drain__bp_b": b'{"reason":"new disk","by":"joe@host"}',
    "members__bp_b": member(
        "bp-b",
        healthy=False,
        head=12_345_678,
        nodeos="v1.3.0-a-very-long-suffix",
        reasons=("peers: 0 peers connected, at least 1 wanted", "disk_space: 2.1 GiB (3.0 %) free"),
    ),
    "members__bp_a": member("bp-a", role="leading", head=345_678_901, url="127.0.0.1:9877"),
}
PAST: dict[str, bytes | None] = {
    "history__7": b'{"when_ms":1700000000000,"node":"bp-a","from":"","reason":"nobody holds the heartbeat"}',
    "history__8": b'{"when_ms":1700003600000,"node":"bp-b","from":"bp-a","leaderless_ms":812,"slots_missed":0,'
    b'"reason":"bp-a released it: a switchover was asked for"}',
    "audit__000001700003599000-ab12": b'{"when_ms":1700003599000,"by":"joe@host",'
    b'"did":"switchover from bp-a to bp-b, in the next gap between own windows","reason":"upgrade"}',
    "history__9": b"{garbage",
}

WINDOWS: dict[str, bytes | None] = {
    "ledger__1506556800": b'{"slots":12,"signed":12,"missed":0,"causes":{},"leader":"bp-a","epoch":7}',
    "ledger__1506557052": b'{"slots":12,"signed":9,"missed":3,'
    b'"causes":{"handover":2,"network":1},"leader":"bp-b","epoch":8}',
}


@dataclass
class Story:
    """A live view over a handover."""

    watched: Watched = field(default_factory=lambda: Watched(Target(EtcdSection(endpoints=("http://e:1",)), "eos", 1)))
    at: float = 0.0

    def look(self, revision: int, heartbeat: bytes, **other: bytes | None) -> None:
        """Take one more look, 0.3 s later."""
        self.at += 0.3
        self.watched.take(snapshot(revision, heartbeat, **other), self.at, f"13:00:{self.at:04.1f}")


def handover() -> RenderableType:
    """Return the live view when a handover has come as far as the release."""
    story = Story()
    wish = b'{"to":"bp-b","when":"gap","by":"joe@host","reason":"upgrade"}'
    story.look(10, beat(3))
    story.look(11, beat(4), switchover=wish)
    story.look(12, beat(5), switchover=wish, members__bp_a=member("bp-a", role="stopping"))
    gone = member("bp-a", role="standby")
    story.look(13, beat(6, released=True, reason="a switchover was asked for"), leader=b"bp-b", members__bp_a=gone)
    assert story.watched.data is not None
    return live(story.watched.data, story.watched.events)


def view(**other: bytes | None) -> dict[str, Any]:
    """Return the data of a group whose heartbeat moves."""
    return group_view(NAMES, snapshot(10, beat(3), **other), snapshot(11, beat(4), **other))


def looks() -> dict[str, RenderableType]:
    """Return everything that is compared."""
    return {
        "well": table(view()),
        "extended": table(view(**TROUBLED), extended=True),
        "troubled": table(view(**TROUBLED)),
        "nobody": table(group_view(NAMES, snapshot(10, None, leader=None), snapshot(10, None, leader=None))),
        "handover": handover(),
        "doctor": finding.table(
            [
                finding.ok("nodeos", "answers at http://127.0.0.1:8888, head 345678901"),
                finding.warn("etcd_rights", "anybody may write override, maintenance, keys of others", "run access.sh"),
                finding.fault(
                    "pause_on_startup",
                    "not set in /etc/nodeos/config.ini, its command line: a restart produces until the agent sees it",
                    "set pause-on-startup = true in config.ini",
                ),
                finding.unknown("supervision", "the agent's process could not be seen", "run doctor as root"),
                finding.skipped("certificates", "etcd is on this host, in plain text"),
            ]
        ),
        "windows": history.window_table(past.windows(NAMES, snapshot(11, beat(4), **WINDOWS))),
        "history": history.table(past.entries(NAMES, snapshot(11, beat(4), **PAST))),
    }


@pytest.mark.parametrize("width", [80, 160])
@pytest.mark.parametrize("name", sorted(looks()))
def test_it_looks_as_it_was_approved(name: str, width: int, request: pytest.FixtureRequest) -> None:
    """Nothing is wider than the terminal, and nothing changed unseen."""
    console = Console(width=width, color_system=None, highlight=False)
    with console.capture() as capture:
        console.print(looks()[name])
    text = "\n".join(line.rstrip() for line in capture.get().splitlines()) + "\n"
    assert max(map(len, text.splitlines())) <= width
    file = GOLDEN / f"{name}-{width}.txt"
    if request.config.getoption("--rewrite"):
        file.write_text(text)
    assert text == file.read_text()
