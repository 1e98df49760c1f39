"""The method compared with: the real keepalived and the plain script that goes round for it. Not shipped, nor advised.

The check is `pidof` every 2 s, an advertisement goes out every second, and the notify script pauses and resumes by
curl; one host is MASTER, the other BACKUP, and who comes back takes over again, as keepalived does when it is not told
otherwise.
"""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from tests.lab.bench.field import HOSTS, Field, program_of
from tests.lab.bench.method import Fault
from tests.lab.chain import START
from tests.lab.errors import LabError, LabUnavailable
from tests.lab.nodeos import ApiError
from tests.lab.process import Process, pids_of
from tests.lab.wait import until

SEARCH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
TOOLS = ("keepalived", "pidof", "curl")
SOFT_LIMIT = 15.0
"""Seconds for the two to find their order again by themselves, before both are started anew."""
HARD_TRIES = 3
STALE_S = 4.0
"""Seconds without a block after which a paused node is told that the chain has stood still."""
CHECK = """#!/bin/sh
exec {pidof} {program}
"""
"""A script, not the program itself: keepalived follows links, and what Debian's pidof is a link to kills everything."""
NOTIFY = """#!/bin/sh
# $1 GROUP|INSTANCE, $2 its name, $3 MASTER, BACKUP, FAULT or STOP
case "$3" in
  MASTER) {curl} -s -m 5 -X POST {url}/v1/producer/resume ;;
  *)      {curl} -s -m 5 -X POST {url}/v1/producer/pause ;;
esac
echo "$3" > {word}
"""
CONF = """global_defs {{
    script_user root
}}
vrrp_script check_nodeos {{
    script "{check}"
    interval 2
}}
vrrp_instance producer {{
    state {state}
    interface eth0
    virtual_router_id 51
    priority {priority}
    advert_int 1
    unicast_src_ip {here}
    unicast_peer {{
        {there}
    }}
    track_script {{
        check_nodeos
    }}
    virtual_ipaddress {{
        10.87.200.1/32
    }}
    notify {notify}
}}
"""


class _Host:
    """keepalived on one host."""

    def __init__(self, field: Field, name: str, state: str, priority: int) -> None:
        self.node = field.node(name)
        self.root = field.root / f"keepalived-{name}"
        self.root.mkdir()
        self.word_file = self.root / "word"
        notify, conf = self.root / "notify.sh", self.root / "keepalived.conf"
        notify.write_text(NOTIFY.format(curl=_tool("curl"), url=self.node.http_url, word=self.word_file))
        check = self.root / "check.sh"
        check.write_text(CHECK.format(pidof=_tool("pidof"), program=program_of(name)))
        for script in (notify, check):
            script.chmod(0o755)
        conf.write_text(
            CONF.format(
                check=check,
                state=state,
                priority=priority,
                here=field.place(name).address,
                there=field.place(field.other(name)).address,
                notify=notify,
            )
        )
        conf.chmod(0o644)
        command: list[str | Path] = [_tool("keepalived"), "-n", "-l", "-f", conf]
        for option in "prcb":  # pid files of its processes
            command += [f"-{option}", self.root / f"{option}.pid"]
        self.keepalived = Process(f"keepalived-{name}", command, self.root / "keepalived.log", place=field.place(name))

    @property
    def word(self) -> str:
        """What keepalived said last."""
        return self.word_file.read_text().strip() if self.word_file.exists() else ""

    @property
    def active(self) -> bool:
        """Whether nodeos runs and is not paused."""
        return self.node.running and not self.node.frozen and not self.node.paused

    def start(self) -> None:
        self.word_file.unlink(missing_ok=True)
        self.keepalived.start()

    def stop(self) -> None:
        self.keepalived.stop(grace=8.0)
        self.kill()

    def kill(self) -> None:
        """SIGKILL of keepalived's processes at once, and of its scripts.

        Frozen first: a child whose parent dies ends in order, and gives its priority away, which no power cut does.
        """
        root = os.fsencode(self.root)
        pids = pids_of(lambda words: any(root in word for word in words))
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, number)
        if self.keepalived.running:
            self.keepalived.kill()


class Keepalived:
    """Two keepalived. LabUnavailable where there is no keepalived, or where hosts have no networks of their own."""

    name, title, patience = "keepalived", "keepalived and a plain script", 12.0

    def __init__(self, field: Field) -> None:
        if field.spaces is None:
            raise LabUnavailable(f"keepalived needs a network a host: {field.lacks}")
        missing = [tool for tool in TOOLS if shutil.which(tool, path=SEARCH) is None]
        if missing:
            raise LabUnavailable(f"no {' and no '.join(missing)}: apt-get install keepalived curl sysvinit-utils")
        self._field = field
        one, two = HOSTS
        self._hosts = {one: _Host(field, one, "MASTER", 150), two: _Host(field, two, "BACKUP", 100)}
        for host in self._hosts.values():
            field.closing.callback(host.stop)
        node, mine = field.node, self._hosts
        self.faults: Mapping[str, Fault] = {
            "planned": Fault(lambda host: mine[host].keepalived.terminate()),
            "nodeos-killed": Fault(lambda host: node(host).kill()),
            "nodeos-frozen": Fault(lambda host: node(host).freeze()),
            "nodeos-restarted": Fault(lambda host: node(host).restart()),
            "agent-killed": Fault(lambda host: mine[host].kill()),
            "host-lost": Fault(self._lose),
            "host-cut": Fault(field.cut),
        }

    def start(self) -> None:
        """Start both, the one with the higher priority first."""
        self._field.mend_nodes()
        for host in self._hosts.values():
            if not host.keepalived.running:
                host.start()
        self._field.wait("keepalived to settle", self._settled)

    def stop(self) -> None:
        """End both, and pause."""
        for host in self._hosts.values():
            host.stop()
        self._field.pause_all()

    def mend(self) -> None:
        """Bring back what was taken away and let them find their order; where that does not come, start both anew."""
        field = self._field
        split = field.spaces is not None and all(host.active for host in self._hosts.values())
        if not split:
            field.mend_nodes()
            for host in self._hosts.values():
                if not host.keepalived.running:
                    host.start()
            with suppress(LabError):
                until(self._settled, SOFT_LIMIT, "keepalived to settle", retry_on=(ApiError,))
                return
        for tries_left in reversed(range(HARD_TRIES)):
            self.stop()
            self._wake()
            try:
                self.start()
            except LabError:
                if not tries_left:
                    raise
            else:
                return

    def _wake(self) -> None:
        """Let paused nodes of a chain that stood still begin again when they are resumed."""
        newest = self._field.blocks.newest()
        if newest is not None and time.time() - newest.wall > STALE_S:
            for node in self._field.chain.nodes.values():
                node.restart(START)

    def _settled(self) -> bool:
        words = [host.word for host in self._hosts.values()]
        newest = self._field.blocks.newest()
        in_order = words == ["MASTER", "BACKUP"] and self.producing() == (newest.node if newest else "")
        return in_order and self._field.followed  # who signed twice may be on a chain of its own

    def producing(self) -> str | None:
        """Return whose nodeos is active."""
        found = [name for name, host in self._hosts.items() if host.active]
        return found[0] if len(found) == 1 else None

    def story(self) -> str:
        """Return the ends of the logs."""
        return "\n".join(
            f"--- {name}: {host.word}\n{host.keepalived.log_tail(20)}\n{host.node.log_tail(4)}"
            for name, host in self._hosts.items()
        )

    def _lose(self, host: str) -> None:
        self._field.node(host).signal(signal.SIGKILL)
        self._hosts[host].kill()


def _tool(name: str) -> str:
    return shutil.which(name, path=SEARCH) or name
