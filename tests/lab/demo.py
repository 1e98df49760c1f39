"""The demo: a real group on this machine, its leader's nodeos killed, the other one signing. Run it as `make demo`.

What is shown is read from the nodes' own logs and from etcd, as it happens; nothing is played back.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Self

from rich.console import Console
from rich.console import Group as Stack
from rich.live import Live
from rich.table import Table
from rich.text import Text

from agent.core.model.slots import slot_of
from tests.lab import evidence
from tests.lab.agents import Agent
from tests.lab.errors import LabError, LabUnavailable
from tests.lab.group import ROOT, Group

STRIP = 60
"""Slots shown at the bottom: half a minute."""
COLOURS = ("green", "cyan", "magenta")
REFRESH_S = 0.25


class Show:
    """What is on the screen: lines that stay, and on a terminal a live view below them."""

    def __init__(self, group: Group, console: Console) -> None:
        self._group = group
        self._console = console
        self._started = time.monotonic()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._refresh, name="demo-view", daemon=True)
        self._live = Live(console=console, auto_refresh=False, transient=True) if console.is_terminal else None

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        if self._live is not None:
            self._thread.join(5.0)
            self._live.stop()

    def say(self, text: str, style: str = "") -> None:
        """Print a line that stays."""
        line = Text(f"{time.monotonic() - self._started:6.1f} s  ", style="dim") + Text(text, style=style)
        self._console.print(line, soft_wrap=True)

    def _refresh(self) -> None:
        assert self._live is not None
        while not self._over.wait(REFRESH_S):
            self._live.update(self._view(), refresh=True)

    def _view(self) -> Stack:
        view = Table("node", "agent", "nodeos", "head", "epoch", "confirmed for", box=None, pad_edge=False)
        for colour, (name, agent) in zip(COLOURS, self._group.agents.items(), strict=False):
            found = agent.status() if agent.running else {}
            me = found.get("me", {})
            left = found.get("validity_left_s")
            view.add_row(
                Text(name, style=colour),
                str(found.get("phase", "gone")),
                str(found.get("nodeos_production", "")) if found.get("nodeos_pid") else "gone",
                str(me.get("head") or ""),
                str(found.get("epoch") or ""),
                f"{left:.1f} s" if left else "",
            )
        return Stack(view, strip(self._group))


def strip(group: Group) -> Text:
    """Return who signed the last slots: a letter each, a dot for none, an exclamation mark for a slot signed twice."""
    signed = group.chain.signed()
    last = slot_of(round(time.time() * 1000))
    twice = {slot for _, slot in evidence.doubles(signed)}
    by_slot = {each.slot: each.node for each in signed}
    names = list(group.agents)
    text = Text("slots ")
    for slot in range(last - STRIP, last + 1):
        node = by_slot.get(slot)
        if slot in twice:
            text.append("!", "bold red")
        elif node is None:
            text.append("·", "dim")
        else:
            text.append(node[-1], COLOURS[names.index(node)])
    return text


def reason(agent: Agent, transition: str) -> str:
    """Return what an agent's log gave as the reason of its last transition of this kind."""
    lines = [line for line in agent.log.read_text().splitlines() if f"transition={transition} " in line]
    return lines[-1].split("  logger=")[0].split(None, 2)[2] if lines else "no such line in its log"


def change(group: Group, show: Show, act: Callable[[], object], after: str, *told: tuple[Agent, str]) -> float:
    """Act, and tell how the standby came to lead; return the seconds until its first block."""
    standby, started = group.standby, time.time()
    act()
    block = group.wait(
        f"a block of {standby.node}", lambda: evidence.first_after(group.chain.signed(), standby.node, started)
    )
    group.wait("the new leader", lambda: standby.leads)
    for agent, transition in told:
        show.say(f"agent {agent.node}: {reason(agent, transition)}")
    spent = block.wall - started
    show.say(f"{standby.node} signed block {block.num}, {spent:.2f} s after the {after}", "bold green")
    return spent


def kill(group: Group, show: Show) -> float:
    """Kill the leader's nodeos; return the seconds until the other one's first block."""
    leader, standby = group.leader, group.standby
    nodeos = group.nodeos(leader)
    show.say(f"kill -9 of nodeos {leader.node} (pid {nodeos.pid}), which leads", "bold red")
    return change(group, show, nodeos.kill, "kill", (leader, "nodeos_gone"), (standby, "campaign"))


def come_back(group: Group, show: Show) -> None:
    """Start the killed nodeos again: it becomes a standby."""
    gone = group.standby
    show.say(f"nodeos {gone.node} is started again (with a replay, for it was killed)")
    group.nodeos(gone).restart()
    group.settle()
    show.say(f"{gone.node} is back as standby, paused; no failback by itself")


def hand_over(group: Group, show: Show) -> float:
    """Hand over as an operator does; return the seconds until the other one's first block."""
    leader, standby = group.leader, group.standby
    show.say(f"etcdctl put {ROOT}leader {standby.node}", "bold yellow")
    put = partial(group.etcdctl, "put", "@leader", standby.node)
    return change(group, show, put, "word", (leader, "leader_changed"), (leader, "proven"))


def play(group: Group, console: Console, pace: float) -> int:
    """Play the whole piece; return 0 when no slot was signed twice."""
    with Show(group, console) as show:
        show.say("starting the agents: the first adopts the nodeos that produces already, without a pause")
        group.start()
        show.say(f"{group.leader.node} leads, {group.standby.node} stands by", "bold green")
        observer = group.chain.observer
        head = observer.head
        time.sleep(pace)
        killed = kill(group, show)
        time.sleep(pace)
        come_back(group, show)
        time.sleep(pace)
        handed = hand_over(group, show)
        time.sleep(pace)
        observer.wait_blocks(3)
        missed, twice = evidence.slots_missed(observer, head), len(group.chain.doubles())
        console.print(strip(group))
    console.print()
    console.print(f"nodeos killed:      {killed:5.2f} s until the other one signed")
    console.print(f"handed over:        {handed:5.2f} s until the other one signed")
    console.print(f"slots missed:       {missed:5d}   on the observer's chain, of {observer.head - head + missed}")
    console.print(f"slots signed twice: {twice:5d}", style="bold red" if twice else "bold green")
    return 1 if twice else 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.lab.demo", description="A real group on this machine.")
    parser.add_argument("--pace", type=float, default=5.0, help="seconds between the acts (default 5)")
    parser.add_argument("--simulated", action="store_true", help="use the simulated nodeos, also where a real one is")
    chosen = parser.parse_args(arguments)
    console = Console(highlight=False)
    console.print("starting etcd, two producing nodeos, an observer, and transactions for them …")
    with tempfile.TemporaryDirectory(prefix="nodeos-failover-demo-") as root:
        try:
            group = Group(Path(root), log={"level": "info"}, simulated=chosen.simulated)
        except LabUnavailable as error:
            console.print(f"no real nodeos here: {error}", style="yellow")
            console.print("going on with the SIMULATED nodeos: it shows the agents at work, not a real chain")
            group = Group(Path(root), log={"level": "info"}, simulated=True)
        try:
            return play(group, console, chosen.pace)
        except (LabError, KeyboardInterrupt) as error:
            console.print(f"the demo broke off: {error}", style="bold red")
            return 1
        finally:
            group.close()


if __name__ == "__main__":
    sys.exit(main())
