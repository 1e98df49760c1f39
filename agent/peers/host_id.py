"""An id that this host made once and keeps on disk (R13): it outlives restarts of the agent and of the host.

A heartbeat names its peers with it, so that a second agent with a copied name, on another host, is not the one that is
named. A host that is cloned with its disk has the file too, but other network cards: their addresses stand beside it,
and an id is not used where none of them is left. Where no card can be seen (a container's are made up) nothing is
compared: such a clone has to lose the file.
"""

from __future__ import annotations

import os
import re
import secrets
from contextlib import suppress
from pathlib import Path

from agent.host.small_file import read_whole

NAME, CARDS = "host-id", "host-cards"
NET = Path("/sys/class/net")
_FORM = re.compile(r"[0-9a-f]{32}")


def host_id(directory: Path, net: Path = NET) -> str:
    """Return this host's id, made now if there is none. OSError or ValueError when it can neither be read nor kept."""
    found = _kept(directory, net)
    now = cards(net)
    if now and now != _of(directory):
        new = directory / f"{CARDS}.{secrets.token_hex(8)}"  # another agent of this host may write it, too
        new.write_text("\n".join(sorted(now)) + "\n")
        new.replace(directory / CARDS)
    return found


def _kept(directory: Path, net: Path) -> str:
    path = directory / NAME
    try:
        return read_id(directory, net)
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
    (directory / CARDS).unlink(missing_ok=True)  # of an id that is gone
    return read_id(directory, net)


def read_id(directory: Path, net: Path = NET) -> str:
    """Read this host's id. FileNotFoundError: there is none; ValueError: it is damaged or a copy; else OSError."""
    path = directory / NAME
    text = read_whole(path).decode("ascii", "replace").strip()
    if not _FORM.fullmatch(text):
        raise ValueError(f"{path} holds no host id (32 hex digits): remove it, and a new one is made")
    then, now = _of(directory), cards(net)
    if then and now and not then & now:
        raise ValueError(
            f"{path} was made on a host with other network cards ({', '.join(sorted(then))}): if this host is a copy, "
            f"remove {path}, and a new one is made; if its cards were replaced, remove {directory / CARDS}"
        )
    return text


def cards(net: Path = NET) -> frozenset[str]:
    """Return the addresses of the network cards of this host, those made up by software left out."""
    found = set()
    with suppress(OSError):
        for each in net.iterdir():
            with suppress(OSError):
                if (each / "device").exists():
                    found.add((each / "address").read_text().strip())
    return frozenset(found - {"", "00:00:00:00:00:00"})


def _of(directory: Path) -> frozenset[str]:
    """Return the cards of the host that an id was made on, as far as they are known."""
    try:
        return frozenset(read_whole(directory / CARDS).decode("ascii", "replace").split())
    except FileNotFoundError:
        return frozenset()


def _sync(directory: Path) -> None:
    """See that the name is on disk before anybody is told of the id."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
