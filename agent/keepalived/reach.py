"""Whether this host still reaches the world: of some addresses more than half must accept a connection.

For `check --local --reach`. Two hosts that do not hear each other are both MASTER for keepalived; one that reaches
nobody else either is the one to stop, and so it is in FAULT before the other resumes. Standard library only.
"""

from __future__ import annotations

import argparse
import errno
import select
import socket
from collections.abc import Sequence

from agent.host.deadline import Deadline

Address = tuple[str, int]


def address(text: str) -> Address:
    """Read `IP:PORT` or `[IPv6]:PORT`. No names: an isolated host would wait for its resolver instead of failing."""
    host, _, port = text.rpartition(":")
    six = host.startswith("[") and host.endswith("]")
    host = host[1:-1] if six else host
    try:
        socket.inet_pton(socket.AF_INET6 if six else socket.AF_INET, host)
        if not 0 < int(port) < 65536:
            raise ValueError(port)  # noqa: TRY301 - one place reports
    except (OSError, ValueError) as error:
        raise argparse.ArgumentTypeError(f"{text!r}: write IP:PORT or [IPv6]:PORT, no names") from error
    return host, int(port)


class Reach:
    """Connections that are being made, to all at once. An address that refuses counts as not reached.

    A refusal proves nothing: a firewall of this very host may have said it.
    """

    def __init__(self, wanted: Sequence[Address]) -> None:
        self.asked = len(wanted)
        self._open: dict[int, socket.socket] = {}
        self._reached = 0
        for host, port in wanted:
            sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
            sock.setblocking(False)
            code = sock.connect_ex((host, port))
            if code == errno.EINPROGRESS:
                self._open[sock.fileno()] = sock
            else:
                self._reached += code == 0
                sock.close()

    @property
    def enough(self) -> int:
        """How many must be reached."""
        return self.asked // 2 + 1 if self.asked else 0

    def count(self, deadline: Deadline) -> int:
        """Return how many were reached, once that is enough, all have answered, or time is up; closes them all."""
        poll = select.poll()
        for number in self._open:
            poll.register(number, select.POLLOUT)
        while self._open and self._reached < self.enough:
            # what has answered by now counts, also when nodeos has used up the time
            ready = poll.poll(int(deadline.remaining() * 1000))
            if not ready:
                break
            for number, _ in ready:
                poll.unregister(number)
                with self._open.pop(number) as sock:
                    self._reached += sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
        for sock in self._open.values():
            sock.close()
        self._open.clear()
        return self._reached
