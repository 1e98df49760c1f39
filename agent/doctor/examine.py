"""Gathering everything side by side, and having every check look at it."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from agent.config.model import Config
from agent.core.model.copying import replace
from agent.doctor import agent, etcd, files, gate, gather_etcd, gather_nodeos, group, host, nodeos, peers
from agent.doctor.agent import AgentFacts, ChannelFact
from agent.doctor.files import FileFacts
from agent.doctor.finding import Finding, unknown
from agent.doctor.gate import GateFacts
from agent.doctor.gather_etcd import EtcdFacts
from agent.doctor.gather_nodeos import NodeosFacts
from agent.doctor.group import GroupFacts
from agent.doctor.host import HostFacts
from agent.doctor.peers import PeerFacts
from agent.host.paths import DEFAULT_CONFIG

GATHER_S = 15.0
"""Total deadline: whatever hangs, be it a file system, the rest is told then."""


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything. `late` names what was not gathered in time."""

    nodeos: NodeosFacts
    etcd: EtcdFacts
    group: GroupFacts
    agent: AgentFacts
    host: HostFacts
    gate: GateFacts
    files: FileFacts
    peers: PeerFacts
    channels: tuple[ChannelFact, ...]
    late: tuple[str, ...] = ()


def findings(facts: Facts, config: Config) -> list[Finding]:
    """Return what every check says. Pure."""
    status = facts.agent.status
    return [
        *nodeos.check(facts.nodeos, config, status),
        *gate.check(facts.gate, facts.nodeos, config),
        *host.check(facts.host, config),
        *files.check(facts.files),
        *etcd.check(facts.etcd, config),
        *group.check(facts.group, config, status),
        *agent.check(facts.agent),
        *peers.check(facts.peers, config),
        agent.alerts(facts.channels, config),
        *(
            unknown("gathering", f"{name} did not answer in time", "see why, and run doctor again")
            for name in facts.late
        ),
    ]


def examine(config: Config, within_s: float = GATHER_S, path: Path = Path(DEFAULT_CONFIG)) -> list[Finding]:
    """Gather and judge; `path` is where the configuration was read."""
    return findings(gather(config, within_s, path), config)


def gather(config: Config, within_s: float, path: Path = Path(DEFAULT_CONFIG)) -> Facts:
    """Gather all facts, each kind in a thread of its own; what is late is named."""
    share = within_s * 0.8
    jobs: dict[str, Callable[[], Any]] = {
        "nodeos": lambda: gather_nodeos.gather(config, share),
        "etcd members": lambda: gather_etcd.servers(config, share),
        "etcd": lambda: gather_etcd.cluster(config, share),
        "group": lambda: group.gather(config, share),
        "agent": lambda: agent.gather(config),
        "peers": lambda: peers.gather(config, share),
        "host": lambda: host.gather(config),
        "files": lambda: files.gather(config, path),
        "signing gate": lambda: gate.gather(config),
        **{f"alerts {each.name}": partial(agent.channel, each) for each in config.alerts},
    }
    found = side_by_side(jobs, within_s)
    return _facts(found, tuple(name for name in jobs if name not in found))


def side_by_side(jobs: Mapping[str, Callable[[], Any]], within_s: float) -> dict[str, Any]:
    """Return what each job gave within `within_s` seconds. A job's exception is a defect, and is raised here."""
    done: queue.SimpleQueue[tuple[str, Any, BaseException | None]] = queue.SimpleQueue()

    def work(name: str, job: Callable[[], Any]) -> None:
        try:
            done.put((name, job(), None))
        except BaseException as error:  # noqa: BLE001 - handed on, not swallowed
            done.put((name, None, error))

    for name, job in jobs.items():
        threading.Thread(target=work, args=(name, job), name=name, daemon=True).start()
    found: dict[str, Any] = {}
    deadline = time.monotonic() + within_s
    while len(found) < len(jobs):
        try:
            name, value, error = done.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            break
        if error is not None:
            raise error
        found[name] = value
    return found


def _facts(found: Mapping[str, Any], late: tuple[str, ...]) -> Facts:
    cluster: EtcdFacts = found.get("etcd", EtcdFacts(error="no answer in time"))
    return Facts(
        nodeos=found.get("nodeos", NodeosFacts(info_error="no answer in time")),
        etcd=replace(cluster, servers=found.get("etcd members", ())),
        group=found.get("group", GroupFacts(error="no answer in time")),
        agent=found.get("agent", AgentFacts(error="no answer in time")),
        host=found.get("host", HostFacts(clock_failure="no answer in time", disk_error="no answer in time")),
        peers=found.get("peers", PeerFacts(error="no answer in time")),
        files=found.get("files", FileFacts(error="no answer in time")),
        gate=found.get("signing gate", GateFacts(error="no answer in time")),
        channels=tuple(value for name, value in found.items() if name.startswith("alerts ")),
        late=late,
    )
