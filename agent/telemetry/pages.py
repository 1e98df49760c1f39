"""What the agent tells over HTTP, made from the loop's snapshot: plain questions, answered from memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from agent import __version__
from agent.core.health.hysteresis import CheckState
from agent.core.leadership.state import Phase, Production, State
from agent.core.model import store
from agent.core.model.fields import MAX_BYTES, MAX_NUMBER
from agent.core.model.keys import Keys
from agent.core.model.store import Ms
from agent.core.node.plan import silent
from agent.core.node.snapshot import STUCK_MS, NodeSnapshot
from agent.core.node.state import Node, member_of
from agent.core.node.ungoverned import waits_long
from agent.group import past
from agent.ports import Clock
from agent.telemetry.families import confirmation, vote_ages_s
from agent.telemetry.metrics import Metrics

LATEST = 12
"""Changes and words that the status shows."""


@dataclass(eq=False)
class AgentPages:
    """The pages of one agent. `_keys` returns the group's keys as last read, `_peers` tells of the peers' socket."""

    _snapshot: Callable[[], NodeSnapshot]
    _metrics: Metrics
    _clock: Clock
    _guard_pid: Callable[[], int | None]
    _keys: Callable[[], store.Snapshot | None] = lambda: None
    _peers: Callable[[], dict[str, Any]] = dict

    def metrics(self, accept: str) -> tuple[bytes, str]:
        """Return all metrics in the format that a header `Accept` prefers, and its type."""
        return self._metrics.text(accept)

    def live(self) -> tuple[bool, str]:
        """Tell whether the loop steps."""
        age = self._clock.boot() - self._snapshot().at
        return age < STUCK_MS, f"last step {age / 1000:.1f} s ago"

    def well(self) -> str:
        """Return why no sign of life should go out: the loop stands still, or something critical is open."""
        snapshot = self._snapshot()
        age = self._clock.boot() - snapshot.at
        if age >= STUCK_MS:
            return f"the loop has not stepped for {age / 1000:.0f} s"
        worst = sorted(key for key, notice in snapshot.node.alerts.notices.items() if notice.severity == "critical")
        return f"open: {', '.join(worst)}" if worst else ""

    def ready(self) -> tuple[bool, str]:
        """Tell whether this node may become leader, or is."""
        node = self._snapshot().node
        state = node.leadership
        if state.leads:
            return True, f"leading, but {why}" if (why := silent(node) or node.finality.excused) else "leading"
        if why := _hindrance(node):
            return False, why
        if state.eligibility.can_produce if state.chosen else state.eligibility.eligible:
            return True, "standby"
        return False, state.eligibility.why

    def leader(self) -> tuple[bool, str]:
        """Tell whether this node is the confirmed leader."""
        leads = self._snapshot().leads(self._clock.boot())
        return leads, "leader" if leads else "not the confirmed leader"

    def status(self) -> dict[str, Any]:
        """Return how this agent is."""
        snapshot, now = self._snapshot(), self._clock.boot()
        node, state = snapshot.node, snapshot.node.leadership
        seen, tenure = state.seen, state.tenure
        record = seen.record
        free, past = state.free_at(), latest(state.identity.keys, self._keys())
        held = record is not None and not record.released and (free is None or now < free)
        return {
            "version": __version__,
            "group": node.settings.group,
            "node": state.identity.node,
            "producer": state.identity.producer,
            "phase": state.phase.value,
            "phase_since_s": (now - state.phase_since) / 1000,
            "nodeos_production": state.production.value,
            "nodeos_pid": state.process.pid or None if state.process else None,
            "guard_pid": self._guard_pid(),
            "leads": snapshot.leads(now),
            "in_vain": (silent(node) or node.finality.excused) if snapshot.leads(now) else "",
            "epoch": tenure.epoch if tenure else None,
            "validity_left_s": max(0, tenure.valid_until - now) / 1000 if tenure else None,
            "leader": seen.leader.name if seen.leader else None,
            "heartbeat": asdict(record) if record else None,
            "held": held,
            "lead_left_s": max(0, self._lead_left(state, now)) / 1000 if held else None,
            "leader_since": next((each["when"] for each in past if record and each.get("epoch") == record.epoch), None),
            "override": asdict(seen.override) if seen.override else None,
            "maintenance": seen.maintenance,
            "leased": leased(state.identity.keys, self._keys()),
            "etcd_up": node.etcd_down_since is None,
            "finality": _finality(node),
            "peers": _peers(node, now) | self._peers(),
            "fit": state.eligibility.eligible,
            "why_not": state.eligibility.why or _waits(node, now),
            "rank": state.eligibility.rank,
            "mode": "observe" if node.settings.observes else "lead",
            "would": _would(node, now),
            "plan": node.assessment.plan.text if node.assessment.plan else "",
            "held_down_s": node.assessment.flaps.left(now) / 1000,
            "switchover": asdict(seen.switchover) if seen.switchover else None,
            "drains": {name: asdict(each) for name, each in node.reports.drains.items()},
            "checks": {name: _check(each) for name, each in node.health.checks.items()},
            "me": asdict(member_of(node, now)),
            "members": [asdict(member) for member in node.reports.members],
            "problems": list(node.reports.problems),
            "open_alerts": sorted(node.alerts.notices),
            "found_unpaused_s": (now - node.unpaused_at) / 1000 if node.unpaused_at is not None else None,
            "alerts": [
                {"key": key, "severity": notice.severity, "summary": notice.summary}
                for key, notice in sorted(node.alerts.notices.items())
            ],
            "history": past,
            "step_age_s": (now - snapshot.at) / 1000,
            "view_age_s": (now - node.view_at) / 1000 if node.store_since is not None else None,
            "margin_s": state.identity.timing.margin / 1000,
            "wall_ms": self._clock.wall(),
        }

    @staticmethod
    def _lead_left(state: State, now: Ms) -> Ms:
        """Return how long whoever leads is still confirmed: exactly for ourselves, else by when we saw the last one."""
        if state.tenure is not None and state.mine(state.seen.heartbeat):
            return state.tenure.valid_until - now
        record = state.seen.record
        return max(state.seen.heartbeat_since + record.validity_ms, state.pledge.until) - now if record else 0


def leased(names: Keys, found: store.Snapshot | None) -> list[str]:
    """Return which words of operators end by themselves: their keys hang on a lease."""
    held = {item.key for item in found.items if item.lease} if found is not None else set()
    return [word for word in ("override", "maintenance") if getattr(names, word) in held]


def latest(names: Keys, found: store.Snapshot | None) -> list[dict[str, Any]]:
    """Return the newest changes of leader and words of operators, oldest first; only fields that are as they should be.

    Whoever reaches etcd writes them: what is too long is cut, and what is no number is no number.
    """
    if found is None:
        return []
    roots = (names.history(0)[:-1], names.root + past.AUDIT)
    items = [item for item in found.items if item.key.startswith(roots) and len(item.value) <= MAX_BYTES]
    newest = sorted(items, key=lambda item: item.mod_revision)[-LATEST:]
    entries = past.entries(names, store.Snapshot(found.revision, tuple(newest)))
    return [{key: each[key] for key in each if _shows(key, each[key])} for each in entries]


def _shows(key: str, value: object) -> bool:
    if key in ("epoch", "leaderless_ms", "outage_ms", "slots_missed"):
        return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < MAX_NUMBER
    if key == "when":
        return value is None or isinstance(value, str)
    return key in ("kind", "node", "from", "reason", "by", "did") and isinstance(value, str)


def _finality(node: Node) -> dict[str, Any] | None:
    """Return what is known of votes (Savanna); None while nothing is known of finalizers."""
    found, info, settings = node.health.finality, node.health.info, node.settings.finalizer
    if found is None or not found.known or info is None:
        return None
    own, others = vote_ages_s(node)
    return {
        "active_key": found.active_key(settings.account),
        "our_key": settings.key,
        "own_vote_age_s": own,
        "others_vote_age_s": others,
        "lib_lag": info.head_num - info.lib_num,
        "self_paused": node.finality.excused,
    }


def _peers(node: Node, now: Ms) -> dict[str, Any]:
    """Return whom this agent names, and what confirms it: the source that does for longest."""
    state = node.leadership
    left, record = confirmation(state, now), state.seen.record
    promised = {vote.peer.node: (now - vote.heard) / 1000 for vote in state.support.votes if state.tenure is not None}
    return {
        "mode": state.identity.timing.peers.value,
        "named": [peer.node for peer in record.peers] if record else [],
        "confirmed_by": max(left, key=left.__getitem__) if left else None,  # etcd, where both do equally
        "promised_s": promised,
        "etcd_away_s": (now - node.etcd_down_since) / 1000 if node.etcd_down_since is not None else None,
        "etcd_beside": list(state.etcd_beside),
    }


def _waits(node: Node, now: Ms) -> str:
    """Return what a node that is fit waits for by time alone, and for how long."""
    text, left = waits_long(node, now)
    return f"{text} ({left / 1000:.0f} s left)" if text else ""


def _would(node: Node, now: Ms) -> dict[str, object] | None:
    """Return what an agent that only observes would do; None for one that takes part."""
    would = node.would if node.settings.observes else None
    return {"what": would.what, "why": would.why, "for_s": (now - would.since) / 1000} if would else None


def _check(check: CheckState) -> dict[str, object]:
    """Return one check; what speaks against one that passes is left out when nothing does."""
    found: dict[str, object] = {"ok": check.ok, "reason": check.reason}
    return found | ({"doubt": check.doubt} if check.doubt else {})


def _hindrance(node: Node) -> str:
    """Return what keeps a node from taking over, beside its health (R8); nothing if nothing does."""
    state = node.leadership
    seen = state.seen
    if node.settings.observes:
        return 'it only observes (mode = "observe")'
    if state.leaving:
        return "the agent ends"
    if state.phase is not Phase.STANDBY or state.production is not Production.STOPPED:
        return f"{state.phase.value}, nodeos {state.production.value}"
    if state.process is None:
        return "no nodeos process"
    if not seen.known:
        return "etcd was not read yet"
    if node.etcd_down_since is not None:
        return "etcd does not answer"
    if state.lease is None:
        return "no session in etcd"
    if seen.maintenance is not None:
        return f"maintenance: {seen.maintenance}"
    if seen.override is not None and seen.override.leader != state.identity.node:
        return f"an override names {seen.override.leader or 'nobody'}"
    return ""
