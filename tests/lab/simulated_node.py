"""A SIMULATED nodeos as a child process, in the place of a real one, with everything that it can be asked for."""

from __future__ import annotations

import http.client
import json
import os
import sys
from pathlib import Path
from typing import Any

from tests.lab.errors import LabError
from tests.lab.nodeos import API_LIMIT, HOST, Node, NodeSpec
from tests.lab.simulated_answers import PLUGINS

SOCKET_PATH = 107  # bytes, the most that Linux takes for a Unix socket


class SimulatedNode(Node):
    """A SIMULATED node; start, kill, freeze, thaw, stop, restart as a real one.

    `chain` is the file that all nodes share. `control` is the port that takes faults; without it there are none.
    """

    def __init__(
        self, spec: NodeSpec, root: Path, chain: Path, *, control: int | None = None, shape: str = "leap-5"
    ) -> None:
        self._chain, self.control, self._shape = chain, control, shape
        super().__init__(spec, root, None)

    def _simulated(self) -> list[str | Path]:
        spec = self.spec
        command: list[str | Path] = [sys.executable, "-m", "tests.lab.simulated", "--listen", f"{HOST}:{spec.http}"]
        command += ["--chain", self._chain, "--name", spec.name, "--shape", self._shape]
        if len(os.fsencode(self.socket)) <= SOCKET_PATH:
            command += ["--unix-socket-path", self.socket]
        command += [part for name in spec.producers[:1] for part in ("--producer", name)]
        command += [part for name in PLUGINS.values() if name not in spec.plugins for part in ("--without", name)]
        if self.control is not None:
            command += ["--control", str(self.control)]
        return [*command, *spec.more]

    def fault(self, prefix: str, answer: str = "normal", act: float | None = 0.0, status: int = 503) -> None:
        """Have requests whose path begins with `prefix` suffer a fault (see tests.lab.simulated_http.Fault)."""
        self._ask("/fault", {"path": prefix, "answer": answer, "act": act, "status": status})

    def clear(self) -> None:
        """End all faults."""
        self._ask("/clear")

    def state(self) -> dict[str, Any]:
        """Return what really is: paused, head, how many blocks it signed."""
        return self._ask("/state")

    def _ask(self, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        if self.control is None:
            raise LabError(f"{self.name} has no control port: make it with control=PORT")
        connection = http.client.HTTPConnection(HOST, self.control, timeout=API_LIMIT)
        try:
            connection.request("POST", path, body=json.dumps(body or {}))
            answer = connection.getresponse()
            found: dict[str, Any] = json.loads(answer.read())
        except (OSError, http.client.HTTPException) as error:
            raise LabError(f"{self.name}, control port, {path}: {error}") from error
        finally:
            connection.close()
        if answer.status != 200:
            raise LabError(f"{self.name}, control port, {path}: {found}")
        return found
