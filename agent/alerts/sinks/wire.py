"""`requests` for alert channels: one call, one fresh connection, no redirect, no retry, a bounded answer, a deadline.

`requests` bounds the silence between two bytes, not a call. Here its connections run over sockets that keep a deadline.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping

import requests
import urllib3
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection

from agent.host.deadline import Bounded, Deadline, NoAnswer, NotSent
from agent.net.dial import dial
from agent.net.endpoint import Endpoint
from agent.net.http import Answer, TooMuch
from agent.net.proxy import Proxy
from agent.net.resolver import Resolver

CHUNK = 64 * 1024


class _Session(requests.Session):
    """A session that takes nothing from the environment, and does not even look at where a redirect leads.

    requests reads the whole body of a redirect, unbounded, also when it is told not to follow.
    """

    def __init__(self) -> None:
        super().__init__()
        self.trust_env = False
        self.headers = requests.structures.CaseInsensitiveDict(
            {"User-Agent": "nodeos-failover", "Accept": "*/*", "Accept-Encoding": "identity", "Connection": "close"}
        )

    def get_redirect_target(self, _resp: requests.Response) -> str | None:
        """Return that there is none."""
        return None


class _Wire(HTTPAdapter):
    """Gives `requests` one connection, made by `dial`. It remembers the socket: what was sent decides what is known."""

    def __init__(
        self,
        endpoint: Endpoint,
        deadline: Deadline,
        names: Resolver,
        context: ssl.SSLContext | None,
        proxy: Proxy | None,
    ) -> None:
        super().__init__(max_retries=0)
        self._whole_url = proxy is not None and not endpoint.tls  # what a proxy hands on has to name where
        self.socket: Bounded | None = None
        wire = self

        class Connection(HTTPConnection):
            """A connection over a socket with a deadline; TLS is done below."""

            def _new_conn(self) -> Bounded:
                wire.socket = dial(endpoint, deadline, names, context, proxy)
                return wire.socket

        self._pool = urllib3.HTTPConnectionPool(endpoint.host or "localhost", endpoint.port or 80, maxsize=1)
        self._pool.ConnectionCls = Connection

    def get_connection_with_tls_context(self, *_: object, **__: object) -> urllib3.HTTPConnectionPool:
        """Return the one pool."""
        return self._pool

    def request_url(self, request: requests.PreparedRequest, proxies: Mapping[str, str] | None) -> str:
        """Return what stands in the first line of the request."""
        return request.url or "" if self._whole_url else super().request_url(request, proxies)

    def close(self) -> None:
        """Close pool and socket."""
        self._pool.close()
        if self.socket is not None:
            self.socket.close()
        super().close()


def call(
    endpoint: Endpoint,
    path: str,
    timeout_s: float,
    *,
    names: Resolver,
    context: ssl.SSLContext | None = None,
    body: bytes = b"",
    headers: Mapping[str, str] | None = None,
    most: int,
    method: str = "POST",
    proxy: Proxy | None = None,
) -> Answer:
    """Send `body` to `path` (with its query) and return the answer within `timeout_s` seconds in all, TLS included.

    NoAnswer when there is none; TooMuch when it has more than `most` bytes. Safe to call from several threads. The
    texts of the errors do not name `path`, which may be a secret; what they are chained to may.
    """
    deadline = Deadline(timeout_s)
    wire = _Wire(endpoint, deadline, names, context, proxy)
    shown = {"Proxy-Authorization": proxy.authorization} if proxy and proxy.authorization and not endpoint.tls else {}
    with _Session() as session:
        session.mount("http://", wire)
        try:
            with session.request(
                method,
                f"http://{endpoint.host_header}{path}",
                data=body,
                headers={"Host": endpoint.host_header, **shown, **(headers or {})},
                allow_redirects=False,
                stream=True,
            ) as response:
                return Answer(response.status_code, response.headers, _body(response, most))
        except TooMuch:
            raise
        except (requests.RequestException, urllib3.exceptions.HTTPError, OSError, ValueError) as error:
            sent = wire.socket is not None and wire.socket.sent
            raise NoAnswer(_why(error, endpoint, deadline), sent=sent) from error


def _body(response: requests.Response, most: int) -> bytes:
    """Read a body, not unpacking it: a small one may unpack to any size."""
    parts: list[bytes] = []
    size = 0
    for part in response.raw.stream(CHUNK, decode_content=False):
        size += len(part)
        if size > most:
            raise TooMuch(f"more than {most} bytes came in answer", sent=True)
        parts.append(part)
    return b"".join(parts)


def _why(error: BaseException, endpoint: Endpoint, deadline: Deadline) -> str:
    """Return the cause in words: what the socket said is the innermost error, what requests says repeats the URL."""
    seen: BaseException | None = error
    words = type(error).__name__
    while seen is not None:
        if isinstance(seen, (NotSent, NoAnswer)):
            return str(seen)  # dial says where, what and what to do
        if not isinstance(seen, (requests.RequestException, urllib3.exceptions.HTTPError)):
            words = str(seen) or type(seen).__name__
        inner = seen.__cause__ or seen.__context__
        seen = inner or next((each for each in seen.args if isinstance(each, BaseException)), None)
    if deadline.remaining() <= 0:
        words = f"no complete answer within {deadline.span:g} s"
    return f"{endpoint}: {words}"
