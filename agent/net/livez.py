"""Asking the agent beside us whether its loop runs."""

from __future__ import annotations

import ssl

from agent.net.endpoint import Endpoint, here
from agent.net.http import call
from agent.net.tls import tls_context

SHOWN = 1000  # bytes of an answer that are kept; ours are short


def livez(host: str, port: int, timeout_s: float, *, tls: bool = False) -> tuple[bool, str]:
    """Return whether the agent that listens there is alive, and its words, within `timeout_s` seconds in all.

    No answer is an answer: not alive. An agent that listens on every address is asked on loopback. With `tls` its
    certificate is not verified: it bears the names that others know it by, and nothing secret is said or heard.
    """
    host, shown = here(host, port)
    endpoint = Endpoint(shown, host, port, tls=tls)
    try:
        answer = call(endpoint, "/livez", timeout_s, context=_trusting() if tls else None, method="GET")
    except OSError as error:
        return False, f"the agent does not answer: {error}"
    return answer.status == 200, answer.body[:SHOWN].decode(errors="replace").strip()


def _trusting() -> ssl.SSLContext:
    context = tls_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
