"""A DNS server on loopback, for UDP and TCP on one port: answers SRV questions from a table, or not at all."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import dns.flags
import dns.message
import dns.rcode
import dns.rrset

Record = tuple[int, int, int, str]
"""Priority, weight, port, target."""


@dataclass
class DnsServer:
    """What it answers with may change while it runs. `truncate`: by UDP it says only that TCP is needed.

    `forge`: before each answer by UDP it sends another one, of another question.
    """

    port: int
    records: dict[str, list[Record]] = field(default_factory=dict)
    silent: bool = False
    truncate: bool = False
    forge: bool = False
    rcode: int | None = None
    asked: list[str] = field(default_factory=list)

    @property
    def resolver(self) -> tuple[str, int]:
        """Address and port."""
        return "127.0.0.1", self.port

    def answer(self, wire: bytes, *, tcp: bool) -> bytes:
        """Return the answer to one question."""
        query = dns.message.from_wire(wire)
        name = str(query.question[0].name)
        self.asked.append(f"{name} by {'TCP' if tcp else 'UDP'}")
        response = dns.message.make_response(query)
        found = self.records.get(name, [])
        if self.rcode is not None or not found:
            response.set_rcode(self.rcode if self.rcode is not None else dns.rcode.NXDOMAIN)  # type: ignore[arg-type] # an int is taken
        elif self.truncate and not tcp:
            response.flags |= dns.flags.TC
        else:
            lines = [f"{priority} {weight} {port} {target}" for priority, weight, port, target in found]
            response.answer.append(dns.rrset.from_text(name, 30, "IN", "SRV", *lines))
        return response.to_wire(max_size=65535)


@contextmanager
def dns_server() -> Iterator[DnsServer]:
    """Run a server on a free port for the time of a `with` block."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
        tcp.bind(("127.0.0.1", 0))
        tcp.listen()
        server = DnsServer(tcp.getsockname()[1])
        udp.bind(server.resolver)
        threads = [threading.Thread(target=each, args=(server, sock)) for each, sock in ((_udp, udp), (_tcp, tcp))]
        for thread in threads:
            thread.start()
        try:
            yield server
        finally:
            for sock in (udp, tcp):
                with suppress(OSError):
                    sock.shutdown(socket.SHUT_RDWR)  # wakes the thread that waits for it
            for thread in threads:
                thread.join(10)


def _udp(server: DnsServer, sock: socket.socket) -> None:
    while True:
        try:
            wire, peer = sock.recvfrom(65535)
        except OSError:
            return
        if not wire:
            return
        if server.silent:
            continue
        answer = server.answer(wire, tcp=False)
        if server.forge:
            sock.sendto(b"\0\0" + answer[2:], peer)
            sock.sendto(b"no DNS", peer)
        sock.sendto(answer, peer)


def _tcp(server: DnsServer, sock: socket.socket) -> None:
    while True:
        try:
            peer, _ = sock.accept()
        except OSError:
            return
        with peer, suppress(OSError, struct.error):
            if server.silent:
                continue
            (size,) = struct.unpack("!H", peer.recv(2))
            answer = server.answer(peer.recv(size), tcp=True)
            peer.sendall(struct.pack("!H", len(answer)) + answer)
