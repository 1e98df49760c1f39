"""The method without etcd: the real keepalived on two hosts (network namespaces of this run), each with a real nodeos.

The nodes talk to each other on loopback and are asked over their sockets, so that cutting the hosts off from each other
cuts VRRP only.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from agent.lab.agents import to_toml
from agent.lab.chain import Chain
from agent.lab.lab import Lab
from agent.lab.nodeos import Node
from agent.lab.process import Process
from agent.lab.wait import until

DEPLOY = Path(__file__).parents[2] / "deploy" / "keepalived"
KEEPALIVED = shutil.which("keepalived", path=f"{os.environ['PATH']}:/usr/sbin")
IP = shutil.which("ip", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
LIMIT = 60.0
PATIENT = "--deadman 8 --delay 8"
"""On a busy machine the check comes late; the default is 2 s each. So it is with the times of the check itself."""
needs_keepalived = pytest.mark.skipif(
    KEEPALIVED is None or os.geteuid() != 0, reason="needs keepalived (apt-get install keepalived) and root"
)


def sh(*words: str) -> str:
    """Run a program that must succeed."""
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=20)
    assert done.returncode == 0, (words, done.stderr)
    return done.stdout


class Host:
    """A network namespace with a keepalived, beside a nodeos."""

    def __init__(self, root: Path, name: str, conf: str, address: str, node: Node) -> None:
        self.space = f"nf-{name}-{uuid.uuid4().hex[:6]}"
        self.node = node
        self.root = root / f"host-{name}"
        self.root.mkdir()
        self.node_pid = self.root / "nodeos.pid"
        self.textfile = self.root / "keepalived.prom"
        self.log = self.root / "notify.log"
        self.address = address
        self.conf = self.root / "keepalived.conf"
        self._write(conf, name)
        command: list[str | Path] = [str(IP), "netns", "exec", self.space, str(KEEPALIVED), "-n", "-l", "-f", self.conf]
        for option in "prcb":  # pid files of its processes
            command += [f"-{option}", self.root / f"{option}.pid"]
        self.keepalived = Process(f"keepalived-{name}", command, self.root / "keepalived.log")

    def _write(self, conf: str, name: str) -> None:
        settings = {
            "group": "lab",
            "node": name,
            "producer": "eosio",
            "nodeos": {"url": f"unix://{self.node.socket}"},
            "fence": {"pid_file": str(self.node_pid)},
            "runtime": {"dir": str(self.root / "run")},
        }
        config = self.root / "config.toml"
        config.write_text(to_toml(settings) + "\n")
        program = self.root / "nodeos-failover"
        program.write_text(f'#!/bin/sh\nexec {sys.executable} -m agent "$@"\n')
        program.chmod(0o755)
        changes = {
            "enable_script_security\n": "\n",
            "script_user nodeos ": "script_user root ",
            "/run/keepalived-nodeos.fifo nodeos": f"{self.root}/fifo",
            "/usr/bin/nodeos-failover": str(program),
            "/etc/nodeos-failover/config.toml": str(config),
            "check --local": "check --local --max-head-age 0 --timeout 4",  # this chain stands while nobody produces
            "keepalived-notify": f"keepalived-notify --textfile {self.textfile} --log {self.log} {PATIENT}",
            "interface eth0": "interface veth",
            "vrrp_rt_priority 50 ": "#",
            "timeout 2\n": "timeout 5\n",
            "rise 5\n": "rise 2\n",
        }
        text = (DEPLOY / conf).read_text()
        for old, new in changes.items():
            text = text.replace(old, new)
        self.conf.write_text(text)

    def start(self) -> None:
        """Start keepalived."""
        self.note_pid()
        self.keepalived.start()

    def note_pid(self) -> None:
        """Do what nodeos's supervisor does: write its pid file."""
        self.node_pid.write_text(str(self.node.pid))

    @property
    def metrics(self) -> str:
        """What the textfile says."""
        return self.textfile.read_text() if self.textfile.exists() else ""

    @property
    def word(self) -> str:
        """What keepalived said last, by our metrics."""
        found = re.search(r'_state\{[^}]*state="(\w+)"\} 1', self.metrics)
        return found[1] if found else ""

    @property
    def produces(self) -> bool:
        """Whether nodeos runs and is not paused."""
        return self.node.running and not self.node.frozen and not self.node.paused

    def processes(self) -> list[int]:
        """Return all processes of this host's keepalived, the notifier with them, and its guard."""
        text = os.fsencode(self.root)
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    line = (entry / "cmdline").read_bytes()
                except OSError:
                    continue
                if text in line and str(self.node.root).encode() not in line:
                    found.append(int(entry.name))
        return found

    def signal(self, number: signal.Signals, what: bytes = b"") -> None:
        """Send a signal to all of them, or to those whose command line has `what`."""
        for pid in self.processes():
            if what in Path(f"/proc/{pid}/cmdline").read_bytes():
                os.kill(pid, number)

    def story(self) -> str:
        """What keepalived and the notifier said, for the message of a failure."""
        said = self.log.read_text()[-6000:] if self.log.exists() else "the notifier said nothing"
        return f"{self.keepalived.log_tail(25)}\n{said}\n{self.metrics}"

    def close(self) -> None:
        """End all that is left."""
        self.keepalived.stop(grace=8.0)
        for pid in self.processes():
            os.kill(pid, signal.SIGKILL)


class Pair:
    """Two hosts on one wire, two nodeos on one chain."""

    def __init__(self, root: Path, closing: ExitStack) -> None:
        self.lab = closing.enter_context(Lab(root))
        self.chain: Chain = self.lab.chain(2, active=False)
        nodes = list(self.chain.nodes.values())
        self.a = Host(root, "bp-a", "keepalived.master.conf", "10.77.0.1", nodes[0])
        self.b = Host(root, "bp-b", "keepalived.backup.conf", "10.77.0.2", nodes[1])
        for host in (self.a, self.b):
            sh(str(IP), "netns", "add", host.space)
            closing.callback(sh, str(IP), "netns", "del", host.space)
        sh(str(IP), "link", "add", "veth", "netns", self.a.space, "type", "veth", "peer", "veth", "netns", self.b.space)
        for host in (self.a, self.b):
            sh(str(IP), "-n", host.space, "addr", "add", f"{host.address}/24", "dev", "veth")
            sh(str(IP), "-n", host.space, "link", "set", "veth", "up")
            sh(str(IP), "-n", host.space, "link", "set", "lo", "up")
            closing.callback(host.close)

    def wait(self, what: str, check: object, limit: float = LIMIT) -> None:
        """Wait for a condition; the error tells both stories."""
        assert callable(check)
        try:
            until(check, limit, what)
        except Exception as error:
            logs = "\n".join(f"--- {host.space}\n{host.story()}" for host in (self.a, self.b))
            raise AssertionError(f"{error}\n{logs}") from error

    def wait_leads(self, host: Host) -> None:
        """Wait until a host is MASTER and its blocks arrive."""
        self.wait(f"{host.space} to lead", lambda: host.word == "MASTER" and host.produces)
        self.chain.observer.wait_blocks(3)

    def settle(self) -> None:
        """Start both, the one with the higher priority first."""
        self.a.start()
        self.wait_leads(self.a)
        self.b.start()
        self.wait("bp-b to stand by", lambda: self.b.word == "BACKUP" and self.b.node.paused)


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    """Yield two hosts that run; at the end no slot may have been signed twice."""
    with ExitStack() as closing:
        pair = Pair(tmp_path, closing)
        pair.settle()
        yield pair
        assert pair.chain.doubles() == {}


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
    pair.wait("bp-a to stand by", lambda: a.word == "BACKUP" and a.node.paused)
    assert b.produces
    b.node.freeze()
    pair.wait_leads(a)
    assert not b.node.running, "a frozen nodeos signs its open block when it wakes: it is ended (R3)"


@needs_keepalived
@pytest.mark.real
@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.parametrize("fault", ["stopped", "killed", "frozen", "host lost"])
def test_keepalived_ends_or_hangs(pair: Pair, fault: str) -> None:
    """Without a living keepalived there is no production: nodeos is paused before the other resumes; and back again."""
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
        pair.wait("the other to stand by", lambda: b.word == "BACKUP" and b.node.paused)
        return
    if fault == "host lost":
        a.node.restart()
    for pid in a.processes():
        os.kill(pid, signal.SIGKILL)
    a.keepalived.wait(10)
    sh(str(IP), "-n", a.space, "addr", "flush", "dev", "veth")
    sh(str(IP), "-n", a.space, "addr", "add", f"{a.address}/24", "dev", "veth")
    a.start()
    pair.wait("the old MASTER to stand by", lambda: a.word == "BACKUP" and a.node.paused)
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
