"""What a configuration means for those who look from outside: reloads, the certificate's end, where runbooks are.

`reloaded` tells what became of a reload; `expiry` is asked at scrape time for the end of etcd's client certificate.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from agent.net.tls import of_pem
from agent.ports import Clock
from agent.telemetry.families import Kit

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric


@dataclass(eq=False)
class ConfigGauges(Kit):
    """The configuration of one agent as metrics, computed at scrape time."""

    _clock: Clock
    runbooks: str
    _expiry: Callable[[], float | None] = lambda: None

    def __post_init__(self) -> None:
        self._ok, self._at = True, self._clock.wall()

    def reloaded(self, *, ok: bool) -> None:
        """Note that a configuration was read again, and whether it could be used."""
        self._ok = ok
        if ok:
            self._at = self._clock.wall()

    def collect(self) -> Iterator[Metric]:
        """Compute all of them now."""
        text = "1 while the configuration that was read last could be used."
        yield self._one("config_last_reload_successful", text, self._ok)
        text = "When a configuration was read last that could be used, in seconds since 1970."
        yield self._one("config_last_reload_success_timestamp_seconds", text, self._at / 1000)
        yield self._info("runbooks", "Where runbooks.md can be read.", {"url": self.runbooks})
        if (expiry := self._expiry()) is not None:
            text = "When the first certificate in etcd.cert_file runs out, in seconds since 1970."
            yield self._one("etcd_certificate_expiry_timestamp_seconds", text, expiry)


def expiry_of(file: Path | None) -> float | None:
    """Return when the first certificate of a file runs out, in seconds since 1970; None: there is none to read."""
    try:
        return min(of_pem(file.read_text())).timestamp() if file else None
    except (OSError, ValueError):
        return None
