"""`nodeos-failover check --local`: how the nodeos beside us is, without etcd or agent. One line, Nagios codes.

It asks what only a live core can answer: `paused` goes through nodeos's main thread, the head must be young, peers must
have shaken hands. keepalived runs it as track_script; with --stamp each run leaves the time of its start, which is how
`keepalived-notify` knows that keepalived still runs. Standard library only: it starts every second.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from agent.core.model.copying import replace
from agent.core.model.fields import RecordError
from agent.errors import ConfigError, FailoverError
from agent.guard.fence import read_plan, slow_means
from agent.host.deadline import Deadline
from agent.host.paths import DEFAULT_CONFIG, find
from agent.host.process import start_ticks
from agent.keepalived.reach import Reach, address
from agent.net.endpoint import Endpoint, parse_endpoint
from agent.net.http import call

STATES = ("OK", "WARNING", "CRITICAL", "UNKNOWN")
MOST = 1 << 20
"""Bytes of an answer; each peer takes about 1 KiB."""
HEAD_AGE_S = 30.0
TIMEOUT_S = 0.8


@dataclass(frozen=True, slots=True)
class LocalLimits:
    """What is asked for. `head_age_s` 0: the head may be of any age, for a chain with one producer."""

    head_age_s: float = HEAD_AGE_S
    peers: int = 1
    timeout_s: float = TIMEOUT_S


@dataclass(frozen=True, slots=True)
class NagiosResult:
    """Exit code, words, and figures for a graph."""

    code: int
    text: str
    figures: Mapping[str, str]

    @property
    def line(self) -> str:
        """The whole line."""
        figures = " ".join(f"{name}={value}" for name, value in self.figures.items())
        return f"NODEOS-FAILOVER {STATES[self.code]} - {self.text.replace('|', '/')} | {figures}"


def look(endpoint: Endpoint, limits: LocalLimits, wall_s: float) -> NagiosResult:
    """Ask nodeos, and judge; within `timeout_s` in all."""
    deadline = Deadline(limits.timeout_s)
    figures: dict[str, str] = {}
    try:
        paused = _ask(endpoint, "/v1/producer/paused", deadline)
        info = _ask(endpoint, "/v1/chain/get_info", deadline)
        head = int(info["head_block_num"])
        age = wall_s - datetime.fromisoformat(str(info["head_block_time"]).rstrip("Z")).replace(tzinfo=UTC).timestamp()
        peers = [each for each in _ask(endpoint, "/v1/net/connections", deadline) if _is_peer(each)]
    except (FailoverError, OSError) as error:
        return NagiosResult(2, f"nodeos does not answer: {' '.join(str(error).split())}", figures)
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        return NagiosResult(2, f"nodeos answers something else than expected: {type(error).__name__}", figures)
    figures = {
        "head": str(head),
        "head_age": f"{age:.3f}s",
        "peers": str(len(peers)),
        "paused": str(int(paused is True)),
    }
    text = f"head {head}, {age:.1f} s old, {len(peers)} peers, {'paused' if paused is True else 'producing'}"
    if limits.head_age_s and age > limits.head_age_s:
        return NagiosResult(2, f"the head is too old: {text}", figures)
    if len(peers) < limits.peers:
        return NagiosResult(2, f"too few peers: {text}", figures)
    return NagiosResult(0, text, figures)


def with_reach(verdict: NagiosResult, reach: Reach, deadline: Deadline) -> NagiosResult:
    """Return the verdict with what the host reaches: too little is CRITICAL, and an isolated host stops."""
    if not reach.asked:
        return verdict
    count = reach.count(deadline)
    verdict = replace(verdict, figures={**verdict.figures, "reached": str(count)})
    if verdict.code == 0 and count < reach.enough:
        return replace(verdict, code=2, text=f"only {count} of {reach.asked} can be reached: {verdict.text}")
    return verdict


def _is_peer(entry: Any) -> bool:
    """Tell whether a connection has finished its handshake."""
    return bool(entry["last_handshake"]["network_version"] > 0)


def _ask(endpoint: Endpoint, path: str, deadline: Deadline) -> Any:
    answer = call(endpoint, path, deadline.left(), most=MOST)
    if not 200 <= answer.status < 300:
        raise OSError(f"{path} answers {answer.status}")
    return json.loads(answer.body)


def leave_stamp(path: Path) -> None:
    """Note when this very process was started, which is when whoever starts it was alive (ms of CLOCK_BOOTTIME)."""
    started = start_ticks(os.getpid()) * 1000 // os.sysconf("SC_CLK_TCK")
    new = path.with_name(f"{path.name}.{os.getpid()}")
    new.write_text(f"{started}\n")
    new.replace(path)


def arguments(words: list[str]) -> argparse.Namespace:
    """Read the command line; ends the process with 2 when it cannot."""
    parser = argparse.ArgumentParser(prog="nodeos-failover check --local", description=__doc__.split("\n\n", 1)[0])
    parser.add_argument("--local", action="store_true", required=True)
    parser.add_argument("-c", "--config", type=Path, default=os.environ.get("NODEOS_FAILOVER_CONFIG", DEFAULT_CONFIG))
    parser.add_argument("--stamp", action="store_true", help="tell keepalived-notify that keepalived runs")
    parser.add_argument("--max-head-age", type=float, default=HEAD_AGE_S, help="seconds, 0: any (%(default)s)")
    parser.add_argument("--min-peers", type=int, default=1, help="(%(default)s)")
    parser.add_argument(
        "--reach",
        type=address,
        action="append",
        default=[],
        metavar="IP:PORT",
        help="again and again: of these more than half must accept a connection",
    )
    parser.add_argument("--timeout", type=float, default=TIMEOUT_S, help="seconds in all (%(default)s)")
    return parser.parse_args(words)


def main(words: list[str], environ: Mapping[str, str] = os.environ) -> int:
    """Check, print one line, and return its code: 0 OK, 2 CRITICAL, 3 UNKNOWN."""
    given = arguments(words)
    try:
        files = find(given.config, environ)[0]
        if given.stamp:
            leave_stamp(files.stamp)
        means = read_plan(files) or slow_means(given.config, environ)
        limits = LocalLimits(given.max_head_age, given.min_peers, given.timeout)
        reach, deadline = Reach(given.reach), Deadline(given.timeout)
        verdict = look(parse_endpoint(means.plan.url), limits, time.time())
        verdict = with_reach(verdict, reach, deadline)
    except (FailoverError, RecordError, ConfigError, OSError) as error:
        verdict = NagiosResult(3, " ".join(str(error).split()), {})
    print(verdict.line)  # noqa: T201 - this is a command
    sys.stdout.flush()
    return verdict.code
