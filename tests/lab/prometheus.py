"""A real Prometheus that scrapes the lab's agents and evaluates rules. Only Prometheus lives here."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from tests.lab.binaries import find_prometheus
from tests.lab.errors import LabError
from tests.lab.ports import Ports
from tests.lab.process import Process
from tests.lab.wait import until

HOST = "127.0.0.1"
START_LIMIT = 30.0
QUERY_LIMIT = 10.0
JOB = "nodeos-failover"


class Prometheus(Process):
    """A Prometheus below `root`, with `rules` (paths of rule files), that scrapes `targets` (ports) each second."""

    def __init__(self, root: Path, ports: Ports, targets: Iterable[int], rules: Iterable[Path] = ()) -> None:
        root.mkdir(parents=True)
        self.port = ports.take()
        config = root / "prometheus.json"  # JSON is YAML, too
        scrape = {
            "job_name": JOB,
            "scrape_interval": "1s",
            "scrape_timeout": "1s",
            "static_configs": [{"targets": [f"{HOST}:{port}" for port in targets]}],
        }
        config.write_text(
            json.dumps(
                {
                    "global": {"evaluation_interval": "1s"},
                    "rule_files": [str(rule) for rule in rules],
                    "scrape_configs": [scrape],
                }
            )
        )
        command: list[str | Path] = [
            find_prometheus().prometheus,
            f"--config.file={config}",
            f"--storage.tsdb.path={root / 'data'}",
            f"--web.listen-address={HOST}:{self.port}",
            "--log.level=warn",
        ]
        super().__init__("prometheus", command, root / "prometheus.log")

    def start(self, *more: str) -> None:
        """Start it, and wait until it answers."""
        super().start(*more)
        until(self._ready, START_LIMIT, f"prometheus to be ready (its log is {self.log})", (OSError,))

    def _ready(self) -> bool:
        if not self.running:
            raise LabError(f"prometheus has ended:\n{self.log_tail()}")
        return self._get("/-/ready")[0] == http.client.OK

    def _get(self, path: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(HOST, self.port, timeout=QUERY_LIMIT)
        try:
            connection.request("GET", path)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def api(self, name: str, **parameters: str | float) -> Any:
        """Ask the HTTP API; return `data` of its answer. LabError with Prometheus' words when it refuses."""
        _, body = self._get(f"/api/v1/{name}?{urlencode(parameters)}")
        answer = json.loads(body)
        if answer["status"] != "success":
            raise LabError(f"prometheus refuses {parameters}: {answer.get('error')}")
        return answer["data"]

    def now(self, expression: str) -> list[dict[str, Any]]:
        """Return the result of an instant query: a list of {metric, value}."""
        found: list[dict[str, Any]] = self.api("query", query=expression)["result"]
        return found

    def past(self, expression: str, seconds: float, step: float = 1.0) -> list[dict[str, Any]]:
        """Return the result of a query over the last seconds: a list of {metric, values}."""
        end = time.time()
        data = self.api("query_range", query=expression, start=end - seconds, end=end, step=step)
        found: list[dict[str, Any]] = data["result"]
        return found
