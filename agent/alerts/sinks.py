"""Alert channels (port `Sink`): which type writes what, and where, within a total deadline, and what became of it.

What is sent is made in `text`. It goes over one fresh connection, with no redirect and no second try, and the answer is
bounded and never unpacked. It is HTTP/1.1 by `requests` over a socket that keeps the deadline: not every service takes
the HTTP/1.0 of `agent.net.http`.

The URL of a channel is a secret. So no text of a foreign error is passed on: what went wrong is told in our own words.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import socket
import ssl
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection

from agent import __version__
from agent.alerts import text as notice_text
from agent.alerts.external import AppriseSink
from agent.alerts.text import Words
from agent.config.alerts import PAGERDUTY, AlertChannel
from agent.config.model import Config
from agent.config.secrets import answer_texts, channel_texts, reread
from agent.core.alerts.notice import Notice
from agent.core.model.copying import replace
from agent.core.model.fields import shown
from agent.errors import ConfigError
from agent.host.clock import boot_ms
from agent.host.deadline import Bounded, CallFailed, Deadline, NoAnswer
from agent.host.from_files import FromFiles
from agent.host.logs import MASK, mask
from agent.net.dial import dial
from agent.net.endpoint import endpoint_of
from agent.net.http import Answer, TooMuch
from agent.net.proxy import Proxy, ProxyRefused, basic, proxy_for
from agent.net.resolver import Resolver
from agent.net.tls import authorities, tls_context
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

    return FromFiles(f"alerts {channel.name}", [channel.url_file, channel.secret_file, *_authorities(channel)], read)


def _authorities(channel: AlertChannel) -> tuple[Path, ...]:
    if channel.type == "apprise" or not channel.url.get_secret_value().startswith("https:"):
        return ()
    return authorities(channel.ca_file)


def make_sink(channel: AlertChannel, runbooks: str = "grafana/runbooks.md") -> Sink:
    """Return the sink of a configured channel. ConfigError when its CA file, or apprise, cannot be used."""
    return RenewedSink(channel, lambda found: _made(found, runbooks))


def _made(channel: AlertChannel, runbooks: str) -> Sink:
    words = Words(channel.template, runbooks)
    if channel.type == "apprise":
        return AppriseSink(channel.name, channel.url.get_secret_value(), words, channel.proxy.get_secret_value())
    return _http(channel, partial(_written, channel, words))


def make_ping(channel: AlertChannel) -> Callable[[float], Delivery]:
    """Return what pings the URL of a heartbeat channel, within the seconds it is given."""
    letter = HttpRequest(b"", method="GET")  # every such service takes GET; some take nothing else
    sink = _renewed(channel, lambda found: _http(found, lambda _notice: letter))
    return lambda timeout_s: sink().post(letter, timeout_s)


def _http(channel: AlertChannel, write: Callable[[Notice], HttpRequest]) -> HttpSink:
    url = channel.url.get_secret_value() or PAGERDUTY
    try:
        context = tls_context(channel.ca_file) if url.startswith("https:") else None
    except ConfigError:
        raise ConfigError(
            [f"alerts {channel.name}: ca_file {channel.ca_file} cannot be used: give a readable PEM file"]
        ) from None
    return HttpSink(channel.name, url, write, context, proxy_for(url, channel.proxy.get_secret_value()))


def _written(channel: AlertChannel, words: Words, notice: Notice) -> HttpRequest:
    """Return a notice as the service at the other end of a channel takes it."""
    secret, wall = channel.secret.get_secret_value(), time.time_ns() // 1_000_000
    match channel.type:
        case "webhook":
            body = _json(notice_text.webhook(notice, words))
            return HttpRequest(body, JSON | (signature(secret.encode(), body, wall // 1000) if secret else {}))
        case "slack":
            return HttpRequest(_json(notice_text.slack(notice, words)), JSON)
        case "pagerduty":
            body = _json(notice_text.pagerduty(notice, words, secret, wall))
            return HttpRequest(body, JSON, _changes) if notice_text.is_change(notice) else HttpRequest(body, JSON)
    began = wall - max(0, boot_ms() - notice.since) if notice.since else wall
    open_ms = round(channel.interval * 1000) * OPEN_FOR
    return HttpRequest(_json(notice_text.alertmanager(notice, words, wall, began, open_ms)), JSON, _alerts)


def signature(secret: bytes, body: bytes, when: int) -> dict[str, str]:
    """Return the headers that prove where a body comes from, and when (`when`: seconds since 1970).

    X-Signature-256 is the HMAC-SHA256, in hex after `sha256=`, of X-Signature-Timestamp, a dot, and the body.
    """
    made = hmac.new(secret, f"{when}.".encode() + body, hashlib.sha256).hexdigest()
    return {"X-Signature-Timestamp": str(when), "X-Signature-256": f"sha256={made}"}


def _changes(path: str) -> str:
    """Return where PagerDuty takes what is no incident."""
    return path.removesuffix("/enqueue") + "/change/enqueue" if path.endswith("/enqueue") else path


def _alerts(path: str) -> str:
    """Return where Alertmanager takes alerts, below whatever prefix it runs."""
    return path if path.endswith(ALERTS) else path.rstrip("/") + ALERTS


def _json(data: object) -> bytes:
    return json.dumps(data, ensure_ascii=False).encode(errors="backslashreplace")


MOST = 1 << 20
"""Bytes of an answer; no channel has more to say."""
SHOWN = 300
"""Bytes of an answer that are kept for who asked for a test."""
AGAIN = frozenset({HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS, *range(500, 600)})
"""Statuses that may pass; every other one is the channel's last word."""


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """What is sent: a body with its headers. `path`: changed from that of the URL, if need be."""

    body: bytes
    headers: dict[str, str] = field(default_factory=dict)
    path: Callable[[str], str] = lambda path: path
    method: str = "POST"


class HttpSink:
    """Sends each notice as `write` puts it, to one URL. Safe to use from several threads."""

    def __init__(
        self,
        name: str,
        url: str,
        write: Callable[[Notice], HttpRequest],
        context: ssl.SSLContext | None = None,
        proxy: Proxy | None = None,
    ) -> None:
        parts = urlsplit(url)
        self.name = name
        self._endpoint = endpoint_of(url)
        self._path = parts.path or "/"
        self._query = f"?{parts.query}" if parts.query else ""
        self._headers = {"Host": self._endpoint.host_header, "Connection": "close", "Accept-Encoding": "identity"}
        self._headers["User-Agent"] = f"nodeos-failover/{__version__}"
        if login := basic(parts):
            self._headers["Authorization"] = login
        self._write = write
        self._context = context
        self._proxy = proxy
        self._names = Resolver()

    def send(self, notice: Notice, timeout_s: float) -> Delivery:
        """Try once, within `timeout_s` seconds in all. Never raises."""
        return self.post(self._write(notice), timeout_s)

    def post(self, letter: HttpRequest, timeout_s: float) -> Delivery:
        """Send a letter, within `timeout_s` seconds in all. Never raises."""
        try:
            answer = self.exchange(letter, timeout_s)
        except TooMuch:
            return Delivery(ok=False, detail=f"answered with more than {MOST} bytes: this is no alert channel")
        except CallFailed as error:
            return Delivery(ok=False, retry=True, detail=_cause(error, timeout_s))
        said = answer.body[:SHOWN].decode(errors="replace").strip()
        return replace(_outcome(answer), answer=f"HTTP {answer.status} {said}".strip())

    def exchange(self, letter: HttpRequest, timeout_s: float) -> Answer:
        """Send a letter and return the answer within `timeout_s` seconds in all, TLS included.

        NotSent when nothing was delivered, NoAnswer when there is no complete answer (both are CallFailed), TooMuch
        when it is too long. No text of an error names the path, which may be a secret; what they are chained to may.
        """
        endpoint, proxy, deadline = self._endpoint, self._proxy, Deadline(timeout_s)
        through = proxy if not endpoint.tls else None  # it hands the request on, so it has to be told where to
        told = {"Proxy-Authorization": through.authorization} if through and through.authorization else {}
        with dial(endpoint, deadline, self._names, self._context, proxy) as sock:
            try:
                path = letter.path(self._path) + self._query
                url = f"http://{endpoint.host_header}{path}"  # whatever the channel's is: `dial` has done TLS
                headers = {
                    "Host": endpoint.host_header,
                    "Connection": "close",
                    **told,
                    **self._headers,
                    **letter.headers,
                }
                request = requests.Request(letter.method, url, headers, data=letter.body).prepare()
                with _Wire(sock, whole_url=through is not None).send(request, stream=True) as response:
                    found = response.raw.read(MOST + 1, decode_content=False)
            except (requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError) as error:
                late = f" within {timeout_s:g} s" if deadline.remaining() <= 0 else ""
                raise NoAnswer(f"{endpoint}: no complete answer{late}", sent=sock.sent) from error
        if len(found) > MOST:
            raise TooMuch(f"more than {MOST} bytes came in answer", sent=True)
        if response.raw.length_remaining:
            raise NoAnswer(f"{endpoint}: the answer was cut off", sent=True)
        return Answer(response.status_code, {name.lower(): text for name, text in response.headers.items()}, found)


class _Wire(HTTPAdapter):
    """Gives `requests` a socket that is connected already. It bounds silence only; the socket keeps a total deadline.

    It is used without a session, which would read the whole body of a redirect, however long.
    """

    def __init__(self, sock: Bounded, *, whole_url: bool) -> None:
        super().__init__(max_retries=0)
        self._whole_url = whole_url  # what a proxy hands on has to name where

        class Connected(HTTPConnection):
            def _new_conn(self) -> Bounded:
                return sock

        self._pool = urllib3.HTTPConnectionPool("connected", maxsize=1)
        self._pool.ConnectionCls = Connected

    def get_connection_with_tls_context(self, *_: object, **__: object) -> urllib3.HTTPConnectionPool:
        """Return the one connection's pool."""
        return self._pool

    def request_url(self, request: requests.PreparedRequest, proxies: Mapping[str, str] | None) -> str:
        """Return what stands in the first line of the request."""
        return request.url or "" if self._whole_url else super().request_url(request, proxies)


def _outcome(answer: Answer) -> Delivery:
    """Judge a complete answer."""
    if 200 <= answer.status < 300:
        return Delivery(ok=True)
    detail = f"HTTP {answer.status}"
    if 300 <= answer.status < 400:
        return Delivery(ok=False, detail=f"{detail}: redirects are not followed, set the URL that it leads to")
    if answer.status in AGAIN:
        return Delivery(ok=False, retry=True, retry_after_s=_retry_after(answer.headers), detail=detail)
    word = answer.body[:60].decode(errors="replace").strip()  # Slack says why in a word such as invalid_payload
    return Delivery(ok=False, detail=f"{detail}: {word}" if re.fullmatch(r"[a-z_]{3,40}", word) else detail)


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Read Retry-After: seconds, or a date. None when it is missing or makes no sense."""
    text = headers.get("retry-after", "").strip()
    if re.fullmatch(r"\d{1,9}", text):
        return float(text)
    try:
        when = parsedate_to_datetime(text)
    except ValueError:
        return None
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    return max(0.0, (when - datetime.now(UTC)).total_seconds())


def _cause(error: BaseException | None, timeout_s: float) -> str:
    """Say why there is no answer, from the kinds of the errors that led to it; their texts may hold the URL."""
    chain: list[BaseException] = []
    while error is not None and error not in chain:
        chain.append(error)
        error = error.__cause__ or error.__context__
    found = (words for kind, words in _CAUSES.items() if any(isinstance(each, kind) for each in chain))
    return next(found, "the connection failed").format(seconds=f"{timeout_s:g} s")


_CAUSES: dict[type[BaseException], str] = {
    ProxyRefused: "the proxy does not connect it; correct proxy, its credentials, or what it allows",
    ssl.SSLCertVerificationError: "its certificate is not trusted; set ca_file, or renew the certificate",
    TimeoutError: "no complete answer within {seconds}",
    ssl.SSLError: "TLS failed; does the URL say https where there is only http?",
    socket.gaierror: "its name is not known; correct the host in the URL",
    ConnectionRefusedError: "refused the connection",
    ConnectionResetError: "reset the connection",
    BrokenPipeError: "reset the connection",
}


def try_channel(config: Config, channel: AlertChannel, severity: str = "critical") -> Delivery:
    """Send a test alert and its end to a channel (a ping to a heartbeat), each within the channel's time-out.

    `answer` is the beginning of what came back, secrets masked. ConfigError when the channel cannot be used at all.
    """
    found = Delivery(ok=True)
    for found in _deliveries(config, channel, severity):
        if not found.ok:
            break
    answer = found.answer
    for text in answer_texts(channel):
        answer = answer.replace(text, MASK)
    return replace(found, answer=shown(answer, len(answer)))


def _deliveries(config: Config, channel: AlertChannel, severity: str) -> Iterable[Delivery]:
    if channel.type == "heartbeat":
        yield make_ping(channel)(channel.timeout)
        return
    sink = make_sink(channel, config.runbooks)
    for resolved in (False, True):
        yield sink.send(test_notice(config, severity, resolved=resolved), channel.timeout)


def test_notice(config: Config, severity: str, *, resolved: bool) -> Notice:
    """Return the notice of a test; it says that nothing has happened."""
    fields = {
        "group": config.group,
        "producer": config.producer,
        "node": config.node,
        "reason": "somebody ran nodeos-failover alerts test",
    }
    key = f"test/{config.group}/{config.node}"
    summary = f"test of the alert channels of {config.node}: nothing has happened"
    return Notice(key, "test", severity, summary, resolved, fields, lasts=True)
