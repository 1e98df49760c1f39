"""A signing gate as operators run it: keosd with the key, and the gate before it. Only that of one node lives here."""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agent.errors import GateError
from agent.gate.client import FileGate, look
from agent.gate.control import READY
from agent.gate.settings import page_path
from agent.gate.wire import SIGN
from agent.host.clock import boot_id, boot_ms
from agent.host.page import identity
from agent.host.page_file import PageFile
from tests.lab.agents import to_toml
from tests.lab.binaries import NodeosBinaries
from tests.lab.nodeos import HOST, PUBLIC_KEY
from tests.lab.places import LOOPBACK, Place
from tests.lab.ports import Ports
from tests.lab.process import Process
from tests.lab.wait import until
from tests.lab.wallet import Wallet

START_LIMIT = 10.0
ANSWER_S = 0.5
LONGEST_MS = 590_000
"""A permit of the lab's own; the gate believes in none that is longer than ten minutes."""

REFUSED = re.compile(r"refused (\d+) x (\w+)")


def refusals(log: Path) -> Counter[str]:
    """Return how many signatures were refused according to a gate's log, by reason; a killed gate took some with it."""
    found: Counter[str] = Counter()
    for count, reason in REFUSED.findall(log.read_text(errors="replace")) if log.exists() else ():
        found[reason] += int(count)
    return found


class SigningGate:
    """The gate of one node. `process` and `wallet.process` may be killed, frozen and started again.

    runtime_dir: of the agent beside the node, where the permit page is. `settings` is the agent's table [gate].
    """

    def __init__(
        self,
        root: Path,
        names: tuple[str, str],
        runtime_dir: Path,
        ports: Ports,
        binaries: NodeosBinaries,
        place: Place = LOOPBACK,
        **settings: Any,
    ) -> None:
        self.group, self.node = names
        self._root = root
        self._sockets = Path(tempfile.mkdtemp(prefix="nf-gate-"))  # a path of a Unix socket has 107 bytes at most
        self._page = page_path(runtime_dir, self.group, self.node)
        self.wallet = Wallet(root / "keosd", ports.take(), binaries, place, f"keosd-{self.node}")
        self.url = f"http://{HOST}:{ports.take()}"
        self.control = self._sockets / "control.sock"
        self.settings: Mapping[str, Any] = {
            "mode": "on",
            "public_key": PUBLIC_KEY,
            "keosd": self.wallet.url,
            "listen": self.url,
            "control": str(self.control),
            "password_file": str(self.wallet.password_file),
            **settings,
        }
        whole = {"group": self.group, "node": self.node, "runtime": {"dir": str(runtime_dir)}, "gate": self.settings}
        root.mkdir(parents=True, exist_ok=True)
        config = root / "gate.toml"
        config.write_text(to_toml(whole) + "\n")
        command: list[str | Path] = [sys.executable, "-m", "agent", "gate", "--config", config]
        self.process = Process(f"gate-{self.node}", command, root / "gate.log", place=place)

    @property
    def provider(self) -> str:
        """What nodeos is told: its signature provider."""
        return f"{PUBLIC_KEY}=KEOSD:{self.url}{SIGN}"

    def hand(self) -> FileGate:
        """Return what an agent has of its gate, instead of an agent; `let_go` before there is one."""
        self._page.parent.mkdir(parents=True, exist_ok=True)
        return FileGate(PageFile(self._page, boot_id(), identity(self.group, self.node)), self.control, boot_ms)

    def start(self) -> None:
        """Start keosd and the gate, and return once the wallet is unlocked."""
        self.wallet.start()
        self.begin()

    def begin(self) -> None:
        """Start the gate alone, and return once its wallet is unlocked."""
        self.process.start()
        until(
            lambda: look(self.control, ANSWER_S).keosd == READY,
            START_LIMIT,
            f"{self.process.name} ready: {self.process.log}",
            retry_on=(GateError,),
        )

    def open(self) -> None:
        """Let the node sign without an agent, for ten minutes at most."""
        hand = self.hand()
        hand.permit(0, boot_ms() + LONGEST_MS)
        until(lambda: hand.status(ANSWER_S).holds, START_LIMIT, "the gate to hold its page", retry_on=(GateError,))
        hand.let_go()

    def shut(self) -> None:
        """Take that back, proven."""
        hand = self.hand()
        hand.close(START_LIMIT)
        hand.let_go()

    def close(self) -> None:
        """End gate and keosd."""
        self.process.close()
        self.wallet.close()
        shutil.rmtree(self._sockets, ignore_errors=True)
