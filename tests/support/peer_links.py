"""The links between the members of a real etcd, so that one member can be cut off from the others but not from us.

Every member advertises a relay for its peers. All of them dial from 127.0.0.1, so a relay looks up in /proc which
member a connection comes from.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Sequence
from pathlib import Path

from tests.lab.etcd import EtcdCluster, EtcdMember

HOST = "127.0.0.1"


class PeerLinks:
    """Put between the members of a cluster that was not started yet; `close` after the cluster was closed."""

    def __init__(self, cluster: EtcdCluster) -> None:
        self._members = cluster.members
        self._lock = threading.Lock()
        self._cut: EtcdMember | None = None
        self._open: set[tuple[EtcdMember | None, EtcdMember, socket.socket, socket.socket]] = set()
        self._listeners = {member.name: socket.create_server((HOST, 0)) for member in self._members}
        real = {member.name: _value(member, "--listen-peer-urls") for member in self._members}
        relays = {name: f"http://{HOST}:{listener.getsockname()[1]}" for name, listener in self._listeners.items()}
        for member in self._members:
            _set(member, "--initial-advertise-peer-urls", relays[member.name])
            _set(member, "--initial-cluster", ",".join(f"{name}={url}" for name, url in relays.items()))
            port = int(real[member.name].rpartition(":")[2])
            arguments = (member, self._listeners[member.name], port)
            threading.Thread(target=self._accept, args=arguments, daemon=True, name=f"peers-{member.name}").start()

    def cut_off(self, member: EtcdMember) -> None:
        """Break every link of a member to its peers, both ways, and let none come again until `heal`."""
        with self._lock:
            self._cut = member
            for link in [link for link in self._open if member in link[:2]]:
                self._drop(link)

    def heal(self) -> None:
        """Let all members reach each other again."""
        with self._lock:
            self._cut = None

    def close(self) -> None:
        """End all relays."""
        with self._lock:
            for listener in self._listeners.values():
                with contextlib.suppress(OSError):
                    listener.shutdown(socket.SHUT_RDWR)
                listener.close()
            for link in list(self._open):
                self._drop(link)

    def _accept(self, to: EtcdMember, listener: socket.socket, port: int) -> None:
        while True:
            try:
                near, (_, source) = listener.accept()
            except OSError:  # closed
                return
            sender = _owner(self._members, source)
            with self._lock:
                if self._cut in (sender, to) and self._cut is not None:
                    near.close()
                    continue
                try:
                    far = socket.create_connection((HOST, port), 1.0)
                except OSError:  # not up yet
                    near.close()
                    continue
                far.settimeout(None)
                link = (sender, to, near, far)
                self._open.add(link)
            for pair in ((near, far), (far, near)):
                threading.Thread(target=self._pump, args=(link, *pair), daemon=True).start()

    def _pump(
        self,
        link: tuple[EtcdMember | None, EtcdMember, socket.socket, socket.socket],
        src: socket.socket,
        dst: socket.socket,
    ) -> None:
        with contextlib.suppress(OSError):
            while data := src.recv(1 << 16):
                dst.sendall(data)
        with self._lock:
            self._drop(link)

    def _drop(self, link: tuple[EtcdMember | None, EtcdMember, socket.socket, socket.socket]) -> None:
        self._open.discard(link)
        for end in link[2:]:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()


def _value(member: EtcdMember, flag: str) -> str:
    return member.command[member.command.index(flag) + 1]


def _set(member: EtcdMember, flag: str, value: str) -> None:
    member.command[member.command.index(flag) + 1] = value


def _owner(members: Sequence[EtcdMember], port: int) -> EtcdMember | None:
    """Return the member that holds the socket which is bound to `port` on our side of the loopback."""
    here = f":{port:04X} "  # few of some thousand rows
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines() if here in line]
    sockets = {f"socket:[{row[9]}]" for row in rows if f"{row[1]} ".endswith(here)}
    for member in members:
        for descriptor in _listed(Path(f"/proc/{member.pid}/fd")):
            with contextlib.suppress(OSError):
                if str(descriptor.readlink()) in sockets:
                    return member
    return None


def _listed(directory: Path) -> list[Path]:
    try:
        return list(directory.iterdir())
    except OSError:  # the process is gone
        return []
