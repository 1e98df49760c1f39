"""Finding out who listens at nodeos's address. Standard library only: the guard uses it, and must start fast.

"Nobody" is said only of an address of this host at which no socket listens and no connection comes about. A listener
whose process cannot be seen, in another container or of another user, is a FenceError. Whether a listener is nodeos
itself is the question of `agent.nodeos.finder`: a forwarder listens, too.
"""

from __future__ import annotations

import os
import socket
import struct
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

from agent.core.model.chain import ProcessId
from agent.errors import FenceError
from agent.host.deadline import Deadline
from agent.host.process import Held, hold_pid
from agent.net.endpoint import Endpoint, kernel_form
from agent.net.resolver import Address, Resolver

NET = Path("/proc/self/net")
"""Not /proc/net: that is hidden where systemd's ProcSubset=pid is on."""
REMEDY = "set fence.pid_file, fence.unit or fence.command"
_GET_ROUTE, _NO_ROUTE, _REQUEST, _DST, _OIF, _LOCAL = 26, 2, 1, 1, 4, 2  # linux: include/uapi/linux/rtnetlink.h
_LISTEN = "0A"  # the state in /proc/net/tcp (linux: include/net/tcp_states.h)
_CREDENTIALS = struct.Struct("=iII")  # struct ucred: pid, 0 for one of another process namespace; uid, gid
_ACCEPTS = 0x10000  # the flag in /proc/net/unix (linux: include/uapi/linux/net.h, __SO_ACCEPTCON)


class Untold(FenceError):
    """Whether a process listens, or which one it is, may not be seen. It speaks neither for nor against anything."""


def listeners(endpoint: Endpoint, names: Resolver, deadline: Deadline) -> list[Held]:
    """Return the processes that listen at `endpoint`, held; FenceError when there are some that cannot be seen."""
    inodes = _sockets_at(endpoint, names, deadline)
    if not inodes:
        return _peer(endpoint.path, deadline) if endpoint.path else []
    found, hidden = _owners(inodes)
    if not found and hidden:
        raise Untold(
            f"somebody listens on {endpoint} whose process may not be looked at: run the agent as nodeos's user, or "
            f"{REMEDY}"
        )
    if not found and inodes & _sockets_at(endpoint, names, deadline):
        raise FenceError(
            f"somebody listens on {endpoint} whose process cannot be seen (another container?): let the agent share "
            f"nodeos's process namespace, or {REMEDY}"
        )
    return found


def pids(endpoint: Endpoint, deadline: Deadline) -> list[int]:
    """Return the pids of the processes that listen at `endpoint`. FenceError as for `listeners`."""
    with ExitStack() as held:
        return [held.enter_context(closing(each)).id.pid for each in listeners(endpoint, Resolver(), deadline)]


def astray(endpoint: Endpoint, names: Resolver, deadline: Deadline, known: ProcessId, executable: str) -> str:
    """Return why a request to `endpoint` did not reach the nodeos `known`; empty while nothing speaks against it.

    A name may have several addresses with a nodeos at each, and a name or a floating address may lead to another host
    by now. A forwarder speaks neither for nor against, nor does what may not be seen.
    """
    try:
        there, own = _sockets_at(endpoint, names, deadline), _sockets_of(known.pid)
        if there and there <= own:
            return ""
        with ExitStack() as held:
            for each in listeners(endpoint, names, deadline):
                held.callback(each.close)
                if each.id != known and each.runs(executable):
                    return f"another nodeos (pid {each.id.pid}) than the one that is known listens on {endpoint}"
        end = f":{endpoint.port:04X}"
        moved = not there and any(inode in own and local.endswith(end) for local, inode in tcp_listeners(NET))
    except (OSError, FenceError):
        return ""
    return f"{endpoint} is no address of this host any more, and nodeos (pid {known.pid}) is here" if moved else ""


def _sockets_at(endpoint: Endpoint, names: Resolver, deadline: Deadline) -> set[str]:
    """Return the inodes of the sockets that listen at `endpoint` here."""
    try:
        if endpoint.path:
            return _unix(endpoint.path)
        ours = [address for address in _resolve(endpoint, names, deadline) if _is_ours(*address)]
        return {inode for address in ours for inode in _tcp(*address)}
    except OSError as error:
        raise Untold(f"who listens on {endpoint} cannot be read: {error}; {REMEDY}") from error


def _resolve(endpoint: Endpoint, names: Resolver, deadline: Deadline) -> list[Address]:
    try:
        return names.find(endpoint.host, endpoint.port, deadline)
    except OSError as error:
        raise Untold(f"nodeos.url {endpoint}: {error}; write its address, or {REMEDY}") from error


def _tcp(family: int, address: tuple[str, int] | tuple[str, int, int, int]) -> set[str]:
    """Return the inodes of the listeners that get connections to one address: at the very address, else at any."""
    listening: dict[str, set[str]] = {}
    for local, inode in tcp_listeners(NET):
        listening.setdefault(local, set()).add(inode)
    host, end = address[0].partition("%")[0], f":{address[1]:04X}"
    exact = [kernel_form(host)]
    anywhere = [kernel_form("::")]
    if family == socket.AF_INET:
        exact.append(kernel_form(f"::ffff:{host}"))
        anywhere.insert(0, kernel_form("0.0.0.0"))  # noqa: S104 - compared with, not bound
    for tier in (exact, *([each] for each in anywhere)):
        if found := set().union(*(listening.get(each + end, ()) for each in tier)):
            return found
    return set()


def tcp_listeners(net: Path) -> Iterator[tuple[str, str]]:
    """Yield the address, as /proc/net/tcp writes it, and the inode of each TCP socket that listens (proc(5))."""
    for table in ("tcp", "tcp6"):
        try:
            with (net / table).open() as lines:  # on a busy host hundreds of KB: as a whole it left holes in the heap
                yield from ((fields[1], fields[9]) for fields in map(str.split, lines) if fields[3] == _LISTEN)
        except FileNotFoundError:
            if table == "tcp6":
                return  # a kernel without IPv6
            raise


def _unix(path: str) -> set[str]:
    """Return the inodes of the listeners on a Unix socket, however the path was written when it was bound."""
    wanted, found = os.path.realpath(path), set()
    for line in (NET / "unix").read_text(errors="surrogateescape").splitlines()[1:]:
        fields = line.split(maxsplit=7)
        listens = len(fields) == 8 and int(fields[3], 16) & _ACCEPTS
        if listens and fields[7].startswith("/") and os.path.realpath(fields[7]) == wanted:
            found.add(fields[6])
    return found


def _peer(path: str, deadline: Deadline) -> list[Held]:
    """Return the process that listens on a Unix socket by the kernel's word to a client (SO_PEERCRED, unix(7)).

    nodeos binds its socket by a path relative to its directory (from Leap 4 on), which /proc/net/unix shows as it is.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(max(0.001, deadline.remaining()))
        try:
            probe.connect(path)
            pid = _CREDENTIALS.unpack(probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))[0]
        except OSError:
            return []  # the caller finds out what this means
    held = hold_pid(pid) if pid else None
    return [held] if held is not None else []


def _owners(inodes: set[str]) -> tuple[list[Held], bool]:
    """Return the processes that have one of the sockets open, and whether there are any that may not be looked at."""
    found: list[Held] = []
    hidden = False
    for pid, has_one in _processes(inodes):
        hidden = hidden or has_one is None
        if has_one and (held := hold_pid(pid)) is not None:
            found.append(held)
    return found, hidden


def _processes(inodes: set[str]) -> Iterator[tuple[int, bool | None]]:
    """Yield each process of the host, and whether it has one of the sockets open; None: that may not be seen."""
    wanted = {f"socket:[{inode}]" for inode in inodes}
    with os.scandir("/proc") as entries:
        pids = [int(entry.name) for entry in entries if entry.name.isdigit()]
    for pid in pids:
        try:
            links = os.listdir(f"/proc/{pid}/fd")  # noqa: PTH208 - runs for every process of the host
        except PermissionError:
            yield pid, None
        except OSError:
            continue  # it ended meanwhile
        else:
            yield pid, any(_link(f"/proc/{pid}/fd/{link}") in wanted for link in links)


def _sockets_of(pid: int) -> set[str]:
    """Return the inodes of the sockets that a process has open. OSError when that may not be seen."""
    links = os.listdir(f"/proc/{pid}/fd")  # noqa: PTH208 - as above
    return {found[8:-1] for link in links if (found := _link(f"/proc/{pid}/fd/{link}")).startswith("socket:[")}


def _link(path: str) -> str:
    try:
        return os.readlink(path)  # noqa: PTH115 - Path costs more, and this runs for every open file of the host
    except OSError:
        return ""


def see_that_nobody_answers(endpoint: Endpoint, names: Resolver, deadline: Deadline) -> None:
    """Return when no listener can be at `endpoint`: it is of this host, and refuses. FenceError otherwise."""
    if endpoint.path:
        _see_refusal(socket.AF_UNIX, endpoint.path, endpoint, deadline)
        return
    addresses = _resolve(endpoint, names, deadline)
    try:
        ours = any(_is_ours(*address) for address in addresses)
    except OSError as error:
        raise Untold(f"whether {endpoint} is of this host cannot be read: {error}; {REMEDY}") from error
    if not ours:
        raise FenceError(f"nodeos.url {endpoint} is no address of this host, so its process is not here: {REMEDY}")
    for family, address in addresses:
        _see_refusal(family, address, endpoint, deadline)


def _is_ours(family: int, address: tuple[str, int] | tuple[str, int, int, int]) -> bool:
    """Tell whether an address is of this host, by the kernel's routes. OSError when they cannot be asked.

    That binding to it succeeds says nothing: with ip_nonlocal_bind, as for a floating address, it does on every host.
    """
    raw = socket.inet_pton(family, address[0].partition("%")[0])
    attributes = struct.pack("=HH", 4 + len(raw), _DST) + raw
    if len(address) == 4 and address[3]:
        attributes += struct.pack("=HHI", 8, _OIF, address[3])
    asked = struct.pack("=BBBBBBBBI", family, 8 * len(raw), 0, 0, 0, 0, 0, 0, 0) + attributes
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as routes:
        routes.send(struct.pack("=IHHII", 16 + len(asked), _GET_ROUTE, _REQUEST, 1, 0) + asked)
        said = routes.recv(4096)
    return int.from_bytes(said[4:6], sys.byteorder) != _NO_ROUTE and said[23] == _LOCAL


def _see_refusal(family: int, address: object, endpoint: Endpoint, deadline: Deadline) -> None:
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.settimeout(max(0.001, deadline.remaining()))
        try:
            probe.connect(address)  # type: ignore[arg-type] # typeshed's name for address types is private
        except (ConnectionRefusedError, FileNotFoundError):
            return
        except OSError as error:
            raise FenceError(f"whether nodeos is at {endpoint} cannot be told ({error}): {REMEDY}") from error
    raise FenceError(f"somebody answers at {endpoint} who does not listen here (another container?): {REMEDY}")
