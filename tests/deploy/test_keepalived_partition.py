"""What VRRP cannot promise, and what can be done with it: the shipped files, as they are, and hosts cut apart.

Two masters are two producers, and these tests say so: a slot signed twice is asserted where it cannot be prevented.
Figures are logged (`--log-cli-level=INFO`). The nodeos run on their hosts, and reach each other through the switch.
"""

from __future__ import annotations

import logging
import signal
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.lab.evidence import Signature
from tests.support.vrrp import ONE_PRODUCER, Host, Pair, needs_keepalived

pytestmark = [needs_keepalived, pytest.mark.real, pytest.mark.slow, pytest.mark.timeout(400)]
log = logging.getLogger(__name__)


def blocks(pair: Pair, host: Host, since: float) -> list[Signature]:
    """Return what a host signed after a moment."""
    return [each for each in pair.chain.signed() if each.node == host.node.name and each.wall >= since]


def tell(what: str, begin: float, pair: Pair) -> None:
    """Print when the old one signed its last block after a fault, and the new one its first."""
    last, first = blocks(pair, pair.a, begin), blocks(pair, pair.b, begin)
    words = [
        f"bp-a's last block after {last[-1].wall - begin:.1f} s" if last else "bp-a signs none",
        f"bp-b's first after {first[0].wall - begin:.1f} s" if first else "bp-b none",
    ]
    log.info("%s: %s; slots signed twice: %d", what, ", ".join(words), len(pair.chain.doubles()))


@pytest.mark.parametrize(
    "fault", ["nodeos killed", "nodeos frozen", "keepalived killed", "keepalived frozen", "host lost"]
)
def test_the_shipped_times(tmp_path: Path, fault: str) -> None:
    """With the shipped times, not those for a busy machine, each fault is mended and no slot is signed twice (R4)."""
    with ExitStack() as closing:
        pair = Pair(tmp_path, closing, ONE_PRODUCER)
        pair.settle()
        begin = time.time()
        if fault == "nodeos killed":
            pair.a.node.kill()
        elif fault == "nodeos frozen":
            pair.a.node.freeze()
        elif fault == "keepalived killed":
            pair.a.signal(signal.SIGKILL, b"keepalived.conf")
        elif fault == "keepalived frozen":
            pair.a.signal(signal.SIGSTOP, b"keepalived.conf")
        else:
            pair.a.signal(signal.SIGKILL)
            pair.a.node.kill()
        pair.wait_leads(pair.b)
        tell(fault, begin, pair)
        assert not pair.a.produces
        assert pair.chain.doubles() == {}


def test_unicast_needs_no_multicast(tmp_path: Path) -> None:
    """With unicast_src_ip and unicast_peer as in the files' comments the pair works where all multicast is dropped."""
    with ExitStack() as closing:
        pair = Pair(tmp_path, closing, ONE_PRODUCER, unicast=True)
        pair.switch.forget_multicast()
        pair.settle()
        pair.a.node.kill()
        begin = time.time()
        pair.wait_leads(pair.b)
        tell("unicast, nodeos killed", begin, pair)
        assert pair.chain.doubles() == {}


def test_a_host_cut_off_stops_before_the_other_resumes(tmp_path: Path) -> None:
    """With --reach a host that nobody hears is in FAULT, and over, before the other produces: no slot signed twice."""
    with ExitStack() as closing:
        pair = Pair(tmp_path, closing, ONE_PRODUCER, apart=True, reach=True)
        pair.settle()
        begin = time.time()
        pair.switch.cut("bp-a")
        pair.wait("bp-a to stop", lambda: pair.a.word == "FAULT" and not pair.a.produces)
        pair.wait_leads(pair.b)
        tell("cut off, with --reach", begin, pair)
        assert pair.chain.doubles() == {}
        pair.switch.heal("bp-a")
        over = time.time()
        pair.chain.observer.wait_blocks(10)
        assert not blocks(pair, pair.a, over), "no failback"
        assert pair.chain.doubles() == {}


def test_a_host_cut_off_goes_on_without_reach(tmp_path: Path) -> None:
    """Without --reach it goes on signing until nodeos gives its peers up: slots are signed twice, and then it stops."""
    with ExitStack() as closing:
        pair = Pair(tmp_path, closing, ONE_PRODUCER, apart=True)
        pair.settle()
        begin = time.time()
        pair.switch.cut("bp-a")
        pair.wait_leads(pair.b)
        pair.wait("bp-a to lose its peers", lambda: pair.a.word == "FAULT" and not pair.a.produces, 180.0)
        tell("cut off, without --reach", begin, pair)
        assert pair.chain.doubles()
        over = time.time()
        pair.chain.observer.wait_blocks(4)
        assert not blocks(pair, pair.a, over + 1.0)


@pytest.mark.parametrize("way", ["deaf", "no multicast"])
def test_two_masters_both_produce_until_they_hear_each_other(tmp_path: Path, way: str) -> None:
    """Two hosts that hear the world and not each other both produce, whatever is checked; healed, one gives way.

    This is the limit of VRRP. On a chain of four producers the fork ends with it.
    """
    with ExitStack() as closing:
        pair = Pair(tmp_path, closing, {}, apart=True, producers=4, reach=True)
        pair.settle()
        begin = time.time()
        if way == "deaf":
            pair.switch.deafen(True)
        else:
            pair.switch.forget_multicast()
        pair.wait("two masters", lambda: pair.a.word == pair.b.word == "MASTER" and pair.a.produces and pair.b.produces)
        assert time.time() - begin > 3.5, "never before VRRP's time and the delay"
        pair.wait(
            "what the alert of the README sums up", lambda: pair.a.metric("producing") + pair.b.metric("producing") > 1
        )
        pair.wait("slots signed twice", lambda: len(pair.chain.doubles()) >= 6, 90.0)
        if way == "no multicast":
            tell("two masters, no multicast", begin, pair)
            return
        pair.switch.deafen(False)
        healed = time.time()
        pair.wait_stands_by(pair.b)
        over = time.time()
        log.info("one master %.1f s after they hear each other", over - healed)
        tell("two masters", begin, pair)
        pair.wait_leads(pair.a)
        pair.a.node.wait_level(pair.b.node)
        pair.wait("the next window", lambda: blocks(pair, pair.a, over + 7.0), 60.0)
        assert not blocks(pair, pair.b, over + 1.0)
