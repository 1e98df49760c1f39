"""A real Alertmanager with the route that grafana/README.md documents, and what came of it. Nothing is tested here."""

from __future__ import annotations

import http.client
import http.server
import json
import re
import shutil
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import yaml

from tests.lab.binaries import find_alertmanager
from tests.lab.errors import LabError
from tests.lab.ports import Ports
from tests.lab.process import Process
from tests.lab.wait import until

README = Path(__file__).parents[2] / "grafana" / "README.md"
HOST = "127.0.0.1"
ALERTS = "/api/v2/alerts"
START_LIMIT = 30.0
BESIDE = 'mount --bind "$0" /usr/share && exec "$@"'
"""Debian's program looks for its templates in /usr/share alone: one that was only unpacked is shown its own there."""


class Receivers(http.server.ThreadingHTTPServer):
    """Takes what Alertmanager sends. `got`: the alerts by the name of the receiver, in their order."""

    def __init__(self) -> None:
        self.got: dict[str, list[dict[str, Any]]] = {"pager": [], "chat": []}
        super().__init__((HOST, 0), _Take)

    def names(self, receiver: str, status: str = "firing") -> list[str]:
        """Return the origin and event of what a receiver was told."""
        return [_name(each) for each in self.got[receiver] if each["status"] == status]


def _name(alert: dict[str, Any]) -> str:
    return f"{alert['labels'].get('origin')} {alert['labels'].get('event')}"


class _Take(http.server.BaseHTTPRequestHandler):
    server: Receivers

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.got[self.path.strip("/")] += body["alerts"]
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


class Alertmanager(Process):
    """An Alertmanager below `root` that routes as documented, without waiting for more of a group."""

    def __init__(self, root: Path, ports: Ports, receivers: int) -> None:
        root.mkdir(parents=True)
        self.port = ports.take()
        config = yaml.safe_load(re.findall(r"(?s)```yaml\n(# alertmanager.yml.*?)```", README.read_text())[0])
        config["route"] |= {"group_wait": "1s", "group_interval": "1s"}
        config["receivers"] = [
            {"name": name, "webhook_configs": [{"url": f"http://{HOST}:{receivers}/{name}"}]}
            for name in ("pager", "chat")
        ]
        (root / "alertmanager.yml").write_text(yaml.safe_dump(config))
        program = find_alertmanager()
        share = program.parents[1] / "share"
        own: list[str | Path] = [shutil.which("unshare") or "unshare", "-rm", "sh", "-c", BESIDE, share]
        beside = [] if share == Path("/usr/share") else own
        command: list[str | Path] = [
            *beside,
            program,
            f"--config.file={root / 'alertmanager.yml'}",
            f"--storage.path={root / 'data'}",
            f"--web.listen-address={HOST}:{self.port}",
            "--cluster.listen-address=",
        ]
        super().__init__("alertmanager", command, root / "alertmanager.log")

    @property
    def url(self) -> str:
        """Its base URL."""
        return f"http://{HOST}:{self.port}"

    def ready(self) -> bool:
        """Whether it answers. LabError when it has ended."""
        if not self.running:
            raise LabError(f"Alertmanager has ended:\n{self.log_tail()}")
        return self.ask("GET", "/-/ready") is None

    def ask(self, method: str, path: str, body: object = None) -> Any:
        """Ask the HTTP API; return what it answers, None when that is nothing."""
        connection = http.client.HTTPConnection(HOST, self.port, timeout=10)
        try:
            connection.request(method, path, json.dumps(body), {"Content-Type": "application/json"})
            answer = connection.getresponse()
            text = answer.read()
            assert answer.status == http.client.OK, text
            return json.loads(text) if text.startswith((b"[", b"{")) else None
        finally:
            connection.close()

    def states(self) -> dict[str, str]:
        """Return the state (active, suppressed) of each alert by its origin and event."""
        return {_name(each): each["status"]["state"] for each in self.ask("GET", ALERTS)}


@contextmanager
def alertmanager(root: Path) -> Iterator[tuple[Alertmanager, Receivers]]:
    """Run it with receivers that listen."""
    with Receivers() as receivers, closing(Ports()) as ports:
        threading.Thread(target=receivers.serve_forever, name="receivers", daemon=True).start()
        made = Alertmanager(root, ports, receivers.server_address[1])
        made.start()
        try:
            until(made.ready, START_LIMIT, "Alertmanager to be ready", (OSError,))
            yield made, receivers
        finally:
            made.stop()
            receivers.shutdown()
