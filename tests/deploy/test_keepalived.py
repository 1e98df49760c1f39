"""The method without etcd: the real keepalived on two hosts (network namespaces of this run), each with a real nodeos.

The nodes talk to each other on loopback and are asked over their sockets, so that a cut between the hosts cuts VRRP
only. What a partition does is in test_keepalived_partition.py.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from tests.support.vrrp import DEPLOY, IP, KEEPALIVED, PATIENT, Pair, needs_keepalived, sh


@contextmanager
def settled(root: Path) -> Iterator[Pair]:
    """Yield two hosts that run; at the end no slot may have been signed twice."""
    with ExitStack() as closing:
        pair = Pair(root, closing, PATIENT)
        pair.settle()
        yield pair
        assert pair.chain.doubles() == {}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Two hosts for the tests that leave keepalived alone."""
    with settled(tmp_path_factory.mktemp("pair")) as pair:
        yield pair


@pytest.fixture
def pair(running: Pair) -> Iterator[Pair]:
    """The same, with bp-a at the lead and a nodeos on both; at the end no slot may have been signed twice."""
    for host in (running.a, running.b):
        if not host.node.running:
            host.node.restart()
            host.note_pid()
            running.wait_stands_by(host)
    running.wait_leads(running.a)
    yield running
    assert running.chain.doubles() == {}


@needs_keepalived
@pytest.mark.real
@pytest.mark.timeout(300)
def test_nodeos_dies_returns_and_hangs(pair: Pair) -> None:
    """A dead nodeos is replaced; back again it stays paused, without failback; a hung one is ended and replaced."""
    a, b = pair.a, pair.b
    a.node.kill()
    pair.wait_leads(b)
    a.node.restart()
    a.note_pid()
    pair.wait_stands_by(a)
    assert b.produces
    b.node.freeze()
    pair.wait_leads(a)
    assert not b.node.running, "a frozen nodeos signs its open block when it wakes: it is ended (R3)"


@needs_keepalived
@pytest.mark.real
@pytest.mark.timeout(300)
def test_reload_of_the_master_goes_on(pair: Pair) -> None:
    """`systemctl reload keepalived`: the notifier that keepalived starts anew waits for the one before and produces."""
    a, b = pair.a, pair.b

    def resumes() -> int:
        return a.log.read_text().count("is MASTER and produces")

    before = resumes()
    for count in (before + 1, before + 2):
        os.kill(a.keepalived.pid, signal.SIGHUP)
        pair.wait(f"resume {count}", lambda count=count: resumes() >= count)
        pair.wait_leads(a)
    assert not b.produces


@needs_keepalived
@pytest.mark.real
@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("fault", ["stopped", "killed", "frozen", "host lost"])
def test_keepalived_ends_or_hangs(tmp_path: Path, fault: str) -> None:
    """Without a living keepalived there is no production: nodeos is paused before the other resumes; and back again."""
    with settled(tmp_path) as pair:
        a, b = pair.a, pair.b
        if fault == "stopped":
            a.keepalived.terminate()
        elif fault == "killed":
            a.signal(signal.SIGKILL, b"keepalived.conf")
        elif fault == "frozen":
            a.signal(signal.SIGSTOP, b"keepalived.conf")
        else:
            a.signal(signal.SIGKILL)
            a.node.kill()
        pair.wait_leads(b)
        assert not a.produces
        assert pair.chain.doubles() == {}
        if fault == "frozen":
            a.signal(signal.SIGCONT)  # still MASTER in its own eyes, and of the higher priority: the other gives way
            pair.wait_leads(a)
            pair.wait_stands_by(b)
            return
        if fault == "host lost":
            a.node.restart()
        for pid in a.processes():
            os.kill(pid, signal.SIGKILL)
        a.keepalived.wait(10)
        sh(IP, "-n", a.place.name, "addr", "flush", "dev", "eth0")
        sh(IP, "-n", a.place.name, "addr", "add", f"{a.place.address}/24", "dev", "eth0")
        a.start()
        pair.wait_stands_by(a)
        assert b.produces, "no failback"


@needs_keepalived
@pytest.mark.real
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_notifier_is_frozen_while_the_other_host_takes_over(pair: Pair) -> None:
    """R3: a notifier that hangs hears no word: its guard stops nodeos by the last stamp, before the other resumes."""
    a, b = pair.a, pair.b
    a.signal(signal.SIGSTOP, b"keepalived-notify")
    a.keepalived.terminate()
    pair.wait_leads(b)
    assert not a.produces
    a.signal(signal.SIGCONT, b"keepalived-notify")


@needs_keepalived
@pytest.mark.real
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_killed_notifier_leaves_the_lead_to_the_other_host(tmp_path: Path) -> None:
    """P2: keepalived starts its notifier once and never misses it: the check does, and a reload brings it back."""
    with settled(tmp_path) as pair:
        a, b = pair.a, pair.b
        a.signal(signal.SIGKILL, b"keepalived-notify")
        pair.wait_leads(b)
        assert not a.produces
        os.kill(a.keepalived.pid, signal.SIGHUP)
        pair.wait_stands_by(a)
        assert b.produces, "no failback"


@needs_keepalived
@pytest.mark.parametrize("name", ["keepalived.master.conf", "keepalived.backup.conf"])
def test_keepalived_finds_no_fault(tmp_path: Path, name: str) -> None:
    """`keepalived --config-test` accepts each file, but for the names of this host."""
    text = (DEPLOY / name).read_text().replace("script_user nodeos ", "script_user root ")
    text = text.replace("fifo nodeos", "fifo root").replace("/usr/bin/nodeos-failover", "/bin/true")
    path = tmp_path / name
    path.write_text(text)
    path.chmod(0o644)
    script = f"{IP} link add eth0 type veth peer other && exec {KEEPALIVED} -t -l -f {path}"
    command = ["unshare", "--net", "sh", "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 0, done.stderr


def test_both_files_say_the_same() -> None:
    """MASTER and BACKUP differ in their priority and in their addresses only."""
    one, two = ((DEPLOY / f"keepalived.{name}.conf").read_text().splitlines() for name in ("master", "backup"))
    differ = [each for each, other in zip(one, two, strict=True) if each != other]
    assert len(differ) == 4
    assert "    priority 150" in differ
    assert json.dumps(one).count("state BACKUP") == json.dumps(two).count("state BACKUP") == 1
