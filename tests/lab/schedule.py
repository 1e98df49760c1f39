"""Giving a fresh chain a schedule of several producers. Only that lives here.

Every producer gets the public development key: nodeos signs only for the producers that it is told to own, whatever
keys it holds, so one key serves all, and the lab makes no secret of its own.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from tests.lab.contract import SCHEDULE, Contract, write_contract
from tests.lab.nodeos import PUBLIC_KEY, Node
from tests.lab.wait import until

SYSTEM = "eosio"
ACTIVE_LIMIT = 30.0
"""Seconds until a schedule must be active: it waits to become irreversible, and for the end of a round."""


class Cleos(Protocol):
    """What is asked of the wallet here."""

    def cleos(self, *arguments: str, node: Node | None = None) -> str:
        """Run cleos against `node`; return its output."""


def schedule(producers: Sequence[str], node: Node, wallet: Cleos, root: Path) -> None:
    """Make `producers` the active schedule, in the order of their names, and return when it is.

    `node` is the one that signs as `eosio` until then. LabError when a step fails, LabTimeout when the schedule does
    not become active.
    """
    for name in producers:
        wallet.cleos("create", "account", SYSTEM, name, PUBLIC_KEY, node=node)
    install(SCHEDULE, node, wallet, root)
    entries = [{"producer_name": name, "block_signing_key": PUBLIC_KEY} for name in sorted(producers)]
    data = json.dumps({"schedule": entries})
    wallet.cleos("push", "action", SYSTEM, SCHEDULE.action, data, "-p", f"{SYSTEM}@active", node=node)
    until(lambda: active(node) == sorted(producers), ACTIVE_LIMIT, "the schedule to become active")


def install(contract: Contract, node: Node, wallet: Cleos, root: Path) -> None:
    """Make `contract` that of the system account, in the place of the one before."""
    write_contract(contract, root / "contract")
    name = contract.action
    wallet.cleos("set", "contract", SYSTEM, str(root / "contract"), f"{name}.wasm", f"{name}.abi", node=node)


def active(node: Node) -> list[str]:
    """Return the producers of the active schedule, in their order."""
    found = node.call("/v1/chain/get_producer_schedule")
    return [each["producer_name"] for each in found["active"]["producers"]]
