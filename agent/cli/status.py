"""`status` and `check`: two looks at the keys of a group, then a table, JSON, YAML, or one line for Nagios and its kin.

`status --all` shows every group below the prefix; with -W the table of one lives.
"""

from __future__ import annotations

import os
import ssl
import time
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from agent.cli.look import look, looks
from agent.cli.options import UNHEALTHY, as_data, console, form_option, grid, show
from agent.cli.target import Chosen, Target, choosing_options, groups, resolve
from agent.core.model.keys import Keys, keys
from agent.core.model.store import Snapshot
from agent.errors import FailoverError, StoreError
from agent.group.handover import STEPS, changes, progress
from agent.group.view import group_view
from agent.net.endpoint import Endpoint, here
from agent.net.http import call
from agent.net.tls import tls_context
from agent.ports import Store
from agent.run import read_config


def overview(store: Store, target: Target) -> dict[str, Any]:
    """Return what is known of all groups below the prefix, each as `group_view` has it, from two looks at all keys."""
    prefix = target.section.prefix

    def read() -> dict[Keys, Snapshot]:
        found = groups(prefix, store.range(f"{prefix}/", target.timeout))
        return {keys(prefix, group): each for group, each in found.items()}

    views = [each.data() for each in looks(read, target.look_for).values()]
    return {"prefix": prefix, "healthy": all(each["healthy"] for each in views), "groups": views}


def overview_table(data: dict[str, Any]) -> Table:
    """Return one row for each group: who leads, how many members are well, and what is wrong first."""
    rows = grid("group", "leader", "epoch", "since (UTC)", "healthy", "state", folds={"state"})
    for each in data["groups"]:
        heartbeat, members = each["heartbeat"], each["members"]
        held = heartbeat is not None and heartbeat["state"] == "held"
        well = sum(member["healthy"] for member in members)
        state = [*each["why"], *each["warnings"]]
        style = "red" if each["why"] else "yellow" if state else "green"
        rows.add_row(
            Text(each["group"]),
            Text(heartbeat["node"] if held else "-"),
            str(heartbeat["epoch"]) if heartbeat else "-",
            (each["since"] or "-")[:19].replace("T", " ") if held else "-",
            f"{well}/{len(members)}",
            Text("; ".join(state) or "ok", style=style),
        )
    if not data["groups"]:
        rows.add_row(Text("none"))
    return rows


_MEMBERS = ("node", "role", "health", "head", "lag", "age", "prio")
_DETAILS = ("node", "irreversible", "agent", "nodeos", "http")
UNSEEN = ("no healthy standby", "agents of several versions")
"""Warnings that no other line tells."""
LATEST = 12
"""Changes that the live view keeps in sight."""


def table(data: dict[str, Any], *, extended: bool = False) -> Group:
    """Return the group for the eyes: who leads, words of operators, the members, then what is wrong."""
    lines: list[Text | Table] = [_headline(data), *_words(data), _members(data)]
    if extended:
        lines += [Text(""), _details(data), Text(_heartbeat(data), style="dim")]
    lines += [Text(f"{member['node']}: {why}") for member in data["members"] for why in member["reasons"]]
    lines += [Text(f"! {reason}", style="bold red") for reason in data["why"]]
    lines += [Text(f"! {each}", style="yellow") for each in data["warnings"] if each in UNSEEN]
    return Group(*lines)


def live(data: dict[str, Any], events: list[str], *, extended: bool = False) -> Group:
    """Return the same with the latest changes below, newest last; for a view that is drawn again and again."""
    return Group(table(data, extended=extended), Text(""), *(Text(line, style="dim") for line in events[-LATEST:]))


def _headline(data: dict[str, Any]) -> Text:
    heartbeat, group = data["heartbeat"], data["group"]
    if heartbeat is None:
        return Text(f"{group}: nobody has ever led", style="bold")
    if heartbeat["state"] == "released":
        reason = f" ({heartbeat['reason']})" if heartbeat["reason"] else ""
        return Text(f"{group}: nobody leads; {heartbeat['node']} released epoch {heartbeat['epoch']}{reason}")
    since = f" since {datetime.fromisoformat(data['since']):%Y-%m-%d %H:%M:%S} UTC" if data["since"] else ""
    by = f", with {', '.join(peers)} as witness" if (peers := heartbeat["peers"]) else ""
    return Text(f"{group}: {heartbeat['node']} leads epoch {heartbeat['epoch']}{since}{by}", style="bold")


def _words(data: dict[str, Any]) -> list[Text]:
    """Return what operators have said and is in force, and how far a handover is."""
    lines = []
    if data["override"]:
        who = f"only {data['override']['leader']}" if data["override"]["leader"] else "nobody"
        about = ", ".join(text for text in (data["override"]["reason"], data["override"]["by"]) if text)
        said = f"override: {who} may lead" + (f" ({about})" if about else "") + _ends(data["override"]["left"])
        lines.append(Text(said, style="bold yellow"))
    if data["maintenance"] is not None:
        said = f"maintenance: {data['maintenance'] or 'no reason given'}" + _ends(data["maintenance_left"])
        lines.append(Text(said, style="bold yellow"))
    for node, reason in data["drained"].items():
        lines.append(Text(f"drained: {node}" + (f", {reason}" if reason else ""), style="yellow"))
    if (found := progress(data)) is not None:
        step, text = found
        lines.append(Text(f"handover, {step + 1} of {len(STEPS)} ({STEPS[step]}): {text}", style="bold yellow"))
    lines += [Text(f"{each['node']}: {each['plan']}", style="yellow") for each in data["members"] if each["plan"]]
    return lines


def _ends(left: float | None) -> str:
    return "" if left is None else f", ends by itself in {left:.0f} s"


def _members(data: dict[str, Any]) -> Table:
    rows = grid(*_MEMBERS, folds=_MEMBERS)
    for member in data["members"]:
        health = Text("ok", style="green") if member["healthy"] else Text("unhealthy", style="bold red")
        rows.add_row(
            Text(member["node"], style="bold" if member["leads"] else ""),
            Text(_role(member, data)),
            health,
            _known(member["head"]),
            _known(member["lag"]),
            _known(member["head_age"], ".1f", " s"),
            str(member["priority"]),
        )
    if not data["members"]:
        rows.add_row(Text("none"))
    return rows


def _known(value: float | None, form: str = "", unit: str = "") -> str:
    return "-" if value is None else f"{value:{form}}{unit}"


def _role(member: dict[str, Any], data: dict[str, Any]) -> str:
    out = ", drained" if member["drained"] or member["node"] in data["drained"] else ""
    role = "was leading" if member["role"] == "leading" and not member["leads"] else member["role"]
    return str(role) + out + (", held down" if member["held_down"] else "")


def _details(data: dict[str, Any]) -> Table:
    rows = grid(*_DETAILS, folds=_DETAILS)
    for member in data["members"]:
        texts = (member["agent"], member["nodeos"], member["url"])
        rows.add_row(Text(member["node"]), _known(member["irreversible"]), *(Text(text or "-") for text in texts))
    return rows


def _heartbeat(data: dict[str, Any]) -> str:
    heartbeat = data["heartbeat"]
    if heartbeat is None:
        return f"{data['prefix']} at revision {data['revision']}: no heartbeat"
    confirmed = {True: "confirmed while we looked", False: "not confirmed while we looked", None: "looked at once"}
    return (
        f"{data['prefix']} at revision {data['revision']}: heartbeat {heartbeat['seq']} of epoch {heartbeat['epoch']}, "
        f"valid for {heartbeat['validity']:g} s each, {confirmed[data['confirmed']]}"
    )


KEPT = 200
"""Changes that a live view remembers."""


@click.command()
@choosing_options
@form_option("table", "json", "yaml")
@click.option("--all", "-a", "every", is_flag=True, help="Every group below the prefix, one row each.")
@click.option("--extended", "-e", is_flag=True, help="More of each member: versions, irreversible block, address.")
@click.option("--watch", "-W", is_flag=True, help="Go on until Ctrl-C; piped, print a line for each change.")
@click.option(
    "--interval", type=click.FloatRange(0.1, 60), default=0.3, show_default=True, help="Seconds between looks (-W)."
)
@click.pass_context
def status(
    ctx: click.Context, chosen: Chosen, form: str, every: bool, extended: bool, watch: bool, interval: float
) -> None:
    """Show who leads and how every node is.

    Exit code 0 when `check` says OK (with --all: of every group), else 8.
    """
    if watch and (form != "table" or every):
        raise click.UsageError("-W draws the table of one group: leave -f and --all out")
    target = resolve(chosen, os.environ, every=every)
    with target.store() as store:
        if watch:
            with suppress(KeyboardInterrupt):  # the way to end it
                _watch(store, target, interval, extended=extended)
            return
        if every:
            data = overview(store, target)
        else:
            found = look(store, target)
            data = found.data(time_left(store, target, found.second))
    if form != "table":
        click.echo(as_data(data, form))
    else:
        show(console(), overview_table(data) if every else table(data, extended=extended))
    well = all(each["healthy"] and not each["warnings"] for each in (data["groups"] if every else [data]))
    ctx.exit(0 if well else UNHEALTHY)


def time_left(store: Store, target: Target, snapshot: Snapshot) -> dict[int, float]:
    """Return for how many seconds the leases of override and maintenance are good; what is not told is left out."""
    words = (target.names.override, target.names.maintenance)
    found = dict[int, float]()
    for lease in {item.lease for item in snapshot.items if item.key in words and item.lease}:
        with suppress(StoreError):
            found[lease] = max(0, store.lease_state(lease, target.timeout))
    return found


class Watched:
    """What a live view knows: the newest data, and the changes so far. Pure: looks and times in, data out."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._moved: tuple[Snapshot, float] | None = None
        self.data: dict[str, Any] | None = None
        self.events: list[str] = []

    def take(self, snapshot: Snapshot, now: float, stamp: str) -> list[str]:
        """Take one look at `now` (seconds, of any clock that does not go back); return what changed, dated `stamp`."""
        names = self._target.names
        before, since = self._moved or (snapshot, now)
        data = group_view(names, before, snapshot)
        if data["confirmed"] or self._moved is None:
            self._moved = (snapshot, now)
        if not data["confirmed"] and now - since <= self._target.look_for:  # it is given its time to move on
            data |= {"confirmed": None, "why": [each for each in data["why"] if "while we looked" not in each]}
            data["healthy"] = not data["why"]
        new = [f"{stamp}  {text}" for text in (changes(self.data, data) if self.data else [])]
        self.data = data
        self.events = (self.events + new)[-KEPT:]
        return new

    def fail(self, text: str, stamp: str) -> list[str]:
        """Take that etcd did not answer; said once, until it does."""
        line = f"etcd does not answer: {text}"
        if self.events and self.events[-1].endswith(line):
            return []
        self.events.append(f"{stamp}  {line}")
        return self.events[-1:]


def _watch(store: Store, target: Target, interval: float, *, extended: bool) -> None:
    """Look again and again until Ctrl-C."""
    screen = console()
    watched = Watched(target)
    watched.take(store.range(target.names.root, target.timeout), time.monotonic(), _stamp())
    assert watched.data is not None
    if not screen.is_terminal:
        show(screen, table(watched.data, extended=extended))
        while True:
            time.sleep(interval)
            for line in _again(store, target, watched):
                click.echo(line)
    with Live(live(watched.data, [], extended=extended), console=screen, auto_refresh=False, screen=True) as view:
        while True:
            time.sleep(interval)
            _again(store, target, watched)
            view.update(live(watched.data, watched.events, extended=extended), refresh=True)


def _again(store: Store, target: Target, watched: Watched) -> list[str]:
    try:
        snapshot = store.range(target.names.root, target.timeout)
    except StoreError as error:
        return watched.fail(str(error), _stamp())
    return watched.take(snapshot, time.monotonic(), _stamp())


def _stamp() -> str:
    return datetime.now(UTC).strftime("%H:%M:%S.%f")[:-5]


SHOWN = 1000
"""Bytes of an agent's answer that are kept; ours are short."""
STATES = ("OK", "WARNING", "CRITICAL", "UNKNOWN")
"""The exit code of each is its place."""


@click.command()
@choosing_options
@click.option("--agent", "agent_only", is_flag=True, help="Ask only the agent beside us whether its loop runs.")
@click.pass_context
def check(ctx: click.Context, chosen: Chosen, agent_only: bool) -> None:
    """Tell in one line how the group is, for Nagios and its kin.

    Exit code 0 OK, 1 WARNING (no second node, a word of an operator is in force), 2 CRITICAL (no leader, or it is not
    well), 3 UNKNOWN (etcd or the configuration cannot be read). With --agent neither etcd nor nodeos is asked: what
    a container's health check wants, for a restart would mend neither.
    """
    try:
        if agent_only:
            code, text = _beside(chosen.path, chosen.timeout)
        else:
            target = resolve(chosen, os.environ)
            with target.store() as store:
                code, text = verdict(look(store, target).data())
    except (FailoverError, click.UsageError) as error:
        message = error.format_message() if isinstance(error, click.UsageError) else str(error)
        code, text = 3, " ".join(message.replace("|", "/").split())
    click.echo(f"NODEOS-FAILOVER {STATES[code]} - {text}")
    ctx.exit(code)


def _beside(path: Path, timeout_s: float) -> tuple[int, str]:
    """Return exit code and text about the agent that runs with this configuration."""
    http = read_config(path).http
    if http.address is None:
        raise click.UsageError("--agent needs http.listen: it is empty in the configuration")
    alive, words = livez(*http.address, timeout_s, tls=http.cert_file is not None)
    return (0 if alive else 2), words


def livez(host: str, port: int, timeout_s: float, *, tls: bool = False) -> tuple[bool, str]:
    """Return whether the agent that listens there is alive, and its words, within `timeout_s` seconds in all.

    No answer is an answer: not alive. An agent that listens on every address is asked on loopback. With `tls` its
    certificate is not verified: it bears the names that others know it by, and nothing secret is said or heard.
    """
    host, shown = here(host, port)
    endpoint, context = Endpoint(shown, host, port, tls=tls), None
    if tls:
        context = tls_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    try:
        answer = call(endpoint, "/livez", timeout_s, context=context, method="GET")
    except OSError as error:
        return False, f"the agent does not answer: {error}"
    return answer.status == 200, answer.body[:SHOWN].decode(errors="replace").strip()


def verdict(data: dict[str, Any]) -> tuple[int, str]:
    """Return exit code and text with performance data, from the data of `status`."""
    code, words = _judge(data)
    members, heartbeat = data["members"], data["heartbeat"]
    leader = next((each for each in members if each["leads"]), None)
    figures = {
        "members": len(members),
        "healthy": sum(each["healthy"] for each in members),
        "epoch": heartbeat["epoch"] if heartbeat else 0,
        "lag": f"{max((each['lag'] for each in members if each['lag'] is not None), default=0)};;;0",
        "leader_head_age": f"{leader['head_age']:.3f}s" if leader and leader["head_age"] is not None else "U",
    }
    perf = " ".join(f"{name}={value}" for name, value in figures.items())
    return code, f"{data['group']}: {'; '.join(words).replace('|', '/')} | {perf}"


def _judge(data: dict[str, Any]) -> tuple[int, list[str]]:
    if data["why"]:
        return 2, data["why"]
    heartbeat, members = data["heartbeat"], data["members"]
    leads = heartbeat is not None and heartbeat["state"] == "held"
    said = f"{heartbeat['node']} leads epoch {heartbeat['epoch']}" if leads else "nobody leads, as operators asked"
    warnings = data["warnings"]
    return (1, [said, *warnings]) if warnings else (0, [said, f"{len(members)} members, all told"])
