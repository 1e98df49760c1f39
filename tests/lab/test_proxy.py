"""The proxy: each fault does what its name says, and ends when it is healed."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing, suppress

import pytest

from tests.lab.ports import Ports
from tests.lab.proxy import Proxy
from tests.lab.wait import until

LIMIT = 5.0


class Echo:
    """A server that sends back what it gets, and counts what it got."""

    def __init__(self, port: int) -> None:
        self.received = b""
        self._listener = socket.create_server(("127.0.0.1", port))
        self._peers: list[socket.socket] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                peer, _ = self._listener.accept()
                self._peers.append(peer)
                threading.Thread(target=self._answer, args=(peer,), daemon=True).start()

    def _answer(self, peer: socket.socket) -> None:
        with suppress(OSError), peer:
            while data := peer.recv(65536):
                self.received += data
                peer.sendall(data)

    def close(self) -> None:
        """End the server and its connections."""
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for peer in self._peers:
            with suppress(OSError):
                peer.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def ports() -> Iterator[Ports]:
    """Reserve ports for one test."""
    with closing(Ports()) as ports:
        yield ports


@pytest.fixture
def echo(ports: Ports) -> Iterator[tuple[Proxy, Echo]]:
    """Start an echo server behind a proxy."""
    target = ports.take()
    with closing(Echo(target)) as server, closing(Proxy(ports.take(), target)) as proxy:
        yield proxy, server


def connect(proxy: Proxy) -> socket.socket:
    """Open a connection through the proxy."""
    return socket.create_connection(("127.0.0.1", proxy.port), LIMIT)


def ask(client: socket.socket, data: bytes, limit: float = LIMIT) -> bytes:
    """Send, and return what comes back within the limit."""
    client.settimeout(limit)
    client.sendall(data)
    return receive(client, len(data))


def receive(client: socket.socket, size: int) -> bytes:
    """Return exactly this many bytes, or fewer when the other side ends."""
    answer = b""
    while len(answer) < size and (part := client.recv(size - len(answer))):
        answer += part
    return answer


def test_cut_moves_nothing_and_tells_nobody(echo: tuple[Proxy, Echo]) -> None:
    """During a cut the connection stays open and nothing arrives; healing resets it, and a new one works."""
    proxy, server = echo
    with connect(proxy) as client, connect(proxy) as other:
        assert ask(client, b"before") == ask(other, b"before") == b"before"
        proxy.cut()
        with pytest.raises(TimeoutError):
            ask(client, b"lost", 0.3)
        assert b"lost" not in server.received
        proxy.heal()
        with pytest.raises(ConnectionResetError):
            client.recv(1)
        with pytest.raises(ConnectionResetError):
            other.recv(1)
    with connect(proxy) as client:
        assert ask(client, b"after") == b"after"


def test_one_way_cut(echo: tuple[Proxy, Echo]) -> None:
    """With only the way back cut, the server gets the request and the client no answer."""
    proxy, server = echo
    with connect(proxy) as client:
        assert ask(client, b"x") == b"x"
        proxy.cut("to_client")
        with pytest.raises(TimeoutError):
            ask(client, b"request", 0.3)
        until(lambda: b"request" in server.received, LIMIT, "the request arrived")


def test_freeze_holds_back_and_goes_on(echo: tuple[Proxy, Echo]) -> None:
    """After a freeze the same connection goes on, and what was sent meanwhile arrives."""
    proxy, _ = echo
    with connect(proxy) as client:
        assert ask(client, b"before") == b"before"
        proxy.freeze()
        with pytest.raises(TimeoutError):
            ask(client, b"held", 0.2)
        proxy.heal()
        client.settimeout(LIMIT)
        assert receive(client, 4) == b"held"


def test_delay(echo: tuple[Proxy, Echo]) -> None:
    """With a delay each way takes that much longer, and keeps its order."""
    proxy, _ = echo
    with connect(proxy) as client:
        proxy.delay(0.15)
        begun = time.monotonic()
        client.sendall(b"one ")
        assert ask(client, b"two") == b"one"
        assert receive(client, 4) == b" two"
        assert 0.3 <= time.monotonic() - begun < 2


def test_refuse_and_heal(echo: tuple[Proxy, Echo]) -> None:
    """Refusing resets what there is and refuses what comes; healing listens on the same port again."""
    proxy, _ = echo
    with connect(proxy) as client:
        assert ask(client, b"x") == b"x"
        proxy.refuse()
        with pytest.raises(ConnectionResetError):
            client.recv(1)
    with pytest.raises(ConnectionRefusedError):
        connect(proxy)
    proxy.heal()
    with connect(proxy) as client:
        assert ask(client, b"again") == b"again"
