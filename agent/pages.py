"""What the agent tells over HTTP, made from the loop's snapshot: plain questions, answered from memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from agent import __version__
from agent.core.node import Node, member_of
from agent.core.state import Phase, Power
from agent.loop import STUCK_MS as STUCK_MS
from agent.loop import Snapshot
from agent.metrics import Metrics
from agent.ports import Clock


class AgentPages:
    """The pages of one agent (see `agent.adapters.http_server.Pages`)."""

    def __init__(
        self, snapshot: Callable[[], Snapshot], metrics: Metrics, clock: Clock, guard_pid: Callable[[], int | None]
    ) -> None:
        self._snapshot = snapshot
        self._metrics = metrics
        self._clock = clock
        self._guard_pid = guard_pid

    def metrics(self) -> bytes:
        """Return all metrics."""
        return self._metrics.text()

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
        if state.phase is Phase.LEADING:
            return True, "leading"
        if why := _hindrance(node):
            return False, why
        if state.standing.able if state.chosen else state.standing.fit:
            return True, "standby"
        return False, state.standing.why

    def leader(self) -> tuple[bool, str]:
        """Tell whether this node is the confirmed leader."""
        leads = self._snapshot().leads(self._clock.boot())
        return leads, "leader" if leads else "not the confirmed leader"

    def status(self) -> dict[str, Any]:
        """Return how this agent is."""
        snapshot, now = self._snapshot(), self._clock.boot()
        node, state = snapshot.node, snapshot.node.leadership
        seen, tenure = state.seen, state.tenure
        record = seen.heartbeat.record if seen.heartbeat else None
        return {
            "version": __version__,
            "group": node.profile.group,
            "node": state.setup.node,
            "producer": state.setup.producer,
            "phase": state.phase.value,
            "phase_since_s": (now - state.phase_since) / 1000,
            "nodeos_production": state.power.value,
            "nodeos_pid": state.process.pid or None if state.process else None,
            "guard_pid": self._guard_pid(),
            "leads": snapshot.leads(now),
            "epoch": tenure.epoch if tenure else None,
            "validity_left_s": max(0, tenure.valid_until - now) / 1000 if tenure else None,
            "leader": seen.leader.name if seen.leader else None,
            "heartbeat": asdict(record) if record else None,
            "override": asdict(seen.override) if seen.override else None,
            "maintenance": seen.maintenance,
            "etcd_up": node.etcd_down_since is None,
            "fit": state.standing.fit,
            "why_not": state.standing.why,
            "rank": state.standing.rank,
            "checks": {name: {"ok": each.ok, "reason": each.reason} for name, each in node.health.checks.items()},
            "me": asdict(member_of(node)),
            "members": [asdict(member) for member in node.view.members] if node.view else [],
            "problems": list(node.view.problems) if node.view else [],
            "open_alerts": sorted(node.alerts.notices),
            "step_age_s": (now - snapshot.at) / 1000,
        }


def _hindrance(node: Node) -> str:
    """Return what keeps a node from taking over, beside its health (R8); nothing if nothing does."""
    state = node.leadership
    seen = state.seen
    if state.leaving:
        return "the agent ends"
    if state.phase is not Phase.STANDBY or state.power is not Power.STOPPED:
        return f"{state.phase.value}, nodeos {state.power.value}"
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
    if seen.override is not None and seen.override.leader != state.setup.node:
        return f"an override names {seen.override.leader or 'nobody'}"
    return ""
