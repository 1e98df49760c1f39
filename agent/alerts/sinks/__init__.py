"""Alert channels (port `Sink`): which type writes what, and where. What is sent is made in `text`.

http      one request within a total deadline, and what became of it
external  everything that apprise knows, in a process of its own
"""

from __future__ import annotations

import hashlib
import hmac
import json
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from agent.alerts import text as notice_text
from agent.alerts.sinks.external import AppriseSink
from agent.alerts.sinks.http import HttpRequest, HttpSink
from agent.alerts.text import Words
from agent.config.alerts import PAGERDUTY, AlertChannel
from agent.config.secrets import channel_texts, files_of, reread
from agent.core.alerts.notice import Notice
from agent.errors import ConfigError
from agent.host.clock import boot_ms
from agent.host.from_files import FromFiles
from agent.host.logs import mask
from agent.net.proxy import proxy_for
from agent.ports import Delivery, Sink

T = TypeVar("T")
OPEN_FOR = 4
"""An alert that Alertmanager does not get again for so many intervals is over, as Prometheus does it."""
JSON = {"Content-Type": "application/json"}
ALERTS = "/api/v2/alerts"


class RenewedSink:
    """A sink that is made anew when the files of its secrets or its authorities change (port `Sink`)."""

    def __init__(self, channel: AlertChannel, make: Callable[[AlertChannel], Sink]) -> None:
        self.name = channel.name
        self._sink = _renewed(channel, make)

    def send(self, notice: Notice, timeout_s: float) -> Delivery:
        """Try once, within `timeout_s` seconds in all. Never raises."""
        return self._sink().send(notice, timeout_s)


def _renewed(channel: AlertChannel, make: Callable[[AlertChannel], T]) -> FromFiles[T]:
    """Return what is made of a channel, as its files are when it is asked for."""

    def read() -> T:
        found = reread(channel)
        for text in channel_texts(found):
            mask(text)
        return make(found)

    return FromFiles(f"alerts {channel.name}", (*files_of(channel), *_authorities(channel)), read)


def _authorities(channel: AlertChannel) -> tuple[Path, ...]:
    if channel.type == "apprise" or not channel.url.get_secret_value().startswith("https:"):
        return ()
    from agent.net.tls import authorities

    return authorities(channel.ca_file)


def make_sink(channel: AlertChannel, runbooks: str = "grafana/runbooks.md") -> Sink:
    """Return the sink of a configured channel. ConfigError when its CA file, or apprise, cannot be used."""
    return RenewedSink(channel, lambda found: _made(found, runbooks))


def _made(channel: AlertChannel, runbooks: str) -> Sink:
    words = Words(channel.template, runbooks)
    if channel.type == "apprise":
        return AppriseSink(channel.name, channel.url.get_secret_value(), words, channel.proxy.get_secret_value())
    return _http(channel, _WRITERS[channel.type](channel, words))


def make_ping(channel: AlertChannel) -> Callable[[float], Delivery]:
    """Return what pings the URL of a heartbeat channel, within the seconds it is given."""
    letter = HttpRequest(b"", method="GET")  # every such service takes GET; some take nothing else
    sink = _renewed(channel, lambda found: _http(found, lambda _notice: letter))
    return lambda timeout_s: sink().post(letter, timeout_s)


def _http(channel: AlertChannel, write: Callable[[Notice], HttpRequest]) -> HttpSink:
    url = channel.url.get_secret_value() or PAGERDUTY
    proxy = proxy_for(url, channel.proxy.get_secret_value())
    return HttpSink(channel.name, url, write, _context(channel, url), proxy)


def _context(channel: AlertChannel, url: str) -> ssl.SSLContext | None:
    if not url.startswith("https:"):
        return None
    from agent.net.tls import tls_context

    try:
        return tls_context(channel.ca_file)
    except ConfigError:
        raise ConfigError(
            [f"alerts {channel.name}: ca_file {channel.ca_file} cannot be used: give a readable PEM file"]
        ) from None


def _webhook(channel: AlertChannel, words: Words) -> Callable[[Notice], HttpRequest]:
    secret = channel.secret.get_secret_value().encode()

    def write(notice: Notice) -> HttpRequest:
        body = _json(notice_text.webhook(notice, words))
        return HttpRequest(body, JSON | (signature(secret, body, int(time.time())) if secret else {}))

    return write


def signature(secret: bytes, body: bytes, when: int) -> dict[str, str]:
    """Return the headers that prove where a body comes from, and when (`when`: seconds since 1970).

    X-Signature-256 is the HMAC-SHA256, in hex after `sha256=`, of X-Signature-Timestamp, a dot, and the body.
    """
    made = hmac.new(secret, f"{when}.".encode() + body, hashlib.sha256).hexdigest()
    return {"X-Signature-Timestamp": str(when), "X-Signature-256": f"sha256={made}"}


def _slack(_channel: AlertChannel, words: Words) -> Callable[[Notice], HttpRequest]:
    return lambda notice: HttpRequest(_json(notice_text.slack(notice, words)), JSON)


def _pagerduty(channel: AlertChannel, words: Words) -> Callable[[Notice], HttpRequest]:
    key = channel.secret.get_secret_value()

    def write(notice: Notice) -> HttpRequest:
        body = _json(notice_text.pagerduty(notice, words, key, _wall_ms()))
        return HttpRequest(body, JSON, _changes if notice_text.is_change(notice) else _unchanged)

    return write


def _alertmanager(channel: AlertChannel, words: Words) -> Callable[[Notice], HttpRequest]:
    open_ms = round(channel.interval * 1000) * OPEN_FOR

    def write(notice: Notice) -> HttpRequest:
        wall = _wall_ms()
        began = wall - max(0, boot_ms() - notice.since) if notice.since else wall
        return HttpRequest(_json(notice_text.alertmanager(notice, words, wall, began, open_ms)), JSON, _alerts)

    return write


def _unchanged(path: str) -> str:
    return path


def _changes(path: str) -> str:
    """Return where PagerDuty takes what is no incident."""
    return path.removesuffix("/enqueue") + "/change/enqueue" if path.endswith("/enqueue") else path


def _alerts(path: str) -> str:
    """Return where Alertmanager takes alerts, below whatever prefix it runs."""
    return path if path.endswith(ALERTS) else path.rstrip("/") + ALERTS


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000


def _json(data: object) -> bytes:
    return json.dumps(data, ensure_ascii=False).encode(errors="backslashreplace")


_WRITERS: dict[str, Callable[[AlertChannel, Words], Callable[[Notice], HttpRequest]]] = {
    "webhook": _webhook,
    "slack": _slack,
    "pagerduty": _pagerduty,
    "alertmanager": _alertmanager,
}
