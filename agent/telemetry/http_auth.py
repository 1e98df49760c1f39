"""Who may read over HTTP, and under which certificate."""

from __future__ import annotations

import base64
import binascii
import hmac
import ssl
from dataclasses import dataclass, field
from pathlib import Path

from agent.errors import ConfigError
from agent.host.small_file import see_regular

OPEN = frozenset({"live", "ready", "leader"})
"""Pages for probes and load balancers: a yes or no. They ask for no token, so that none lies with whoever probes."""
CHALLENGE = {"WWW-Authenticate": 'Basic realm="nodeos-failover"'}
"""Has a browser ask for the token, as the password of any user."""


@dataclass(frozen=True, slots=True)
class AccessPolicy:
    """What a request has to show (`token`, None for nothing), and the server's side of TLS (None for plain text)."""

    token: str | None = field(default=None, repr=False)
    context: ssl.SSLContext | None = None

    def admits(self, page: str, authorization: str) -> bool:
        """Tell whether a request with this Authorization header may read `page`. The time taken tells nothing."""
        if self.token is None or page in OPEN:
            return True
        return hmac.compare_digest(_shown_token(authorization), self.token.encode())


ANYBODY = AccessPolicy()


def server_context(cert_file: Path, key_file: Path) -> ssl.SSLContext:
    """Return the server's side of TLS (1.2 or later). ConfigError when the files cannot be used."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        see_regular(cert_file, key_file)
        context.load_cert_chain(cert_file, key_file, password=lambda: "")  # "": never ask on a terminal
    except (OSError, ssl.SSLError) as error:
        pair = f"http.cert_file {cert_file}, http.key_file {key_file}"
        raise ConfigError([f"{pair}: cannot be used ({error}): name a certificate and its key, in PEM"]) from error
    return context


def _shown_token(authorization: str) -> bytes:
    """Return the token that a header shows: `Bearer TOKEN`, or the password of `Basic`."""
    scheme, _, rest = authorization.partition(" ")
    if scheme.lower() == "bearer":
        return rest.strip().encode(errors="replace")
    if scheme.lower() == "basic":
        try:
            return base64.b64decode(rest.strip(), validate=True).partition(b":")[2]
        except (binascii.Error, ValueError):
            return b""
    return b""
