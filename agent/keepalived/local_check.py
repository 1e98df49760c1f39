"""`nodeos-failover check --local`: how the nodeos beside us is, without etcd or agent. One line, Nagios codes.

It asks what only a live core can answer: `paused` goes through nodeos's main thread, the head must be young, peers must
have shaken hands; and with --reach, whether this host still reaches the world: of some addresses more than half must
accept a connection. Two hosts that do not hear each other are both MASTER for keepalived; one that reaches nobody else
either is the one to stop, and so it is in FAULT before the other resumes.

keepalived runs it as track_script; with --stamp each run leaves the time of its start, which is how
`keepalived-notify` knows that keepalived still runs; and it fails when `keepalived-notify` does not. Standard library
only: it starts every second.
"""

from __future__ import annotations

import argparse
import errno
import json
import os
import select
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from agent.core.model.copying import replace
from agent.core.model.fields import RecordError
from agent.errors import ConfigError, FailoverError
from agent.guard.fence import read_plan, slow_means
from agent.host.clock import boot_ms
from agent.host.deadline import Deadline
from agent.host.paths import DEFAULT_CONFIG, find
from agent.host.process import start_ticks
from agent.host.small_file import read_whole, write_whole
from agent.net.endpoint import Endpoint, parse_endpoint
from agent.net.http import call

Address = tuple[str, int]


def address(text: str) -> Address:
    """Read `IP:PORT` or `[IPv6]:PORT`. No names: an isolated host would wait for its resolver instead of failing."""
    host, _, port = text.rpartition(":")
    six = host.startswith("[") and host.endswith("]")
    host = host[1:-1] if six else host
    try:
        socket.inet_pton(socket.AF_INET6 if six else socket.AF_INET, host)
        if not 0 < int(port) < 65536:
            raise ValueError(port)  # noqa: TRY301 - one place reports
    except (OSError, ValueError) as error:
        raise argparse.ArgumentTypeError(f"{text!r}: write IP:PORT or [IPv6]:PORT, no names") from error
    return host, int(port)


class Reach:
    """Connections that are being made, to all at once. An address that refuses counts as not reached.

    A refusal proves nothing: a firewall of this very host may have said it.
    """

    def __init__(self, wanted: Sequence[Address]) -> None:
        self.asked = len(wanted)
        self._open: dict[int, socket.socket] = {}
        self._reached = 0
        for host, port in wanted:
            sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
            sock.setblocking(False)
            code = sock.connect_ex((host, port))
            if code == errno.EINPROGRESS:
                self._open[sock.fileno()] = sock
            else:
                self._reached += code == 0
                sock.close()

    @property
    def enough(self) -> int:
        """How many must be reached."""
        return self.asked // 2 + 1 if self.asked else 0

    def count(self, deadline: Deadline) -> int:
        """Return how many were reached, once that is enough, all have answered, or time is up; closes them all."""
        poll = select.poll()
        for number in self._open:
            poll.register(number, select.POLLOUT)
        while self._open and self._reached < self.enough:
            # what has answered by now counts, also when nodeos has used up the time
            ready = poll.poll(int(deadline.remaining() * 1000))
            if not ready:
                break
            for number, _ in ready:
                poll.unregister(number)
                with self._open.pop(number) as sock:
                    self._reached += sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
        for sock in self._open.values():
            sock.close()
        self._open.clear()
        return self._reached


STATES = ("OK", "WARNING", "CRITICAL", "UNKNOWN")
MOST = 1 << 20
"""Bytes of an answer; each peer takes about 1 KiB."""
HEAD_AGE_S = 30.0
TIMEOUT_S = 0.8
SIGN_MS = 10_000
"""How old the sign of life of keepalived-notify may be: a reload, or a nodeos that is hard to stop, takes seconds."""


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
        connections = _ask(endpoint, "/v1/net/connections", deadline)
        peers = sum(each["last_handshake"]["network_version"] > 0 for each in connections)  # the handshake is over
    except (FailoverError, OSError) as error:
        return NagiosResult(2, f"nodeos does not answer: {' '.join(str(error).split())}", figures)
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        return NagiosResult(2, f"nodeos answers something else than expected: {type(error).__name__}", figures)
    figures = {"head": str(head), "head_age": f"{age:.3f}s", "peers": str(peers), "paused": str(int(paused is True))}
    text = f"head {head}, {age:.1f} s old, {peers} peers, {'paused' if paused is True else 'producing'}"
    if limits.head_age_s and age > limits.head_age_s:
        return NagiosResult(2, f"the head is too old: {text}", figures)
    if peers < limits.peers:
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


def with_sign(verdict: NagiosResult, alive: Path) -> NagiosResult:
    """Return the verdict with whether `keepalived-notify` goes round: if not, only the other host can produce.

    keepalived starts it once and never looks again. As long as nodeos is not seen to be paused all stays as it is: the
    guard has not stopped it yet, or cannot, and the other host must not resume beside it.
    """
    try:
        age = boot_ms() - int(read_whole(alive))
    except (OSError, ValueError):
        age = SIGN_MS
    if verdict.code or verdict.figures.get("paused") != "1" or 0 <= age < SIGN_MS:
        return verdict
    return replace(verdict, code=2, text=f"keepalived-notify gives no sign of life: {verdict.text}")


def _ask(endpoint: Endpoint, path: str, deadline: Deadline) -> Any:
    answer = call(endpoint, path, deadline.left(), most=MOST)
    if not 200 <= answer.status < 300:
        raise OSError(f"{path} answers {answer.status}")
    return json.loads(answer.body)


def leave_stamp(path: Path) -> None:
    """Note when this very process was started, which is when whoever starts it was alive (ms of CLOCK_BOOTTIME)."""
    started = start_ticks(os.getpid()) * 1000 // os.sysconf("SC_CLK_TCK")
    write_whole(path, f"{started}\n", mark=str(os.getpid()))


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
        if given.stamp:
            verdict = with_sign(verdict, files.alive)
    except (FailoverError, RecordError, ConfigError, OSError) as error:
        verdict = NagiosResult(3, " ".join(str(error).split()), {})
    print(verdict.line)  # noqa: T201 - this is a command
    sys.stdout.flush()
    return verdict.code
