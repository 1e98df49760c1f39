"""Transactions for the chain. Only the pushing of them lives here.

Without them blocks of two nodes for one slot are byte-identical, so that a chain which takes either shows no fork. With
them they differ: each node bills another processor time.
"""

from __future__ import annotations

import itertools
import json
import os
import threading

from tests.lab.errors import LabError
from tests.lab.nodeos import Node
from tests.lab.wallet import CLEOS_LIMIT, Wallet

PERIOD = 0.5
"""Seconds between two pushes by default: about one transaction a block."""


class Load:
    """Pushes one small transaction through `node` every `period` seconds, from `start` to `stop`, as often as wanted.

    `sent` and `failed` count over all runs; a chain that fails over takes none for a moment, and `error` is the last.
    """

    def __init__(self, wallet: Wallet, node: Node, period: float = PERIOD) -> None:
        self._wallet, self._node = wallet, node
        self.period = period
        self.sent = 0
        self.failed = 0
        self.error = ""
        self._numbers = itertools.count(int.from_bytes(os.urandom(6), "big"))  # no transaction twice
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Start the wallet, if need be, and begin. One that runs goes on."""
        if self._thread is not None and self._thread.is_alive():
            return
        self._wallet.start()
        self._over.clear()
        self._thread = threading.Thread(target=self._run, name="lab-load", daemon=True)
        self._thread.start()

    def cease(self) -> None:
        """Push no more after the one at hand, without waiting for that."""
        self._over.set()

    def stop(self) -> None:
        """End, after the push at hand."""
        self.cease()
        if self._thread is not None:
            self._thread.join(CLEOS_LIMIT + 1)

    def _run(self) -> None:
        while not self._over.wait(self.period):
            try:
                self._wallet.cleos("push", "transaction", self._transaction(), node=self._node)
                self.sent += 1
            except LabError as error:
                self.failed += 1
                self.error = str(error)

    def _transaction(self) -> str:
        action = {
            "account": "eosio",
            "name": "nop",
            "authorization": [{"actor": "eosio", "permission": "active"}],
            "data": f"{next(self._numbers):016x}",
        }
        return json.dumps({"actions": [action]})
