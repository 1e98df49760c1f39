"""Pages that stand for an agent's, and the real HTTP server before them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from agent.telemetry.http_server import HttpServer
from agent.telemetry.pages import AgentPages


class FakePages(AgentPages):
    """Answers as the test says: whether it is `alive`, and ready and leader (`ok`), and `data` as the status.

    With a `defect` the status fails.
    """

    def __init__(self, data: dict[str, Any] | None = None) -> None:
        self.alive = self.ok = True
        self.data = data or {"role": "leading"}
        self.defect = False

    def metrics(self, accept: str) -> tuple[bytes, str]:
        """Return one metric, and what was asked for as its type."""
        return b"nodeos_failover_is_leader 1\n", accept or "text/plain; version=0.0.4"

    def live(self) -> tuple[bool, str]:
        """Answer."""
        return self.alive, "last step 0.1 s ago"

    def ready(self) -> tuple[bool, str]:
        """Answer."""
        return self.ok, "ready" if self.ok else "2 peers"

    def leader(self) -> tuple[bool, str]:
        """Answer."""
        return self.ok, "leader" if self.ok else "standby"

    def status(self) -> dict[str, Any]:
        """Answer, or fail."""
        if self.defect:
            raise KeyError("defect")
        return self.data


@contextmanager
def serving(pages: FakePages) -> Iterator[int]:
    """Serve pages as an agent does; yield the port of 127.0.0.1."""
    server = HttpServer(("127.0.0.1", 0), pages)
    server.start()
    try:
        yield server.address[1]
    finally:
        server.close()
