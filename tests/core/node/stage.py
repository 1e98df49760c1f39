"""Stories about whole nodes as text: each move, and below it the lines that it causes on every host.

`group` sets the scene, silently. `until` fails where it does not come true within its limit, in seconds; the story ends
where a slot is signed twice. What a line says of a host is what people may see of it: transitions, warnings, alerts,
whether it may lead, its plan, the history; and what the chain shows: slots of ours that nobody signed.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence

from agent.core.election.policy import Policy
from agent.core.leadership import actions as do
from agent.core.leadership.state import Phase
from agent.core.model.operator import clock_text
from agent.core.node.state import Node, NodeAction, Notify, Publish, RecordChange, RefuseWish
from agent.telemetry import log_lines
from tests.simulation.story import ALONE, FOUR, NAMES, Host, Story, ask, settled
from tests.simulation.surroundings import CALLS

CHAINS = {"four": FOUR, "alone": ALONE}
BACK = Policy(failback=True, failback_after=10_000)


class Stage:
    """A group of nodes, and the moves by their names. A host of `*` is every host."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._said: dict[tuple[str, str], str] = {}
        self._moves: dict[str, Callable[..., object]] = {
            "group": self._group,
            "go": lambda seconds: self.story.go(float(seconds)),
            "until": self._until,
            "window": lambda inside: self.story.until_window(float(inside)),
            "put": lambda key, *value: self.story.put(key, " ".join(value).encode()),
            "delete": lambda key: self.story.delete(key),
            "ask": self._ask,
            "kill": self._each(lambda host: host.nodeos.kill()),
            "start": self._each(lambda host: host.nodeos.start()),
            "freeze": self._each(lambda host: setattr(host.nodeos, "frozen", True)),
            "thaw": self._each(lambda host: host.nodeos.thaw()),
            "pause": self._each(lambda host: setattr(host.nodeos, "paused_flag", True)),
            "resume": self._each(lambda host: setattr(host.nodeos, "paused_flag", False)),
            "refuse": self._each(lambda host: setattr(host.nodeos, "refuses", CALLS)),
            "obey": self._each(lambda host: setattr(host.nodeos, "refuses", ())),
            "replace": self._each(lambda host: setattr(host.nodeos, "pid", 99)),
            "fill": self._each(lambda host: setattr(host, "disk_free", 1)),
            "empty": self._each(lambda host: setattr(host, "disk_free", 500)),
            "cut": self._each(lambda host: setattr(host.store, "cut", True)),
            "heal": self._each(lambda host: setattr(host.store, "cut", False)),
            "restart": self._each(lambda host: host.restart()),
            "stall": lambda: setattr(self.story, "stalled", True),
            "unstall": lambda: setattr(self.story, "stalled", False),
        }

    def move(self, text: str) -> Iterator[str]:
        """Make a move, and yield the lines that it causes."""
        name, *words = text.split()
        self._lines = []
        if name == "group":
            self._group(*words)
            return
        missed, begun, keys = self.story.missed, self.story.now, set(self.story.etcd.keys)
        self._moves[name](*words)
        yield from self._lines
        gone = sorted(key.removeprefix(NAMES.root) for key in keys - set(self.story.etcd.keys))
        yield from (f"the key {key} is gone" for key in gone if name != "delete" and not key.startswith("members/"))
        if name == "until":
            yield f"after {(self.story.now - begun) / 1000:.2f} s"
        if self.story.missed > missed:
            yield f"slots missed: {self.story.missed - missed}"

    def _group(self, *words: str) -> None:
        """Settle a group: NAME or NAME:priority=1,drained,failback for each host, and the chain that it is on."""
        named = [word.partition(":") for word in words if word not in CHAINS]
        chain = next((CHAINS[word] for word in words if word in CHAINS), None)
        profiles = {name.replace("-", "_"): dict(map(_setting, more.split(","))) for name, _, more in named if more}
        self.story: Story = settled(*(name for name, _, _ in named), turns=chain, **profiles)
        self.story.watch = self._watch

    def _each(self, what: Callable[[Host], object]) -> Callable[..., None]:
        def move(*names: str) -> None:
            for host in self.story.hosts:
                if host.name in names or "*" in names:
                    what(host)

        return move

    def _until(self, who: str, what: str, limit: str) -> None:
        """`HOST leads` or another of the words below; `nobody leads`, `somebody leads`."""
        hosts = [host for host in self.story.hosts if who in (host.name, "nobody", "somebody")]
        assert hosts, f"there is no {who}"
        holds: dict[str, Callable[[Host], bool]] = {
            "leads": lambda host: host.leads,
            "stopping": lambda host: host.phase is Phase.STOPPING,
            "eligible": lambda host: host.node.leadership.eligibility.eligible,
            "ineligible": lambda host: not host.node.leadership.eligibility.eligible,
            "healthy": lambda host: host.node.health.ok,
            "paused": lambda host: host.nodeos.paused_flag,
            "proven": lambda host: host.node.leadership.proven,
        }
        self.story.until(lambda: any(map(holds[what], hosts)) is not (who == "nobody"), float(limit))

    def _ask(self, to: str, when: str, *more: str) -> None:
        """Ask for a switchover as the CLI does, `gap`, `now` or `in SECONDS`; to `-`: to the best."""
        if when == "in":
            when, more = clock_text(self.story.wall + round(float(more[0]) * 1000)), more[1:]
        ask(self.story, "" if to == "-" else to, when, **dict.fromkeys(more, True))

    def _watch(self, host: Host, before: Node, actions: Sequence[NodeAction]) -> None:
        """Note the lines of one step, each that says something new."""
        self._lines += [f"{host.name} {line}" for action in actions if (line := self._line(action, before, host))]
        was, now = before.leadership.eligibility, host.node.leadership.eligibility
        if was.eligible != now.eligible:
            self._lines.append(f"{host.name} may lead" if now.eligible else f"{host.name} may not lead: {now.why}")

    def _line(self, action: NodeAction, before: Node, host: Host) -> str:
        match action:
            case do.Announce(_, _, "stopping", reason):
                return f"stops: {reason}"
            case do.Announce(target="leading"):
                return "leads"
            case do.Warn(key, text):
                logged = [line.level for line in log_lines.lines(before, host.node, (action,)) if line.message == text]
                return f"warns {key}: {text}" if max(logged) >= logging.INFO else ""
            case Notify(notice) if notice.resolved:
                return f"resolves {notice.key}"
            case Notify(notice):
                return f"tells {notice.severity} {notice.event}: {notice.summary}"
            case RefuseWish(fields=fields):
                return f"refuses: {dict(fields)['refused']}"
            case RecordChange(epoch, fields) if "slots_missed" in fields and epoch > 1:
                return self._new(host, "history", f"of {epoch}: slots_missed {dict(fields)['slots_missed']}")
            case Publish(member) if member.held_down_ms or self._said.get((host.name, "plan")) == "held down":
                return self._new(host, "plan", "held down" if member.held_down_ms else "none")
            case Publish(member) if host.leads:
                return self._new(host, "plan", member.plan or "none")
        return ""

    def _new(self, host: Host, what: str, text: str) -> str:
        """Return what a host says of something, if it says something else than before."""
        before = self._said.get((host.name, what), "none")
        self._said[host.name, what] = text
        return f"{what}: {text}" if text != before else ""


def _setting(text: str) -> tuple[str, object]:
    name, _, value = text.partition("=")
    return ("policy", BACK) if name == "failback" else (name, int(value) if value else True)
