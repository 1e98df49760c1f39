"""Transactions for the chain: without them blocks of two producers are byte-identical, and a fork can not be seen."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import shutil
import subprocess
import threading
from pathlib import Path

from agent.lab.binaries import NodeosBinaries
from agent.lab.errors import LabError
from agent.lab.nodeos import PRIVATE_KEY, Node
from agent.lab.process import Process
from agent.lab.wait import until

CLEOS_LIMIT = 15.0


class Wallet:
    """A keosd with one unlocked wallet that holds the development key, and cleos to use it."""

    def __init__(self, root: Path, binaries: NodeosBinaries) -> None:
        self._cleos = binaries.cleos
        shutil.rmtree(root, ignore_errors=True)
        root.mkdir(parents=True)
        # a Unix socket's path has 108 bytes at most, and temporary directories may be deep: keosd runs inside its own
        self._socket = root / "k.sock"
        command: list[str | Path] = [binaries.keosd, "--data-dir", root, "--config-dir", root, "--wallet-dir", root]
        command += ["--unix-socket-path", self._socket, "--http-server-address", "", "--unlock-timeout", "9999999"]
        self.process = Process("keosd", command, root / "keosd.log")

    def start(self) -> None:
        """Start, make the wallet and import the development key."""
        self.process.start()
        until(self._socket.exists, 10.0, "keosd")
        self.cleos("wallet", "create", "--to-console")
        self.add(PRIVATE_KEY)

    def add(self, key: str) -> None:
        """Import a private key of the lab."""
        self.cleos("wallet", "import", "--private-key", key)

    def new_key(self) -> tuple[str, str]:
        """Make a key pair and import it; return public and private key."""
        words = self.cleos("create", "key", "--to-console").split()
        private, public = words[2], words[5]
        self.add(private)
        return public, private

    def cleos(self, *arguments: str, node: Node | None = None) -> str:
        """Run cleos; LabError with its words when it fails or takes too long."""
        url = node.http_url if node else "http://127.0.0.1:1"
        command: list[str | Path] = [
            self._cleos,
            "--no-auto-keosd",
            "--wallet-url",
            f"unix://{self._socket}",
            "-u",
            url,
            *arguments,
        ]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=CLEOS_LIMIT, check=False
            )
        except subprocess.TimeoutExpired as error:
            raise LabError(f"cleos {arguments[:3]} gave no answer in {CLEOS_LIMIT:g} s") from error
        if done.returncode:
            raise LabError(f"cleos {arguments[:3]} failed: {done.stdout[-300:]} {done.stderr[-500:]}")
        return done.stdout

    def close(self) -> None:
        """End keosd."""
        self.process.close()


class Load:
    """Pushes a small transaction through `node` every `period` seconds. `sent` and `failed` count."""

    def __init__(self, wallet: Wallet, node: Node, period: float = 0.5) -> None:
        self._wallet, self._node, self._period = wallet, node, period
        self._over = threading.Event()
        self.sent = 0
        self.failed = 0
        self._thread = threading.Thread(target=self._run, name="lab-load", daemon=True)

    def start(self) -> None:
        """Start the wallet, and begin."""
        self._wallet.start()
        self._thread.start()

    def close(self) -> None:
        """End, after the push at hand."""
        self._over.set()
        if self._thread.is_alive():
            self._thread.join(CLEOS_LIMIT + 1)
        self._wallet.close()

    def _run(self) -> None:
        for count in itertools.count(int.from_bytes(os.urandom(6), "big")):
            if self._over.wait(self._period):
                return
            action = {"account": "eosio", "name": "nop", "data": f"{count:016x}"}
            action |= {"authorization": [{"actor": "eosio", "permission": "active"}]}  # type: ignore[dict-item] # JSON
            with contextlib.suppress(LabError):  # a chain that fails over takes none for a moment: counted
                self._wallet.cleos("push", "transaction", json.dumps({"actions": [action]}), node=self._node)
                self.sent += 1
                continue
            self.failed += 1
