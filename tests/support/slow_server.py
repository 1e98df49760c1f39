"""Servers on loopback that misbehave on purpose: a connection is whatever a function makes of it."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable
from contextlib import suppress

Talk = Callable[[socket.socket], None]


class Server:
    """A server on loopback whose every connection is handled by `talk`, with what it received."""

    def __init__(self, talk: Talk, context: ssl.SSLContext | None = None) -> None:
        self._talk = talk
        self._context = context
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.connections = 0
        self.over = threading.Event()
        self._open: list[socket.socket] = []
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while not self.over.is_set():
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            self._open.append(client)
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with suppress(OSError):
            if self._context is not None:
                client = self._context.wrap_socket(client, server_side=True)
                self._open.append(client)
            try:
                self._talk(client)
            finally:
                client.close()  # also where the server was ended during the handshake

    def close(self) -> None:
        """End all."""
        self.over.set()
        for each in (self._listener, *self._open):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()


def request(client: socket.socket) -> tuple[bytes, bytes]:
    """Read one request; return its head and its body."""
    data = b""
    while b"\r\n\r\n" not in data:
        chunk = client.recv(65536)
        if not chunk:
            return data, b""
        data += chunk
    head, body = data.split(b"\r\n\r\n", 1)
    lengths = [int(line.split(b":")[1]) for line in head.splitlines() if line.lower().startswith(b"content-length")]
    length = lengths[0] if lengths else 0
    while len(body) < length:
        body += client.recv(65536)
    return head, body


def answer(status: str, body: bytes = b"", **headers: str) -> Talk:
    """Answer every request like this."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]

    def talk(client: socket.socket) -> None:
        request(client)
        client.sendall("\r\n".join([*lines, "", ""]).encode() + body)

    return talk


def hang(client: socket.socket) -> None:
    """Read, and never answer."""
    request(client)
    while client.recv(1):
        pass


def drip(client: socket.socket) -> None:
    """Answer with a byte now and then, for ever."""
    request(client)
    client.sendall(b"HTTP/1.1 200 OK\r\nX-Drip: ")
    while True:
        client.sendall(b"x")
        time.sleep(0.05)


def drip_body(client: socket.socket) -> None:
    """Give the head at once and the body drop by drop."""
    request(client)
    client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    while True:
        client.sendall(b"x")
        time.sleep(0.05)


def deaf(client: socket.socket) -> None:
    """Accept, and read nothing: TLS does not even begin."""
    while not client.recv(1, socket.MSG_PEEK):
        pass
    time.sleep(10)
