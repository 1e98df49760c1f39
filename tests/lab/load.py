"""Transactions for the chain. Only the pushing of them lives here.

Without them blocks of two nodes for one slot are byte-identical, so that a chain which takes either shows no fork. With
them they differ where nodes bill another processor time, and always where one of the nodes takes no transactions from
its peers (`Chain`'s `alone`).
"""

from __future__ import annotations

import itertools
import os
import threading
from datetime import datetime, timedelta

from tests.lab.errors import LabError
from tests.lab.nodeos import API_LIMIT, Node
from tests.lab.wallet import Wallet

PERIOD = 0.5
"""Seconds between two pushes by default: about one transaction a block."""
EXPIRES_S = 30
"""A transaction that no block has so long after the head it was made at is dropped."""


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
            self._thread.join(3 * API_LIMIT + 1)

    def _run(self) -> None:
        while not self._over.wait(self.period):
            try:
                self._push()
                self.sent += 1
            except LabError as error:
                self.failed += 1
                self.error = str(error)

    def _push(self) -> None:
        info = self._node.info()
        expires = datetime.fromisoformat(info["head_block_time"]) + timedelta(seconds=EXPIRES_S)
        action = {
            "account": "eosio",
            "name": "nop",
            "authorization": [{"actor": "eosio", "permission": "active"}],
            "data": f"{next(self._numbers):016x}",
        }
        transaction = {
            "expiration": expires.isoformat(timespec="seconds"),
            "ref_block_num": info["last_irreversible_block_num"] & 0xFFFF,
            "ref_block_prefix": int.from_bytes(bytes.fromhex(info["last_irreversible_block_id"])[8:12], "little"),
            "max_net_usage_words": 0,
            "max_cpu_usage_ms": 0,
            "delay_sec": 0,
            "context_free_actions": [],
            "actions": [action],
            "transaction_extensions": [],
        }
        signatures = self._wallet.sign({**transaction, "signatures": [], "context_free_data": []}, info["chain_id"])
        whole = {"signatures": signatures, "compression": "none", "transaction": transaction}
        self._node.call("/v1/chain/push_transaction", whole)
