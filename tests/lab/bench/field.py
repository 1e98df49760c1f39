"""The field on which methods compete: a chain under load, hosts in network namespaces, and how all of it is mended."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TypeVar

from tests.lab.bench.tails import Blocks
from tests.lab.chain import NAMES, OBSERVER, PAUSED, START, Chain
from tests.lab.errors import LabError
from tests.lab.evidence import at_ms
from tests.lab.nodeos import ApiError, Node
from tests.lab.places import LOOPBACK, Place
from tests.lab.ports import Ports
from tests.lab.spaces import Spaces, spaces_for
from tests.lab.wait import until

T = TypeVar("T")
HOSTS = NAMES[:2]
MEMBERS = ("etcd-1", "etcd-2", "etcd-3")
LIMIT = 40.0
FRESH_MS = 1500
LEVEL_LIMIT = 15.0
"""Seconds for a node that was down to be level again, before its chain is looked at as another one."""


class Field:
    """Two producing nodes and an observer, each in a namespace where that is allowed; `lacks` tells why it is not.

    Nodes start paused; which method governs them is the caller's.
    """

    def __init__(self, root: Path, *, namespaces: bool = True) -> None:
        self.root = root
        self.spaces: Spaces | None = None
        self.lacks = "" if namespaces else "as asked"
        self.closing = ExitStack()
        try:
            self.ports = Ports()
            self.closing.callback(self.ports.close)
            if namespaces:
                hosts = [*HOSTS, OBSERVER, *MEMBERS]
                self.spaces, self.lacks = spaces_for(root / "spaces", hosts, self.closing)
            self.chain = Chain(root / "chain", self.ports, len(HOSTS), places=self.places)
            self.closing.callback(self.chain.close)
            for node in self.chain.nodes.values():
                self._name(node)
            self.chain.start(active=True)
        except BaseException:
            self.closing.close()
            raise
        self.blocks = Blocks(self.chain.all, self.chain.observer)
        for node in self.chain.nodes.values():
            node.pause()

    def _name(self, node: Node) -> None:
        """Give a node's program a name of its own: all hosts share one table of processes, and pidof goes by names."""
        program = node.root / program_of(node.name)
        program.parent.mkdir(parents=True, exist_ok=True)
        program.symlink_to(node.command[0])
        node.command[0] = str(program)

    @property
    def places(self) -> dict[str, Place]:
        """Where each part runs, by name; empty without namespaces."""
        return self.spaces.places if self.spaces else {}

    def place(self, name: str) -> Place:
        """Return where a part runs."""
        return self.places.get(name, LOOPBACK)

    def node(self, name: str) -> Node:
        """Return one of the two nodes."""
        return self.chain.nodes[name]

    def other(self, name: str) -> str:
        """Return the name of the other one."""
        return next(each for each in HOSTS if each != name)

    def cut(self, name: str) -> None:
        """Drop every packet between a host and all others; its cable stays good."""
        if self.spaces is None:
            raise LabError("a host is cut off by its namespace, and there is none here")
        for other in self.places:
            if other != name:
                self.spaces.cut(name, other)
                self.spaces.cut(other, name)

    def heal(self) -> None:
        """End that, for all."""
        if self.spaces is None:
            return
        for one in self.places:
            for two in self.places:
                if one != two:
                    self.spaces.heal(one, two)

    @property
    def followed(self) -> bool:
        """Whether the observer has a fresh block: a fork leaves it behind, and then nothing can be counted."""
        return time.time() * 1000 - at_ms(self.chain.observer.info()["head_block_time"]) < FRESH_MS

    def wait(self, what: str, check: Callable[[], T | None], limit: float = LIMIT) -> T:
        """Wait for a condition, asked for every 20 ms."""
        return until(check, limit, what, retry_on=(ApiError,))

    # --- mending ---

    def pause_all(self) -> None:
        """Pause both nodes, as an operator by hand; one that is down is left out."""
        for node in self.chain.nodes.values():
            if node.running:
                node.thaw()
                self.wait(f"{node.name} to pause", lambda node=node: (node.pause(), True)[1])  # type: ignore[misc] # mypy knows no default of a lambda

    def mend_nodes(self) -> None:
        """Let both nodes run, on the observer's chain; one on a chain of its own copies it anew, as after a fork."""
        self.heal()
        for node in self.chain.nodes.values():
            node.thaw()
            if not node.running:
                node.restart(START, limit=LIMIT)
        for node in self.chain.nodes.values():
            if not self._level(node):
                self._rebuild(node)

    def _level(self, node: Node) -> bool:
        """Tell whether a node is on the observer's chain, once it is level; at once when it is on another."""
        same: list[bool] = []

        def known() -> bool:
            mine, theirs = node.head, self.chain.observer.head
            least = min(mine, theirs)
            ids = {each.call("/v1/chain/get_block", {"block_num_or_id": least})["id"] for each in self._pair(node)}
            same[:] = [len(ids) == 1]
            return len(ids) > 1 or abs(mine - theirs) <= 1

        try:
            until(known, LEVEL_LIMIT, f"{node.name} to be level", retry_on=(ApiError,))
        except LabError:
            return False
        return same[0]

    def _pair(self, node: Node) -> tuple[Node, Node]:
        return node, self.chain.observer

    def _rebuild(self, node: Node) -> None:
        node.begin_anew(START, PAUSED, limit=LIMIT)
        self.wait(f"{node.name} to copy the chain", lambda: abs(node.head - self.chain.observer.head) <= 1)

    def close(self) -> None:
        """End everything."""
        self.closing.close()


def program_of(host: str) -> str:
    """Return the name of a host's nodeos in this run, at most 15 characters: what the kernel keeps of it.

    Another run on this machine has other names, or pidof would take its nodeos for this one.
    """
    return f"nodeos-{host}-{os.getpid() % 1000:03}"
