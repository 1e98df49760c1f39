"""How nodeos is found, paused and ended, from the configuration: what the run-time file and the plan file say of it."""

from __future__ import annotations

from dataclasses import asdict

from agent.config.model import Config
from agent.nodeos.finder import FencePlan


def fence_plan(config: Config) -> FencePlan:
    """Return how nodeos is found and ended."""
    fence, url = config.fence, config.nodeos.url
    return FencePlan(
        url,
        str(fence.pid_file) if fence.pid_file and fence.method in ("auto", "pid_file", "command") else "",
        fence.unit or "" if fence.method in ("auto", "unit", "command") else "",
        fence.command if fence.method in ("auto", "command") else (),
        fence.method != "none",
        fence.executable,
        str(config.nodeos.data_dir or ""),
    )


def guard_fields(config: Config) -> dict[str, object]:
    """Return what it takes to stop nodeos without the agent; `agent.guard.stop` reads it."""
    timing, nodeos = config.spans, config.nodeos
    guard = {
        "plan": asdict(fence_plan(config)),
        "producer_url": nodeos.producer_url or nodeos.url,
        "pause_ms": timing.pause,
        "block_ms": timing.block,
        "kill_ms": timing.kill,
        "slack_ms": timing.slack,
        "term_ms": round(config.fence.term_grace * 1000),
        "gated": timing.gated,
    }
    return {"guard": guard}
