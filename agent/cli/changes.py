"""What each word of an operator puts into etcd, what stands against it, and what became of it. Pure.

Refused is what the agents would not do anyway, and what an operator would regret; `force` takes the second kind on and
names the risk. The agents decide for themselves: nothing that is put here can make two nodes produce.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field

from agent.cli.look import Look, revision
from agent.core.election.ranking import lag
from agent.core.health.checks import NEAR
from agent.core.model.fields import NAME, shown
from agent.core.model.keys import Keys
from agent.core.model.operator import NOBODY
from agent.core.model.records import GroupView, read_group
from agent.core.model.store import Compare, Delete, Put, Snapshot
from agent.errors import RefusedError
from agent.group.past import record_at
from agent.group.view import drain_reason

LAG = 3 * NEAR
"""Blocks behind the furthest head from which on a node counts as lagging: reports are up to 2 s (4 blocks) apart, and
health itself fails a node that is 3 s (6 blocks) behind."""


@dataclass(frozen=True, slots=True)
class Hindrance:
    """What stands against a node as the next leader; `risk` is what `force` takes on, empty: it cannot be forced."""

    why: str
    risk: str = ""


def hindrances(found: Look, to: str) -> list[Hindrance]:
    """Return what stands against `to` taking over."""
    view, node = found.view, next((each for each in found.view.members if each.node == to), None)
    named = ", ".join(sorted(each.node for each in view.members)) or "none"
    if node is None:
        return [Hindrance(f"{to} is not among the members ({named}): start its agent, or name another node")]
    against = []
    if not node.healthy:
        why = "; ".join(node.reasons) or f"its agent is {node.role or 'not ready'}"
        risk = f"{to} may miss slots, or not produce at all: then the group is without blocks until it hands back"
        against.append(Hindrance(f"{to} is unhealthy: {why}", risk))
    behind = lag(node, view.members)
    if behind > LAG:
        risk = f"{to} misses slots until it has caught up, and may sign on an old head"
        against.append(Hindrance(f"{to} lags {behind} blocks behind", risk))
    if to in view.drains or node.drained:
        why = drain_reason(view.drains[to]) if to in view.drains else "nofailover in its configuration"
        against.append(
            Hindrance(f"{to} is drained ({why})", f"somebody took {to} out on purpose, and may be at work on it")
        )
    if node.held_down_ms:
        risk = f"{to} failed again and again, and may do so once more"
        against.append(Hindrance(f"{to} is held down for {node.held_down_ms / 1000:.0f} s more", risk))
    return against


def best(found: Look, leader: str | None) -> str:
    """Return who should lead next, as the election would rank it; RefusedError when nobody may."""
    fit = [each for each in found.view.members if each.node != leader and not hindrances(found, each.node)]
    if not fit:
        rest = [each.node for each in found.view.members if each.node != leader]
        why = [each.why for node in rest for each in hindrances(found, node)] or ["there is no other member"]
        raise RefusedError(f"no node can take over: {'; '.join(why)}. Mend one, or name it with --to and --force")
    return min(fit, key=lambda each: (each.priority, max(0, lag(each, fit) - NEAR), each.node)).node


@dataclass(frozen=True, slots=True)
class Author:
    """Who asks (user@host), and why."""

    by: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class OperatorChange:
    """What to write, and how to say it.

    did       one line for people and for the record
    then      what is put and deleted
    compare   what must still hold
    risks     what goes wrong at worst, shown before the question
    ask       whether to ask first
    insist    why a person is asked even with --yes, and only --force goes on without: probably a mistake
    """

    did: str
    then: tuple[Put | Delete, ...]
    compare: tuple[Compare, ...] = ()
    risks: tuple[str, ...] = ()
    ask: bool = False
    insist: str = ""
    to: str = ""
    notes: tuple[str, ...] = field(default=())

    def etcdctl(self, ttl_s: int | None = None) -> list[str]:
        """Return the lines that do the same; with `ttl_s` what is put ends by itself after so many seconds."""
        lease = f"--lease=$(etcdctl lease grant {ttl_s} | awk '{{print $2}}') " if ttl_s else ""
        lines = []
        for each in self.then:
            if isinstance(each, Delete):
                lines.append(f"etcdctl del {shlex.quote(each.key)}")
            else:
                lines.append(f"etcdctl put {lease}{shlex.join([each.key, each.value.decode()])}")
        return lines


def _holder(view: GroupView) -> str | None:
    return view.held.node if view.held else None


def _checked(found: Look, to: str, *, force: bool) -> tuple[str, ...]:
    """Return the risks of handing over to `to`; RefusedError when they are not taken on, or cannot be."""
    against = hindrances(found, to)
    fixed = [each.why for each in against if not each.risk]
    if fixed:
        raise RefusedError("; ".join(fixed))
    if against and not force:
        risks = "; ".join(each.risk for each in against)
        raise RefusedError(f"{'; '.join(each.why for each in against)}. With --force at your risk: {risks}")
    return tuple(f"{each.why}: {each.risk}" for each in against)


def _open(found: Look, to: str, word: str) -> None:
    """Raise RefusedError when other words of operators keep the agents from handing over to `to`."""
    view = found.view
    if view.maintenance is not None:
        raise RefusedError(
            f"maintenance is on ({view.maintenance or 'no reason given'}): end it with `maintenance off`"
        )
    if view.override is not None and view.override.leader != to:
        who = view.override.leader or "nobody"
        raise RefusedError(f"an override says that {who} may lead: end it with `override clear`, then {word}")


def switchover(found: Look, to: str | None, when: str, author: Author, *, force: bool) -> OperatorChange:
    """Hand over to `to` (None: the best standby) at `when`: now, gap, or a time as RFC 3339."""
    view = found.view
    holder = _holder(view)
    if holder is None or not found.confirmed:
        state = "nobody leads" if holder is None else f"{holder} does not confirm its lead"
        raise RefusedError(f"{state}, so nobody can hand over: use `failover`")
    if to == holder:
        raise RefusedError(f"{to} leads already")
    if view.switchover is not None:
        there = view.switchover.to or "whoever is best"
        raise RefusedError(
            f"a switchover to {there} is under way ({view.switchover.when}): wait for it, "
            f"or take it back with: etcdctl del {found.names.switchover}"
        )
    chosen = to or best(found, holder)
    _open(found, chosen, "switch over")
    risks = _checked(found, chosen, force=force)
    words: dict[str, str | bool] = {
        "to": chosen,
        "when": when,
        "by": author.by,
        "reason": author.reason,
        "force": force,
    }
    at = {"now": "at once", "gap": "in the next gap between own windows"}.get(when, f"at {when}")
    did = f"switchover from {holder} to {chosen}, {at}"
    compare = (Compare(found.names.switchover, 0), *_unchanged(found, found.names.leader))
    return OperatorChange(did, (Put(found.names.switchover, _json(words)),), compare, risks, ask=True, to=chosen)


def failover(found: Look, to: str | None, author: Author, *, force: bool, dead: str | None = None) -> OperatorChange:
    """Change the leader at once, whether it can take part or not.

    A leader that lives is asked as by a switchover now. Else the seat is given to `to` or to anybody: it is taken once
    the heartbeat has stood still for its validity (R8). `dead` names a leader that was seen dead: no more waiting.
    """
    view, names = found.view, found.names
    holder = _holder(view)
    if dead is not None:
        return _bury(found, holder, dead, to, force=force)
    if holder is not None and found.confirmed and view.switchover is None:
        return switchover(found, to, "now", author, force=force)
    if to is not None and to == holder and found.confirmed:
        raise RefusedError(f"{to} leads already")
    if to is None:
        best(found, holder)
        _open(found, "", "fail over")
        did, then = "anybody may take the seat", Delete(names.leader)
        return OperatorChange(did, (then,), _unchanged(found, names.leader), ask=True)
    _open(found, to, "fail over")
    risks = _checked(found, to, force=force)
    return OperatorChange(f"{to} is named for the seat", (Put(names.leader, to.encode()),), (), risks, ask=True, to=to)


def _bury(found: Look, holder: str | None, dead: str, to: str | None, *, force: bool) -> OperatorChange:
    """Delete the heartbeat of a leader that was seen dead: the only unsafe word."""
    if holder is None:
        raise RefusedError("nobody holds the heartbeat: no one waits for anybody")
    if dead != holder:
        raise RefusedError(f"--dead names {dead}, but the heartbeat is of {holder}")
    if found.confirmed:
        raise RefusedError(f"{holder} is not dead: it confirmed its lead just now. Leave out --dead")
    then: tuple[Put | Delete, ...] = (Delete(found.names.heartbeat),)
    risks: tuple[str, ...] = (
        f"if {holder} still produces, two nodes sign at once and the chain forks: see that its nodeos is dead first",
    )
    if to is not None:
        _open(found, to, "fail over")
        risks += _checked(found, to, force=force)
        then += (Put(found.names.leader, to.encode()),)
    return OperatorChange(
        f"{holder} is taken for dead, nobody waits for it",
        then,
        _unchanged(found, found.names.heartbeat),
        risks,
        ask=True,
        to=to or "",
    )


def override_set(found: Look, who: str, author: Author) -> OperatorChange:
    """Let only `who` lead, or nobody for `none`, until the key goes."""
    if who != NOBODY and not NAME.fullmatch(who):
        raise RefusedError(f"{who!r} is no node's name: use a-z, 0-9, dot and hyphen, or `none` for nobody")
    value = _json({"leader": who, "reason": author.reason, "by": author.by})
    risks: tuple[str, ...] = ()
    insist = ""
    if who == NOBODY:
        risks = ("nobody produces until the override ends: each own slot is missed",)
    elif why := [each.why for each in hindrances(found, who)]:
        risks = (f"{'; '.join(why)}: if it cannot produce, nobody does",)
        insist = "" if who in _members(found) else f"{who} is not among the members"
    did = f"override: {'nobody' if who == NOBODY else f'only {who}'} may lead"
    to = "" if who == NOBODY else who
    return OperatorChange(did, (Put(found.names.override, value),), (), risks, ask=True, insist=insist, to=to)


def _members(found: Look) -> set[str]:
    return {each.node for each in found.view.members}


def maintenance_on(found: Look, author: Author) -> OperatorChange:
    """Have the agents watch and report, and change nothing."""
    text = f"{author.reason} ({author.by})" if author.reason else f"by {author.by}"
    return OperatorChange(
        "maintenance on: agents watch, report, and change nothing",
        (Put(found.names.maintenance, text.encode()),),
        notes=("no failover happens until `maintenance off`",),
    )


def drain(found: Look, node: str, author: Author) -> OperatorChange:
    """Take `node` out: it does not take over, and hands over if it leads."""
    members = _members(found)
    if node not in members:
        named = ", ".join(sorted(members)) or "none"
        raise RefusedError(f"{node} is not among the members ({named}): check the name")
    risks: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    leads = _holder(found.view) == node
    if leads:
        fit = [each.node for each in found.view.members if each.node != node and not hindrances(found, each.node)]
        notes = (f"{node} leads: it hands over",) if fit else ()
        risks = () if fit else (f"{node} leads and no other node can take over: it stays until one can",)
    value = _json({"reason": author.reason, "by": author.by})
    then = (Put(drain_key(found.names, node), value),)
    return OperatorChange(f"{node} is drained: it does not take over", then, (), risks, ask=leads, notes=notes)


def drain_key(names: Keys, node: str) -> str:
    """Return the key that drains a node."""
    if not NAME.fullmatch(node):
        raise RefusedError(f"{node!r} is no node's name: use a-z, 0-9, dot and hyphen")
    return names.drain(node)


def clear(found: Look, key: str, did: str, nothing: str) -> OperatorChange:
    """Take a key away; RefusedError with `nothing` when it is not there."""
    if not revision(found.second, key):
        raise RefusedError(nothing)
    return OperatorChange(did, (Delete(key),))


def _unchanged(found: Look, key: str) -> tuple[Compare, ...]:
    return (Compare(key, revision(found.second, key)),)


def _json(words: Mapping[str, str | bool]) -> bytes:
    return json.dumps({key: value for key, value in words.items() if value}, ensure_ascii=False).encode()


HOLDS = ("leading",)
SETTLES = 15
"""Looks for which the old leader may still lead after the wish is gone, until it counts as refused."""


class Result:
    """Follows one change from the look before it; `to` is who was asked for, empty: anybody.

    `asked_at` is the revision at which the wish was put.
    """

    def __init__(self, names: Keys, before: Look, to: str, asked_at: int) -> None:
        self._names = names
        record, held = before.view.record, before.view.held
        self._old = (held.node, held.epoch) if held else None
        self._epoch = record.epoch if record else 0
        self._to = to
        self._asked_at = asked_at
        self._gone = 0
        self.failed = False
        self.state = "asked for"
        self.epoch: int | None = None

    def judge(self, snapshot: Snapshot) -> str | None:
        """Return how it ended, once it has; `failed` tells whether well."""
        if (refused := self._refused(snapshot)) is not None:
            self.failed = True
            return refused
        view = read_group(self._names, snapshot)
        record = view.record
        if record is None or record.released:
            self.state = "nobody leads" if record is None else f"{record.node} has released the lead"
            return None
        if self._old is not None and (record.node, record.epoch) == self._old:
            return self._same(view, record.node)
        if record.epoch <= self._epoch:
            self.state = f"{record.node} holds epoch {record.epoch}, an old one"
            return None
        self.state = f"{record.node} holds epoch {record.epoch}, and does not produce yet"
        if _role(view, record.node) not in HOLDS:
            return None
        self.epoch = record.epoch
        if self._to and record.node != self._to:
            self.failed = True
            return f"{record.node} leads (epoch {record.epoch}), not {self._to}"
        return f"{record.node} leads (epoch {record.epoch})"

    def _refused(self, snapshot: Snapshot) -> str | None:
        """Return the leader's answer, if it refused just this wish."""
        answer = record_at(snapshot, self._names.answer)
        if answer.get("revision") != self._asked_at:
            return None
        return shown(f"{answer.get('node', 'the leader')} refuses: {answer.get('refused', 'no reason given')}")

    def _same(self, view: GroupView, node: str) -> str | None:
        """Judge while the old leader holds the heartbeat: it waits for its gap, stops, or has refused."""
        if view.switchover is not None:
            self.state = f"{node} still leads, the wish stands ({view.switchover.when})"
            return None
        role = _role(view, node)
        self.state = f"{node} is {role or 'silent'}"
        self._gone = self._gone + 1 if role in HOLDS else 0
        if self._gone < SETTLES or (view.leader is not None and view.leader.name != node):
            return None
        self.failed = True
        return f"{node} still leads, and nothing asks it to hand over any more"

    def cost(self, snapshot: Snapshot) -> str | None:
        """Return what the change cost, once the new leader has counted it."""
        if self.epoch is None:
            return None
        record = record_at(snapshot, self._names.history(self.epoch))
        missed = record.get("slots_missed")
        if not isinstance(missed, int):
            return None
        without, outage = (record.get(name) for name in ("leaderless_ms", "outage_ms"))
        spans = f", {without / 1000:.1f} s without a leader" if isinstance(without, int) else ""
        spans += f", {outage / 1000:.1f} s without a block of ours" if isinstance(outage, int) and outage else ""
        return f"slots missed: {missed}{spans}"


def _role(view: GroupView, node: str) -> str:
    return next((each.role for each in view.members if each.node == node), "")
