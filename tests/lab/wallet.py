"""keosd with one unlocked wallet, and cleos to use it. Only that lives here.

The wallet holds the public development key and nothing else. keosd listens on TCP: the path of a Unix socket may have
107 bytes at most, and a directory for tests is easily deeper.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.lab.binaries import NodeosBinaries
from tests.lab.errors import LabError
from tests.lab.nodeos import API_LIMIT, HOST, PRIVATE_KEY, PUBLIC_KEY, Node, post
from tests.lab.places import LOOPBACK, Place
from tests.lab.process import Process, run
from tests.lab.wait import until

START_LIMIT = 10.0  # seconds; it takes about 0.1
CLEOS_LIMIT = 15.0  # seconds for one command; it takes about 0.03


class Wallet:
    """`start` it (again and again does no harm), then `cleos` signs with the development key."""

    def __init__(
        self, root: Path, port: int, binaries: NodeosBinaries, place: Place = LOOPBACK, name: str = "keosd"
    ) -> None:
        self._root, self._cleos = root, binaries.cleos
        self._port = port
        self.url = f"http://{HOST}:{port}"
        self.password_file = root / "password"
        command: list[str | Path] = [binaries.keosd, "--data-dir", root, "--config-dir", root, "--wallet-dir", root]
        command += ["--http-server-address", f"{HOST}:{port}", "--unix-socket-path", "", "--unlock-timeout", "9999999"]
        self.process = Process(name, command, root / "keosd.log", place=place)

    def start(self) -> None:
        """Start unless it runs, make the wallet and import the key."""
        if self.process.running:
            return
        shutil.rmtree(self._root, ignore_errors=True)
        self._root.mkdir(parents=True)
        self.process.start()
        until(lambda: "Wallets" in self.cleos("wallet", "list"), START_LIMIT, "keosd", retry_on=(LabError,))
        said = self.cleos("wallet", "create", "--to-console")
        self.password_file.touch(0o600)
        self.password_file.write_text(said.split('"')[1])
        self.cleos("wallet", "import", "--private-key", PRIVATE_KEY)

    def again(self) -> None:
        """Start keosd again after it ended: the wallet is there, and locked."""
        self.process.start()

    def words(self, *arguments: str, node: Node | None = None) -> list[str]:
        """Return the command line of cleos with our wallet, and with `node` where it needs one."""
        url = node.http_url if node else "http://127.0.0.1:1"
        return [str(self._cleos), "--no-auto-keosd", "--wallet-url", self.url, "-u", url, *arguments]

    def cleos(self, *arguments: str, node: Node | None = None) -> str:
        """Run cleos, against `node` where it needs one, and return its output.

        LabError with its words when it fails, LabTimeout when it gives no answer in time.
        """
        command = self.process.place.command(self.words(*arguments, node=node))
        return run(command, CLEOS_LIMIT, f"cleos {' '.join(arguments[:2])}")

    def sign(self, transaction: Mapping[str, Any], chain_id: str) -> list[str]:
        """Return the signatures of a transaction. LabError when keosd does not sign."""
        body = json.dumps([transaction, [PUBLIC_KEY], chain_id]).encode()
        process = self.process
        status, text = post(process.name, process.place, self._port, "/v1/wallet/sign_transaction", body, API_LIMIT)
        if status != 201:
            raise LabError(f"keosd does not sign: {status} {text[:300]!r}")
        return [str(each) for each in json.loads(text)["signatures"]]

    def close(self) -> None:
        """End keosd."""
        self.process.close()
