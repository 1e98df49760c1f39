"""A raw server for tests of clients: it does to a connection whatever a script says, down to the single byte."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from agent.net.endpoint import parse_endpoint

Script = Callable[[socket.socket], None]
Make = Callable[..., "Peer"]
"""What makes peers that end with a test."""
OK = b"HTTP/1.1 201 Created\r\nContent-Length: 4\r\n\r\ntrue"


class Peer:
    """A listener on loopback that hands each connection to `script`, on a thread of its own."""

    def __init__(self, script: Script, host: str = "127.0.0.1") -> None:
        self._script = script
        self._listener = socket.create_server((host, 0))
        self.port = self._listener.getsockname()[1]
        self.endpoint = parse_endpoint(f"http://{host}:{self.port}")
        self.taken = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self.taken += 1
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        with sock:
            try:
                self._script(sock)
            except OSError:
                return  # the client has gone, which is what most tests are about

    def close(self) -> None:
        """Stop listening."""
        with suppress(OSError):  # closed before
            self._listener.shutdown(socket.SHUT_RDWR)  # a thread that waits in accept would keep it open
        self._listener.close()


def answer(data: bytes) -> Script:
    """Return a script that takes a request, answers `data` and hangs up."""

    def script(sock: socket.socket) -> None:
        sock.recv(65_536)
        sock.sendall(data)

    return script


def drip(data: bytes) -> Script:
    """Return a script that sends `data` a byte at a time, 20 a second."""

    def script(sock: socket.socket) -> None:
        for byte in data:
            sock.sendall(bytes([byte]))
            time.sleep(0.05)

    return script


def hang(sock: socket.socket) -> None:
    """Say nothing until the client goes."""
    while sock.recv(65_536):
        pass


@contextmanager
def full_listener() -> Iterator[int]:
    """Yield a port whose queue of connections is full: a further one is never accepted, nor refused."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        held = [socket.socket() for _ in range(3)]
        for sock in held:
            sock.setblocking(False)
            sock.connect_ex(full.getsockname())
        try:
            yield full.getsockname()[1]
        finally:
            for sock in held:
                sock.close()


@contextmanager
def peers() -> Iterator[Make]:
    """Yield a maker of peers; all of them end with it."""
    made: list[Peer] = []

    def make(script: Script, host: str = "127.0.0.1") -> Peer:
        made.append(Peer(script, host))
        return made[-1]

    try:
        yield make
    finally:
        for each in made:
            each.close()
