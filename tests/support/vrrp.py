"""Two hosts on one switch, each a network namespace with the real keepalived, beside a real nodeos each.

keepalived's files are the shipped ones. Names and paths become those of this run, and nothing else, unless a test gives
PATIENT: on a busy machine the check comes late, and what is tested then is not how fast it all is.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import uuid
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.lab.agents import to_toml
from tests.lab.chain import OBSERVER, OTHERS, Chain
from tests.lab.lab import Lab
from tests.lab.nodeos import Node
from tests.lab.places import Place
from tests.lab.process import Process, pids_of
from tests.lab.wait import until

DEPLOY = Path(__file__).parents[2] / "deploy" / "keepalived"
KEEPALIVED = shutil.which("keepalived", path=f"{os.environ['PATH']}:/usr/sbin")
IP = shutil.which("ip", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
BRIDGE = shutil.which("bridge", path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
LIMIT = 60.0
SWITCH = "10.77.0.254"
ADDRESSES = {"bp-a": "10.77.0.1", "bp-b": "10.77.0.2"}
ONE_PRODUCER = {"check --local": "check --local --max-head-age 0"}
"""What the README asks for on a chain that stands while nobody here produces."""
PATIENT = {
    **{old: f"{new} --timeout 4" for old, new in ONE_PRODUCER.items()},
    "keepalived-notify": "keepalived-notify --deadman 8 --delay 9.5",
    "timeout 2\n": "timeout 5\n",
    "rise 5\n": "rise 2\n",
    "vrrp_rt_priority 50 ": "#",
}
needs_keepalived = pytest.mark.skipif(
    KEEPALIVED is None or BRIDGE is None or os.geteuid() != 0,
    reason="needs keepalived, ip and bridge (apt-get install keepalived iproute2), and root",
)


def sh(*words: object) -> str:
    """Run a program that must succeed."""
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, check=False, timeout=20)
    assert done.returncode == 0, (words, done.stderr)
    return done.stdout


class Switch:
    """A namespace with a bridge, `SWITCH` of the world behind it, and a port a host. All of it ends with `closing`."""

    def __init__(self, closing: ExitStack) -> None:
        self._closing = closing
        self.mark = uuid.uuid4().hex[:6]
        self.place = self._space("switch", SWITCH)
        self._ip("link", "add", "wire", "type", "bridge")
        self._ip("addr", "add", f"{SWITCH}/24", "dev", "wire")
        self._ip("link", "set", "wire", "up")
        self.hosts = {name: self._space(name, address) for name, address in ADDRESSES.items()}
        for name, place in self.hosts.items():
            self._ip("link", "add", name, "type", "veth", "peer", "name", "eth0", "netns", place.name)
            self._ip("link", "set", name, "master", "wire", "up")
            sh(IP, "-n", place.name, "addr", "add", f"{place.address}/24", "dev", "eth0")
            sh(IP, "-n", place.name, "link", "set", "eth0", "up")

    def _space(self, name: str, address: str) -> Place:
        space = f"nf-{name}-{self.mark}"
        sh(IP, "netns", "add", space)
        self._closing.callback(sh, IP, "netns", "del", space)
        sh(IP, "-n", space, "link", "set", "lo", "up")
        return Place(space, address, f"/run/netns/{space}")

    def _ip(self, *words: str) -> None:
        sh(IP, "-n", self.place.name, *words)

    def deafen(self, deaf: bool) -> None:
        """Let the two hosts not hear each other, though both hear the world; or end that."""
        for name in self.hosts:
            sh(BRIDGE, "-n", self.place.name, "link", "set", "dev", name, "isolated", "on" if deaf else "off")

    def forget_multicast(self) -> None:
        """Drop all multicast, as a switch with a snooping fault does, and clouds always."""
        for name in self.hosts:
            sh(BRIDGE, "-n", self.place.name, "link", "set", "dev", name, "mcast_flood", "off")

    def cut(self, name: str) -> None:
        """Pull a host's cable at a switch further on: its own link stays up, and nothing passes."""
        self._ip("link", "set", name, "nomaster")

    def heal(self, name: str) -> None:
        """Put it back."""
        self._ip("link", "set", name, "master", "wire")

    def listen(self) -> str:
        """Accept connections in the world until `closing` ends; return where."""
        with self.place.inside():
            server = socket.create_server((SWITCH, 0))
        thread = threading.Thread(target=_accept, args=(server,), daemon=True)
        thread.start()
        self._closing.callback(thread.join, 5)
        self._closing.callback(server.close)
        self._closing.callback(server.shutdown, socket.SHUT_RDWR)
        return f"{SWITCH}:{server.getsockname()[1]}"


def _accept(server: socket.socket) -> None:
    while True:
        try:
            server.accept()[0].close()
        except OSError:
            return


class Host:
    """A network namespace with a keepalived, beside a nodeos. `changes` of the shipped file, beside the names."""

    def __init__(self, root: Path, place: Place, conf: str, node: Node, changes: dict[str, str]) -> None:
        self.place = place
        self.node = node
        self.root = root / f"host-{node.name}"
        self.root.mkdir()
        self.node_pid = self.root / "nodeos.pid"
        self.textfile = self.root / "keepalived.prom"
        self.log = self.root / "notify.log"
        self.conf = self.root / "keepalived.conf"
        self.conf.write_text(self._text((DEPLOY / conf).read_text(), changes))
        command: list[str | Path] = [str(KEEPALIVED), "-n", "-l", "-f", self.conf]
        for option in "prcb":  # pid files of its processes
            command += [f"-{option}", self.root / f"{option}.pid"]
        self.keepalived = Process(f"keepalived-{node.name}", command, self.root / "keepalived.log", place=place)

    def _text(self, text: str, changes: dict[str, str]) -> str:
        settings = {
            "group": "lab",
            "node": self.node.name,
            "producer": self.node.spec.producers[0],
            "nodeos": {"url": f"unix://{self.node.socket}"},
            "fence": {"pid_file": str(self.node_pid)},
            "runtime": {"dir": str(self.root / "run")},
        }
        config = self.root / "config.toml"
        config.write_text(to_toml(settings) + "\n")
        program = self.root / "nodeos-failover"
        program.write_text(f'#!/bin/sh\nexec {sys.executable} -m agent "$@"\n')
        program.chmod(0o755)
        names = {
            "enable_script_security\n": "\n",  # it wants every folder above the script to belong to root alone
            "script_user nodeos ": "script_user root ",
            "/run/keepalived-nodeos.fifo nodeos": f"{self.root}/fifo",
            "/usr/bin/nodeos-failover": str(program),
            "/etc/nodeos-failover/config.toml": str(config),
            "keepalived-notify --config": f"keepalived-notify --textfile {self.textfile} --log {self.log} --config",
        }
        for old, new in (names | changes).items():
            assert old in text, old
            text = text.replace(old, new)
        return text

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

    def metric(self, name: str) -> float:
        """Return one figure of it."""
        found = re.search(rf"^nodeos_failover_keepalived_{name}{{[^}}]*}} (\S+)$", self.metrics, re.MULTILINE)
        return float(found[1]) if found else -1.0

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
        mine, node = os.fsencode(self.root), os.fsencode(self.node.root)

        def ours(words: Sequence[bytes]) -> bool:
            return any(mine in word for word in words) and not any(node in word for word in words)

        return pids_of(ours)

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
    """Two hosts on one switch, two nodeos on one chain.

    apart: the nodeos run on their hosts, and reach each other through the switch; else all of them on our loopback, so
    that cutting the hosts off from each other cuts VRRP only. unicast, reach: use what the files have as a comment.
    """

    def __init__(
        self,
        root: Path,
        closing: ExitStack,
        changes: dict[str, str],
        *,
        apart: bool = False,
        producers: int = 1,
        unicast: bool = False,
        reach: bool = False,
    ) -> None:
        self.lab = closing.enter_context(Lab(root))
        self.switch = Switch(closing)
        places = {**self.switch.hosts, OBSERVER: self.switch.place, OTHERS: self.switch.place} if apart else {}
        self.chain = Chain(root / "chain", self.lab.ports, 2, producers=producers, places=places)
        closing.callback(self.chain.close)
        self.chain.start(active=False)
        if unicast:
            changes = changes | UNICAST
        if reach:
            line = changes.get("check --local", "check --local")
            changes = changes | {"check --local": f"{line} --reach {self.switch.listen()}"}
        both = zip(self.chain.nodes.values(), ("master", "backup"), strict=True)
        self.a, self.b = (
            Host(root, self.switch.hosts[node.name], f"keepalived.{name}.conf", node, changes) for node, name in both
        )
        for host in (self.a, self.b):
            closing.callback(host.close)

    def wait(self, what: str, check: object, limit: float = LIMIT) -> None:
        """Wait for a condition; the error tells both stories."""
        assert callable(check)
        try:
            until(check, limit, what)
        except Exception as error:
            logs = "\n".join(f"--- {host.node.name}\n{host.story()}" for host in (self.a, self.b))
            raise AssertionError(f"{error}\n{logs}") from error

    def wait_leads(self, host: Host) -> None:
        """Wait until a host is MASTER and its blocks arrive."""
        self.wait(f"{host.node.name} to lead", lambda: host.word == "MASTER" and host.produces)
        self.chain.observer.wait_blocks(3)

    def wait_stands_by(self, host: Host) -> None:
        """Wait until a host is BACKUP, its nodeos paused."""
        self.wait(f"{host.node.name} to stand by", lambda: host.word == "BACKUP" and host.node.paused)

    def settle(self) -> None:
        """Start both, the one with the higher priority first."""
        self.a.start()
        self.wait_leads(self.a)
        self.b.start()
        self.wait_stands_by(self.b)


UNICAST = {
    "#unicast_src_ip": "unicast_src_ip",
    "#unicast_peer {": "unicast_peer {",
    "    #    10.0.0.": "        10.0.0.",
    "    #}": "    }",
    " 10.0.0.1\n": " 10.77.0.1\n",
    " 10.0.0.2\n": " 10.77.0.2\n",
}
