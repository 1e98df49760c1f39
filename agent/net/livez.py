"""Asking the agent beside us whether its loop runs."""

from __future__ import annotations

import http.client
import socket
import ssl

from agent.host.deadline import Deadline, DeadlineSocket
from agent.net.endpoint import here
from agent.net.tls import tls_context, wrap

MOST = 1000  # bytes of an answer that are read; ours are short


def livez(host: str, port: int, timeout_s: float, *, tls: bool = False) -> tuple[bool, str]:
    """Return whether the agent that listens there is alive, and its words, within `timeout_s` seconds in all.

    No answer is an answer: not alive. An agent that listens on every address is asked on loopback. With `tls` its
    certificate is not verified: it bears the names that others know it by, and nothing secret is said or heard.
    """
    host, _ = here(host, port)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    connection = http.client.HTTPConnection(host, port)
    sock = DeadlineSocket(family, Deadline(timeout_s))
    connection.sock = sock
    try:
        sock.connect((host, port))
        if tls:
            connection.sock = wrap(sock, _trusting(), host)
        connection.request("GET", "/livez")
        answer = connection.getresponse()
        words = answer.read(MOST).decode(errors="replace").strip()
    except (OSError, http.client.HTTPException) as error:
        return False, f"the agent does not answer: {error}"
    finally:
        connection.close()
    return answer.status == http.client.OK, words


def _trusting() -> ssl.SSLContext:
    context = tls_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
