"""An id that this host made once and keeps on disk (R13): it outlives restarts of the agent and of the host.

A heartbeat names its peers with it, so that a second agent with a copied name, on another host, is not the one that is
named. A host that is cloned with its disk has to lose the file.
"""

from __future__ import annotations

import os
import re
import secrets
from pathlib import Path

NAME = "host-id"
_FORM = re.compile(r"[0-9a-f]{32}")


def host_id(directory: Path) -> str:
    """Return this host's id, made now if there is none. OSError or ValueError when it can neither be read nor kept."""
    path = directory / NAME
    try:
        return read_id(directory)
    except FileNotFoundError:
        directory.mkdir(mode=0o750, parents=True, exist_ok=True)
    new = directory / f"{NAME}.{secrets.token_hex(8)}"
    try:
        with open(new, "x", encoding="ascii") as file:
            file.write(secrets.token_hex(16) + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.link(new, path)  # fails if another agent of this host was first: then its id counts
    except FileExistsError:
        pass
    finally:
        new.unlink(missing_ok=True)
    _sync(directory)
    return read_id(directory)


def read_id(directory: Path) -> str:
    """Read this host's id. FileNotFoundError: there is none; ValueError: it is damaged; else OSError."""
    path = directory / NAME
    text = path.read_text(encoding="ascii", errors="replace").strip()
    if not _FORM.fullmatch(text):
        raise ValueError(f"{path} holds no host id (32 hex digits): remove it, and a new one is made")
    return text


def _sync(directory: Path) -> None:
    """See that the name is on disk before anybody is told of the id."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
