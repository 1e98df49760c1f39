"""An HTTP proxy on the way to an endpoint, as one that operators name, or as the environment does."""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from urllib.parse import SplitResult, unquote, urlsplit

from agent.host.deadline import DeadlineSocket
from agent.net.endpoint import Endpoint, bracketed, endpoint_of

ENVIRONMENT = "environment"
"""Instead of a proxy's URL: HTTPS_PROXY, HTTP_PROXY and NO_PROXY, as requests reads them."""
MOST = 16 * 1024
"""Bytes of a proxy's answer to CONNECT."""


class ProxyRefused(OSError):
    """The proxy does not connect us: it wants other credentials, does not allow the address, or is no proxy."""


@dataclass(frozen=True, slots=True)
class Proxy:
    """Where it listens, and what it is shown (a header, empty without a user)."""

    endpoint: Endpoint
    authorization: str = ""

    def tunnel(self, sock: DeadlineSocket, endpoint: Endpoint) -> None:
        """Have a connection to the proxy lead to `endpoint` from now on. ProxyRefused when it does not."""
        where = bracketed(endpoint.host, endpoint.port)
        shown = f"Proxy-Authorization: {self.authorization}\r\n" if self.authorization else ""
        sock.sendall(f"CONNECT {where} HTTP/1.1\r\nHost: {where}\r\n{shown}\r\n".encode())
        sock.sent = False  # nothing of the request itself
        head = b""
        while b"\r\n\r\n" not in head:
            part = sock.recv(4096)
            head += part
            if not part or len(head) > MOST:
                raise ProxyRefused("the proxy gives no answer")
        status = re.match(rb"HTTP/1\.[01] (\d{3})", head)
        if status is None or not status[1].startswith(b"2") or not head.endswith(b"\r\n\r\n"):
            raise ProxyRefused(f"the proxy answers {status[1].decode() if status else 'no HTTP'}")


def proxy_for(url: str, named: str) -> Proxy | None:
    """Return the proxy for a URL: the one that is named, or what the environment says; None: there is none."""
    if named == ENVIRONMENT:
        from requests.utils import get_environ_proxies, select_proxy

        named = select_proxy(url, get_environ_proxies(url)) or ""
    if not named:
        return None
    url = named if "://" in named else f"http://{named}"
    return Proxy(endpoint_of(url), basic(urlsplit(url)))


def basic(parts: SplitResult) -> str:
    """Return the header that shows user and password of a URL (RFC 7617), empty when it has none."""
    if parts.username is None:
        return ""
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
    return f"Basic {base64.b64encode(pair).decode()}"
