"""A signing gate as operators run it: keosd with the key, and the gate before it. Only that of one node lives here."""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

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


class Gate:
    """The gate of one node before the keosd at a URL. `process` may be killed, frozen and started again.

    runtime_dir: of the agent beside the node, where the permit page is. `settings` is the agent's table [gate]; SOCKETS
    and PORT in what is given stand for the directory of the gate's sockets, and for its port.
    """

    def __init__(
        self,
        root: Path,
        names: tuple[str, str],
        runtime_dir: Path,
        ports: Ports,
        keosd: str,
        place: Place = LOOPBACK,
        **settings: str,
    ) -> None:
        self.group, self.node = names
        self._sockets = Path(tempfile.mkdtemp(prefix="nf-gate-"))  # a path of a Unix socket has 107 bytes at most
        self.page = page_path(runtime_dir, *names)
        self.port = ports.take()
        self.url = f"http://{HOST}:{self.port}"
        self.control = self._sockets / "control.sock"
        given = {
            "mode": "on",
            "public_key": PUBLIC_KEY,
            "keosd": keosd,
            "listen": self.url,
            "control": str(self.control),
            **settings,
        }
        self.settings: Mapping[str, str] = {
            key: value.replace("SOCKETS", str(self._sockets)).replace("PORT", str(self.port))
            for key, value in given.items()
        }
        whole = {"group": self.group, "node": self.node, "runtime": {"dir": str(runtime_dir)}, "gate": self.settings}
        root.mkdir(parents=True, exist_ok=True)
        config = root / "gate.toml"
        config.write_text(to_toml(whole) + "\n")
        command: list[str | Path] = [sys.executable, "-m", "agent", "gate", "--config", config]
        self.process = Process(f"gate-{self.node}", command, root / "gate.log", place=place)

    def new_hand(self) -> FileGate:
        """Return what an agent that starts has of its gate; `let_go` before there is another one."""
        self.page.parent.mkdir(parents=True, exist_ok=True)
        return FileGate(PageFile(self.page, boot_id(), identity(self.group, self.node)), self.control, boot_ms)

    def close(self) -> None:
        """End the gate."""
        self.process.close()
        shutil.rmtree(self._sockets, ignore_errors=True)


class SigningGate(Gate):
    """A gate and its keosd with the key, whose `wallet.process` may be killed, frozen and started again, too."""

    def __init__(
        self,
        root: Path,
        names: tuple[str, str],
        runtime_dir: Path,
        ports: Ports,
        binaries: NodeosBinaries,
        place: Place = LOOPBACK,
        mode: str = "on",
    ) -> None:
        self.wallet = Wallet(root / "keosd", ports.take(), binaries, place, f"keosd-{names[1]}")
        password_file = str(self.wallet.password_file)
        super().__init__(
            root, names, runtime_dir, ports, self.wallet.url, place, mode=mode, password_file=password_file
        )

    @property
    def provider(self) -> str:
        """What nodeos is told: its signature provider."""
        return f"{PUBLIC_KEY}=KEOSD:{self.url}{SIGN}"

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
        hand = self.new_hand()
        hand.permit(0, boot_ms() + LONGEST_MS)
        until(lambda: hand.status(ANSWER_S).holds, START_LIMIT, "the gate to hold its page", retry_on=(GateError,))
        hand.let_go()

    def shut(self) -> None:
        """Take that back, proven."""
        hand = self.new_hand()
        hand.close(START_LIMIT)
        hand.let_go()

    def close(self) -> None:
        """End gate and keosd."""
        super().close()
        self.wallet.close()
