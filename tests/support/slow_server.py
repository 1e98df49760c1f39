"""Servers on loopback that misbehave on purpose: a connection is what a function makes of it, to the single byte."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from agent.net.endpoint import bracketed, parse_endpoint

Talk = Callable[[socket.socket], None]
Serve = Callable[..., "Server"]
"""What starts servers that end with the test: the fixture `serve`."""
OK = b"HTTP/1.1 201 Created\r\nContent-Length: 4\r\n\r\ntrue"


class Server:
    """A server on loopback whose every connection is handled by `talk`, with what it received."""

    def __init__(self, talk: Talk, context: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> None:
        self._talk = talk
        self._context = context
        self._listener = socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
        self.port: int = self._listener.getsockname()[1]
        self.endpoint = parse_endpoint(f"http://{bracketed(host, self.port)}")
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


def answer(status: str | bytes, body: bytes = b"", **headers: str) -> Talk:
    """Answer every request like this; bytes are the whole answer."""
    lines = [f"HTTP/1.1 {status!s}", f"Content-Length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    whole = status if isinstance(status, bytes) else "\r\n".join([*lines, "", ""]).encode() + body

    def talk(client: socket.socket) -> None:
        request(client)
        client.sendall(whole)

    return talk


def slowly(data: bytes) -> Talk:
    """Send this a byte at a time, 20 a second, without waiting for a request."""

    def talk(client: socket.socket) -> None:
        for byte in data:
            client.sendall(bytes([byte]))
            time.sleep(0.05)

    return talk


def hang(client: socket.socket) -> None:
    """Read, and never answer."""
    while client.recv(65_536):
        pass


def drip(client: socket.socket) -> None:
    """Answer with a byte now and then, for ever."""
    request(client)
    client.sendall(b"HTTP/1.1 200 OK\r\nX-Drip: ")
    slowly(b"x" * 100_000)(client)


def drip_body(client: socket.socket) -> None:
    """Give the head at once and the body drop by drop."""
    request(client)
    client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    slowly(b"x" * 100_000)(client)


def deaf(client: socket.socket) -> None:
    """Accept, and read nothing: TLS does not even begin."""
    while not client.recv(1, socket.MSG_PEEK):
        pass
    time.sleep(10)


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
