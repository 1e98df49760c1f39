"""What useless datagrams cost an agent's lane for peers, at 10,000 a second, and whether good ones are heard meanwhile.

Each kind for some seconds. The kernel drops garbage, and what is forged from a member's address without having seen a
datagram of the group. The lane drops what was recorded and is sent again, and what is forged after having seen some:
from a host that no member has, and from a member's address, with numbers that grow, which is the dearest.
"""

from __future__ import annotations

import argparse
import socket
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from agent.core.model.peers import Beat
from agent.core.model.store import Ms
from agent.host.clock import boot_ms
from agent.peers import wire
from agent.peers.address import PeerAddress
from agent.peers.lane import PeerLane
from tests.lab.figures import markdown
from tests.lab.measure import Found

ROOT, KEY, HOST, MEMBER = "/nodeos-failover/lab/", b"k" * 32, "127.0.0.1", "127.0.0.2"
GOOD_S = 0.05
MOST_PERCENT = 10.0
"""Of a core, on a machine with other work."""
KINDS = ("garbage", "forged", "recorded", "stranger", "member")
FLOOD = """
import socket, sys, time
sock, raw = socket.socket(socket.AF_INET, socket.SOCK_DGRAM), bytes.fromhex(sys.argv[2])
due = time.monotonic()
end = due + float(sys.argv[3])
while due < end:
    for _ in range(20):
        sock.sendto(raw, ("127.0.0.1", int(sys.argv[1])))
    due += 0.002
    time.sleep(max(0.0, due - time.monotonic()))
"""


@dataclass(frozen=True)
class Cost:
    """What one kind cost: % of a core; how many of the good ones that were sent were heard, how late at the most."""

    kind: str
    percent: float
    sent: int
    heard: int
    late_ms: int


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add its options."""
    parser.add_argument("--seconds", type=float, default=6.0, help="of each kind (default 6)")


def measure(_root: Path, chosen: argparse.Namespace) -> Found:
    """Measure each kind."""
    found = [_cost(kind, chosen.seconds) for kind in KINDS]
    rows = [[each.kind, f"{each.percent:.1f}", f"{each.heard} of {each.sent}", f"{each.late_ms} ms"] for each in found]
    text = markdown(["datagrams", "% of a core", "good ones heard", "the latest after"], rows)
    bad = [f"{each.kind}: {each.percent:.1f} % of a core" for each in found if each.percent > MOST_PERCENT]
    bad += [f"{each.kind}: only {each.heard} of {each.sent} heard" for each in found if 2 * each.heard < each.sent]
    return Found(text, [asdict(each) for each in found], bad)


def _cost(kind: str, seconds: float) -> Cost:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind((HOST, 0))
        port = free.getsockname()[1]
    heard: list[tuple[int, Ms]] = []
    lane = PeerLane(PeerAddress(HOST, port), ROOT, "bp-b", boot_ms, lambda said, at: heard.append((said.number, at)))
    lane.key, lane.known = KEY, frozenset({MEMBER} if kind == "stranger" else {MEMBER, HOST})
    lane.start()
    flood = subprocess.Popen([sys.executable, "-c", FLOOD, str(port), _useless(kind).hex(), str(seconds)])
    sent: list[Ms] = []
    began, used = time.monotonic(), time.process_time()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((MEMBER, 0))
        while flood.poll() is None:
            sent.append(boot_ms())
            sock.sendto(_beat(len(sent), KEY), (HOST, port))
            time.sleep(GOOD_S)
    percent = 100 * (time.process_time() - used) / (time.monotonic() - began)
    lane.close()
    late = max((at - sent[number - 1] for number, at in heard), default=0)
    return Cost(kind, percent, len(sent), len(heard), late)


def _useless(kind: str) -> bytes:
    if kind == "garbage":
        return b"x" * 150
    return _beat(1, KEY) if kind == "recorded" else _beat(2**52, b"z" * 32, overheard=kind != "forged")


def _beat(number: int, key: bytes, *, overheard: bool = True) -> bytes:
    tag = wire.tag(ROOT, KEY if overheard else key)
    return wire.encode(Beat(1, "i" * 16, number, "bp-a", 2000, "t" * 16), tag, key)
