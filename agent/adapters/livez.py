"""Asking the agent beside us whether its loop runs. Only that question lives here."""

from __future__ import annotations

import http.client
import socket

from agent.adapters.deadline import Deadline, DeadlineSocket

MOST = 1000  # bytes of an answer that are read; ours are short


def livez(host: str, port: int, timeout_s: float) -> tuple[bool, str]:
    """Return whether the agent that listens there is alive, and its words, within `timeout_s` seconds in all.

    No answer is an answer: not alive. An agent that listens on every address is asked on loopback.
    """
    host = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - it is asked, not bound
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    connection = http.client.HTTPConnection(host, port)
    connection.sock = sock = DeadlineSocket(family, Deadline(timeout_s))
    try:
        sock.connect((host, port))
        connection.request("GET", "/livez")
        answer = connection.getresponse()
        words = answer.read(MOST).decode(errors="replace").strip()
    except (OSError, http.client.HTTPException) as error:
        return False, f"the agent does not answer: {error}"
    finally:
        connection.close()
    return answer.status == http.client.OK, words
