"""Gathering everything side by side, and having every check look at it."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from agent.config.model import Config
from agent.core.model.copying import replace
from agent.doctor import checks_etcd, checks_files, checks_gate, checks_group, checks_host, checks_nodeos, checks_peers
from agent.doctor.facts import (
    AgentFacts,
    EtcdFacts,
    Facts,
    FileFacts,
    GateFacts,
    GroupFacts,
    HostFacts,
    NodeosFacts,
    PeerFacts,
)
from agent.doctor.finding import Finding, unknown
from agent.host.paths import DEFAULT_CONFIG

GATHER_S = 15.0
"""Total deadline: whatever hangs, be it a file system, the rest is told then."""


def findings(facts: Facts, config: Config) -> list[Finding]:
    """Return what every check says. Pure."""
    status = facts.agent.status
    return [
        *checks_nodeos.nodeos(facts.nodeos, config, status),
        *checks_gate.gate(facts.gate, facts.nodeos, config),
        *checks_host.host(facts.host, config),
        *checks_files.files(facts.files),
        *checks_etcd.etcd(facts.etcd, config),
        *checks_group.group(facts.group, config, status),
        *checks_group.agent(facts.agent),
        *checks_peers.peers(facts.peers, config),
        checks_group.alerts(facts.channels, config),
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
    from agent.doctor import (  # heavy: grpc, requests
        gather_etcd,
        gather_files,
        gather_gate,
        gather_group,
        gather_host,
        gather_nodeos,
        gather_peers,
    )

    share = within_s * 0.8
    jobs: dict[str, Callable[[], Any]] = {
        "nodeos": lambda: gather_nodeos.gather(config, share),
        "etcd members": lambda: gather_etcd.servers(config, share),
        "etcd": lambda: gather_etcd.cluster(config, share),
        "group": lambda: gather_group.gather(config, share),
        "agent": lambda: gather_host.agent(config),
        "peers": lambda: gather_peers.gather(config, share),
        "host": lambda: gather_host.host(config),
        "files": lambda: gather_files.gather(config, path),
        "signing gate": lambda: gather_gate.gather(config),
        **{f"alerts {each.name}": partial(gather_host.channel, each) for each in config.alerts},
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
