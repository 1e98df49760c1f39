"""One request to a channel within a total deadline, and what became of it.

The URL of a channel is a secret. So no text of a foreign error is passed on: what went wrong is told in our own words.
"""

from __future__ import annotations

import re
import socket
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from urllib.parse import urlsplit

from agent import __version__
from agent.alerts.sinks import wire
from agent.core.alerts.notice import Notice
from agent.core.model.copying import replace
from agent.host.deadline import CallFailed
from agent.net.endpoint import endpoint_of
from agent.net.http import Answer, TooMuch
from agent.net.proxy import Proxy, ProxyRefused, basic
from agent.net.resolver import Resolver
from agent.ports import Delivery

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
    headers: Mapping[str, str] = field(default_factory=dict)
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
        self._headers = {"Accept-Encoding": "identity", "User-Agent": f"nodeos-failover/{__version__}"}
        if shown := basic(parts):
            self._headers["Authorization"] = shown
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
            answer = wire.call(
                self._endpoint,
                letter.path(self._path) + self._query,
                timeout_s,
                names=self._names,
                context=self._context,
                body=letter.body,
                headers={**self._headers, **letter.headers},
                most=MOST,
                method=letter.method,
                proxy=self._proxy,
            )
        except TooMuch:
            return Delivery(ok=False, detail=f"answered with more than {MOST} bytes: this is no alert channel")
        except CallFailed as error:
            return Delivery(ok=False, retry=True, detail=_cause(error, timeout_s))
        shown = answer.body[:SHOWN].decode(errors="replace").strip()
        return replace(_outcome(answer), answer=f"HTTP {answer.status} {shown}".strip())


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
    text = headers.get("Retry-After", "").strip()
    if re.fullmatch(r"\d{1,9}", text):
        return float(text)
    try:
        when = parsedate_to_datetime(text)
    except ValueError:
        return None
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    return max(0.0, (when - datetime.now(UTC)).total_seconds())


def _cause(error: BaseException, timeout_s: float) -> str:
    """Say why there is no answer, from the kinds of the errors that led to it; their texts may hold the URL."""
    chain: list[BaseException] = []
    todo: list[object] = [error]
    while todo and len(chain) < 30:
        each = todo.pop()
        if isinstance(each, BaseException) and each not in chain:
            chain.append(each)
            todo += [each.__context__, each.__cause__, *each.args]
    found = {kind: each for kind in _CAUSES for each in chain if isinstance(each, kind)}
    for kind, words in _CAUSES.items():
        if kind in found:
            return words.format(seconds=f"{timeout_s:g} s")
    return "the connection failed"


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
