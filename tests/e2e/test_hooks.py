"""Hooks on real parts: a promotion and a demotion run them, and one that hangs costs no slot and no leadership."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab import evidence
from tests.lab.group import Group

pytestmark = pytest.mark.real


@pytest.fixture
def hooked(tmp_path: Path) -> Iterator[Group]:
    """A group whose hooks write down what they get; before_demote hangs."""
    out = tmp_path / "hooks"
    write = "echo $NODEOS_FAILOVER_HOOK $NODEOS_FAILOVER_NODE $NODEOS_FAILOVER_EPOCH $NODEOS_FAILOVER_TO >> " + str(out)
    names = ("before_promote", "after_promote", "after_demote")
    hooks = {name: ["/bin/sh", "-c", write] for name in names}
    slow = ["/bin/sh", "-c", f"{write}; sleep 60"]
    with Group.running(tmp_path, hooks={**hooks, "before_demote": slow, "timeout": 2.0}) as group:
        yield group


def test_hooks_run_and_none_delays_the_handover(hooked: Group, tmp_path: Path) -> None:
    """All four are run with their words; one that hangs is killed, told and counted, and the handover is not late."""
    leader, standby = hooked.leader, hooked.standby
    head, started = hooked.chain.observer.head, time.time()
    hooked.etcdctl("put", "@leader", standby.node)
    assert hooked.wait_signs(standby, started) < 3
    out = tmp_path / "hooks"
    lines = hooked.wait("all hooks", lambda: found if len(found := out.read_text().splitlines()) >= 6 else None)
    new, old = standby.node, leader.node
    wanted = {f"before_promote {new} 2 {new}", f"after_promote {new} 2 {new}"}
    assert wanted <= set(lines)
    assert any(line.startswith(f"before_demote {old} 1") for line in lines)
    assert any(line.startswith(f"after_demote {old} 1") for line in lines)

    def record(epoch: int, words: str) -> bool:
        text = hooked.etcdctl("get", f"@history/{epoch}", "--print-value-only")
        return words in str(json.loads(text).get("hooks", ""))

    hooked.wait("the history", lambda: record(2, "before_promote: ok in ") and record(1, "before_demote: timeout in "))
    assert "warning=hook_failed" in leader.log.read_text()
    metrics = leader.get("/metrics")[1].decode().splitlines()
    counted = next(line for line in metrics if "hooks_total{" in line and "before_demote" in line and "timeout" in line)
    assert counted.endswith(" 1.0")
    hooked.settle()
    assert evidence.slots_missed(hooked.chain.observer, head) <= 3
