"""Listening sockets, TCP on loopback or Unix: for our group and nobody else. Nothing is accepted here."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

from agent.errors import ConfigError
from agent.gate.settings import Address

WAITING = 16
"""Connections that may wait to be accepted."""


def listen(address: Address) -> socket.socket:
    """Return a listening socket; a Unix socket that a dead gate left behind is replaced. ConfigError when it fails."""
    listener = socket.socket(address.family)
    try:
        if address.path:
            _clear(address.path)
            old = os.umask(0o117)  # for our group, and nobody else
            try:
                listener.bind(address.place)
            finally:
                os.umask(old)
        else:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address.place)
        listener.listen(WAITING)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        raise ConfigError(
            [f"the gate cannot listen on {address.text}: {error}; end who does, or name another"]
        ) from error
    return listener


def _clear(path: str) -> None:
    """Remove a Unix socket that nobody listens on. OSError when somebody does, or it is no socket."""
    try:
        if not stat.S_ISSOCK(Path(path).lstat().st_mode):
            raise FileExistsError("there is a file, and it is no socket")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1.0)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            Path(path).unlink()
        else:
            raise FileExistsError("somebody listens there already")
