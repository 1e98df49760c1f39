"""A real nodeos that can be killed, frozen and restarted, and asked over its own API. Only one node lives here."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import socket
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from agent.host.deadline import Deadline, DeadlineSocket
from tests.lab.binaries import NodeosBinaries
from tests.lab.errors import LabError
from tests.lab.places import LOOPBACK, Place
from tests.lab.process import Process
from tests.lab.wait import until

HOST = "127.0.0.1"
READY_LIMIT = 30.0  # seconds; 0.6 on an idle machine, more with a replay
API_LIMIT = 5.0
PUBLIC_KEY = "EOS6MRyAjQq8ud7hVNYcfnVPJqcVpscN5So8BhtHuGYqET5GDW5CV"
PRIVATE_KEY = "5KQwrPbwdL6PhXujxW37FSSQZ1JiwsST4cqQzDeyXtP79zkvFD3"  # the well-known development pair: public knowledge
PLUGINS = ("producer_plugin", "chain_api_plugin", "producer_api_plugin", "net_api_plugin", "db_size_api_plugin")
RECONNECT = 2  # seconds until a peer that was lost is dialled again; nodeos's default is 30
SOCKET_PATH = 107  # bytes that the path of a Unix socket may have
QUIET = ("net_plugin_impl",)
"""Loggers of which only errors are logged: peers on two forks tell each other hundreds of times a second that they are.

In the first 10 s of a chain that two nodes split each logged 0.7 to 0.9 MB by default, 0.02 to 0.2 MB so.
"""


class ApiError(LabError):
    """nodeos did not answer, or answered with an error."""


def post(name: str, place: Place, port: int, path: str, body: bytes, limit: float) -> tuple[int, bytes]:
    """POST to `port` of 127.0.0.1 in `place`; return status and body. ApiError, naming `name`, without an answer."""
    connection = http.client.HTTPConnection(HOST, port)
    with place.inside():
        connection.sock = sock = DeadlineSocket(socket.AF_INET, Deadline(limit))
    try:
        sock.connect((HOST, port))
        connection.request("POST", path, body=body or None)
        answer = connection.getresponse()
        return answer.status, answer.read()
    except (OSError, http.client.HTTPException) as error:
        raise ApiError(f"{name} {path}: {error}") from error
    finally:
        connection.close()


@dataclass(frozen=True)
class NodeSpec:
    """What a node is. `producers` and `keys` (public, private) are empty for an observer.

    `peers` are host:port, or ports of 127.0.0.1. The API listens on 127.0.0.1 of its place, p2p at the place's address.
    `env` is set beside our environment. `providers` are signature providers in full, which stand instead of `keys`.
    """

    name: str
    http: int
    p2p: int
    producers: Sequence[str] = ()
    keys: Sequence[tuple[str, str]] = ((PUBLIC_KEY, PRIVATE_KEY),)
    peers: Sequence[int | str] = ()
    plugins: Sequence[str] = PLUGINS
    more: Sequence[str] = field(default=())
    place: Place = LOOPBACK
    env: Mapping[str, str] = field(default_factory=dict)
    providers: Sequence[str] = ()


class Node(Process):
    """One nodeos, without `binaries` a SIMULATED one; start, kill, freeze, thaw, stop as any process.

    Its data survive, `restart` goes on from them. `simulated_chain`: the file that SIMULATED nodes share; by default
    those that stand beside each other do.
    """

    def __init__(
        self, spec: NodeSpec, root: Path, binaries: NodeosBinaries | None, simulated_chain: Path | None = None
    ) -> None:
        self.spec = spec
        self.root = root
        self.http_url = f"http://{HOST}:{spec.http}"
        self.socket = root / "nodeos.sock"
        self._socket = self.socket if len(os.fsencode(self.socket)) <= SOCKET_PATH else ""
        chain = simulated_chain or root.parent / "simulated-chain"
        command = self._command(binaries) if binaries else self._simulated(chain)
        super().__init__(spec.name, command, root / "nodeos.log", {**os.environ, **spec.env}, spec.place)

    def _simulated(self, chain: Path) -> list[str | Path]:
        spec = self.spec
        command: list[str | Path] = [sys.executable, "-m", "tests.lab.simulated", "--listen", f"{HOST}:{spec.http}"]
        command += ["--unix-socket-path", self._socket, "--chain", chain, "--name", spec.name]
        command += [part for name in spec.producers[:1] for part in ("--producer", name)]
        command += [part for name in PLUGINS if name not in spec.plugins for part in ("--without", name)]
        return [*command, *spec.more]

    def _command(self, binaries: NodeosBinaries) -> list[str | Path]:
        spec = self.spec
        command: list[str | Path] = [binaries.nodeos, "--data-dir", self.root / "data", "--config-dir", self.root]
        command += ["--http-server-address", f"{HOST}:{spec.http}"]
        command += ["--p2p-listen-endpoint", f"{spec.place.address}:{spec.p2p}"]
        command += ["--agent-name", spec.name, "--connection-cleanup-period", str(RECONNECT)]
        command += ["--unix-socket-path", self._socket]
        command += ["--p2p-max-nodes-per-host", "20", "--resource-monitor-not-shutdown-on-threshold-exceeded"]
        command += ["--chain-state-db-size-mb", "256", "--chain-state-db-guard-size-mb", "16"]
        command += [part for plugin in spec.plugins for part in ("--plugin", f"eosio::{plugin}")]
        command += [part for name in spec.producers for part in ("--producer-name", name)]
        if spec.producers:
            own = spec.providers or [f"{pub}=KEY:{key}" for pub, key in spec.keys]
            command += [part for each in own for part in ("--signature-provider", each)]
        peers = [f"{HOST}:{peer}" if isinstance(peer, int) else peer for peer in spec.peers]
        command += [part for peer in peers for part in ("--p2p-peer-address", peer)]
        return [*command, *spec.more]

    @property
    def executable(self) -> str:
        """The file name of the program: that of a SIMULATED node is Python."""
        return Path(self.command[0]).resolve().name

    @property
    def data_dir(self) -> Path:
        """The directory of blocks and state."""
        return self.root / "data"

    def launch(self, *more: str, limit: float = READY_LIMIT) -> None:
        """Start, and return once the API answers."""
        self.data_dir.mkdir(parents=True, exist_ok=True)
        (self.root / "logging.json").write_text(json.dumps(_logging()))
        self.start(*more)
        self.wait_ready(limit)

    def restart(self, *more: str, limit: float = READY_LIMIT) -> None:
        """Start again as an operator would: paused if it produces, with a replay if it was killed."""
        self.stop()
        pause = ["--pause-on-startup"] if self.spec.producers else []
        replay = ["--replay-blockchain"] if self.exit_code != 0 else []
        self.launch(*pause, *replay, *more, limit=limit)

    def begin_anew(self, *more: str, limit: float = READY_LIMIT) -> None:
        """Start with an empty chain, to get it all from the peers, with `more` words; what finalizers swore stays."""
        self.stop(grace=3.0)
        for name in ("blocks", "state"):
            shutil.rmtree(self.data_dir / name, ignore_errors=True)
        self.launch(*more, limit=limit)

    def split_from(self, other: Node) -> bool:
        """Whether irreversible blocks differ: neither node ever follows the other again."""
        num = min(int(each.info()["last_irreversible_block_num"]) for each in (self, other))
        mine, theirs = (each.call("/v1/chain/get_block", {"block_num_or_id": num})["id"] for each in (self, other))
        return bool(mine != theirs)

    def wait_ready(self, limit: float = READY_LIMIT) -> None:
        """Return once the API answers. LabError when the process ended instead."""

        def answers() -> bool:
            if not self.running:
                raise LabError(f"{self.name} ended with {self.exit_code}:\n{self.log_tail(8)}")
            return bool(self.info(limit=1.0))

        until(answers, limit, f"{self.name} to answer", retry_on=(ApiError,))

    def call(self, path: str, body: dict[str, Any] | None = None, limit: float = API_LIMIT) -> Any:
        """POST to the API and return the JSON answer, within `limit` seconds in all. ApiError without success."""
        status, text = self.ask(path, json.dumps(body).encode() if body else b"", limit)
        if status not in (200, 201, 202):
            raise ApiError(f"{self.name} {path}: {status} {text[:500]!r}")
        return json.loads(text)

    def ask(self, path: str, body: bytes = b"", limit: float = API_LIMIT) -> tuple[int, bytes]:
        """POST to the API and return status and body of any answer. ApiError when there is none."""
        return post(self.name, self.place, self.spec.http, path, body, limit)

    def info(self, limit: float = API_LIMIT) -> dict[str, Any]:
        """get_info."""
        found: dict[str, Any] = self.call("/v1/chain/get_info", limit=limit)
        return found

    @property
    def head(self) -> int:
        """The number of the head block."""
        return int(self.info()["head_block_num"])

    @property
    def paused(self) -> bool:
        """Whether production is paused."""
        return bool(self.call("/v1/producer/paused"))

    def pause(self) -> None:
        """Pause production, as somebody by hand."""
        self.call("/v1/producer/pause")

    def resume(self) -> None:
        """Resume production, as somebody by hand."""
        self.call("/v1/producer/resume")

    def wait_head(self, num: int, limit: float = READY_LIMIT) -> None:
        """Return once the head is at `num` or beyond."""
        until(lambda: self.head >= num, limit, f"{self.name} at block {num}", retry_on=(ApiError,))

    def wait_blocks(self, count: int = 1, limit: float = READY_LIMIT) -> None:
        """Return once the head has moved on by `count`."""
        self.wait_head(self.head + count, limit)

    def wait_level(self, other: Node, limit: float = READY_LIMIT) -> None:
        """Return once this node is within one block of `other`."""
        until(lambda: abs(self.head - other.head) <= 1, limit, f"{self.name} level with {other.name}")


def _logging() -> dict[str, Any]:
    """Return nodeos's logging.json: everything from `info` on, but of QUIET the errors."""

    def logger(name: str, level: str) -> dict[str, Any]:
        return {"name": name, "level": level, "enabled": True, "additivity": False, "appenders": ["stderr"]}

    stderr = {"name": "stderr", "type": "console", "args": {"stream": "std_error"}, "enabled": True}
    loud = [logger(name, "info") for name in ("default", "producer_plugin", "http_plugin")]
    return {"includes": [], "appenders": [stderr], "loggers": [*loud, *(logger(name, "error") for name in QUIET)]}
