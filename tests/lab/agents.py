"""One agent of the product as a child process: its configuration, its faults, and what it says over HTTP.

It is started as an operator starts it, `nodeos-failover run --config FILE`; nothing of it runs inside the lab.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.lab.places import LOOPBACK, Place
from tests.lab.process import Process, pids_of

HTTP_LIMIT = 2.0


def to_toml(settings: Mapping[str, Any], above: str = "") -> str:
    """Write nested settings as TOML. Values are what JSON knows, which TOML writes alike."""
    plain = {key: value for key, value in settings.items() if not isinstance(value, Mapping)}
    lines = [f"{key} = {_inline(value)}" for key, value in plain.items()]
    for key, value in settings.items():
        if isinstance(value, Mapping):
            lines += ["", f"[{above}{key}]", to_toml(value, f"{above}{key}.")]
    return "\n".join(lines)


def _inline(value: object) -> str:
    """Write one value; tables within a list stand on its line."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key} = {_inline(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_inline, value)) + "]"
    return json.dumps(value)


def settled(agents: Iterable[Agent]) -> bool:
    """Whether one leads, the others are healthy standbys, and all see all."""
    found = [agent.status() for agent in agents]
    phases = sorted(str(each.get("phase")) for each in found)
    members = [member for each in found for member in each.get("members", ())]
    well = len(members) == len(found) ** 2 and all(each["healthy"] for each in members)
    return phases == ["leading", *["standby"] * (len(found) - 1)] and well


class Agent(Process):
    """An agent; start, kill, freeze, thaw, stop as any process. `settings` is its whole configuration.

    It hears datagrams of its peers at the address `hears` and the port of its HTTP server.
    """

    def __init__(
        self,
        settings: Mapping[str, Any],
        root: Path,
        http_port: int,
        env: Mapping[str, str] | None = None,
        place: Place = LOOPBACK,
        hears: str = LOOPBACK.address,
    ):
        self.node = str(settings["node"])
        self.http_port = http_port
        root.mkdir(parents=True, exist_ok=True)
        self.config = root / "agent.toml"
        self.runtime_dir = root / "run"
        whole = {
            **settings,
            "http": {"listen": f"127.0.0.1:{http_port}"},
            "runtime": {"dir": str(self.runtime_dir)},
            "peers": self._peers(root, place, hears) | dict(settings.get("peers", {})),
            "log": settings.get("log", {"level": "debug"}),
        }
        self._configured = to_toml(whole) + "\n"
        self.config.write_text(self._configured)
        self.config.chmod(0o600)
        command: Sequence[str | Path] = [sys.executable, "-m", "agent", "run", "--config", self.config]
        super().__init__(f"agent-{self.node}", command, root / "agent.log", {**os.environ, **(env or {})}, place)

    def _peers(self, root: Path, place: Place, hears: str) -> dict[str, str]:
        """Each agent is a host of its own; on one loopback each needs a port of its own as well."""
        own = {"state_dir": str(root / "state")}
        return own if place.namespace else own | {"listen": f"{hears}:{self.http_port}"}

    def configure_anew(self) -> None:
        """Give it the configuration that it was made with, and end it if it has another one."""
        if self.config.read_text() != self._configured:
            self.stop()
            self.config.write_text(self._configured)

    def get(self, path: str) -> tuple[int, bytes]:
        """Ask the agent over HTTP; status 0 when it does not answer."""
        connection = http.client.HTTPConnection("127.0.0.1", self.http_port, timeout=HTTP_LIMIT)
        try:
            with self.place.inside():
                connection.connect()
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read()
        except (OSError, http.client.HTTPException):
            return 0, b""
        finally:
            connection.close()

    def status(self) -> dict[str, Any]:
        """Return what /status says; empty when the agent does not answer."""
        code, body = self.get("/status")
        found: dict[str, Any] = json.loads(body) if code == 200 else {}
        return found

    @property
    def phase(self) -> str:
        """The phase that the agent is in, empty when it does not answer."""
        return str(self.status().get("phase", ""))

    @property
    def leads(self) -> bool:
        """Whether the agent says that it is the confirmed leader."""
        return self.get("/leader")[0] == 200

    def guard_pid(self) -> int | None:
        """Return the pid of the agent's guard process, None when there is none."""
        found = self.status().get("guard_pid")
        return found if isinstance(found, int) else None

    def guards(self) -> list[int]:
        """Return its guards, whoever started them: what runs `agent.guard` on its run-time file. One may be old."""
        runtime_dir = os.fsencode(self.runtime_dir)

        def mine(words: Sequence[bytes]) -> bool:
            return b"agent.guard" in words and any(word.startswith(runtime_dir) for word in words)

        return pids_of(mine)

    def signal_guards(self, number: signal.Signals) -> int:
        """Send a signal to its guards; return to how many."""
        sent = 0
        for pid in self.guards():
            with contextlib.suppress(ProcessLookupError):
                handle = os.pidfd_open(pid)
                try:
                    if pid in self.guards():  # still the same one, now that it cannot be mistaken
                        signal.pidfd_send_signal(handle, number)
                        sent += 1
                finally:
                    os.close(handle)
        return sent

    def close(self) -> None:
        """End the agent and its guard in any case; asked kindly first, so that both end by themselves."""
        if not self.running:
            return
        guard = self.guard_pid()
        self.stop(grace=3.0)
        if self.exit_code:
            _kill(guard)

    def lose_host(self) -> None:
        """SIGKILL agent and guard at once, as a power cut does; nodeos is the caller's."""
        guard = self.guard_pid()
        self.signal(signal.SIGKILL)
        _kill(guard)
        self.wait(5.0)

    def wait_phase(self, *phases: str, limit: float = 20.0) -> str:
        """Return the phase once it is one of `phases`. AssertionError with the log's end after `limit` seconds."""
        end = time.monotonic() + limit
        while True:
            phase = self.phase
            if phase in phases:
                return phase
            if time.monotonic() > end:
                raise AssertionError(f"{self.name} is {phase or 'silent'}, not {phases}:\n{self.log_tail(30)}")
            time.sleep(0.05)


def _kill(pid: int | None) -> None:
    if pid is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
