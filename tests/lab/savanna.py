"""Finality by votes on a chain of the lab, real or SIMULATED: its policy of finalizers, and how a key of it is changed.

A real chain is taken to Savanna while one node signs as `eosio`: every protocol feature is activated, then a contract
of our own hands the policy to nodeos. BLS keys are made by `spring-util`, which has to lie beside nodeos.
"""

from __future__ import annotations

import base64
import itertools
import json
import shlex
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.lab import simulated_finality
from tests.lab.binaries import NodeosBinaries
from tests.lab.contract import FEATURE, FINALIZERS
from tests.lab.errors import LabError, LabUnavailable
from tests.lab.nodeos import Node
from tests.lab.process import run
from tests.lab.schedule import SYSTEM, install
from tests.lab.simulated_chain import SimulatedChain
from tests.lab.simulated_finality import Finalizer, Policy
from tests.lab.wait import until
from tests.lab.wallet import Wallet

ROOT = Path(__file__).parents[2]
KEY_BYTES = 96
PREFIX = "PUB_BLS_"
FIRST_FEATURE = "PREACTIVATE_FEATURE"
LIMIT_S = 30.0
SAVANNA_VERSION = 1 << 31
"""What stands as `schedule_version` in a block of Savanna; those between it and the policy are of neither kind."""


class Finality(ABC):
    """`keys`: the key of each node for each account that it votes for, public and private, by the names of both.

    Active is at first, for each account, the key of the first node that has one. Our account comes first.
    """

    def __init__(self, accounts: Mapping[str, Sequence[str]]) -> None:
        self.keys = {name: {each: self._key() for each in found} for name, found in accounts.items()}
        active: dict[str, str] = {}
        for own in self.keys.values():
            for account, (public, _) in own.items():
                active.setdefault(account, public)
        self.policy = tuple(Finalizer(account, key) for account, key in active.items())

    def public(self, name: str) -> str:
        """Return the key with which a node votes for our account."""
        return self.keys[name][self.policy[0].description][0]

    @abstractmethod
    def _key(self) -> tuple[str, str]:
        """Return a new key, public and private."""

    @abstractmethod
    def options(self, name: str, producing: bool) -> list[str]:
        """Return how a node is told its keys."""

    @abstractmethod
    def begin(self, node: Node) -> None:
        """Begin with the first policy, while `node` signs as `eosio` and all that vote run."""

    @abstractmethod
    def command(self, node: Node) -> list[str]:
        """Return the command that makes the key of `node` the active one of our account."""

    @abstractmethod
    def install(self, node: Node) -> None:
        """Make `command` work again after the chain got another contract."""


class RealFinality(Finality):
    """Finality of a chain of real Spring. LabUnavailable when there is no spring-util."""

    def __init__(
        self, accounts: Mapping[str, Sequence[str]], root: Path, binaries: NodeosBinaries, wallet: Wallet
    ) -> None:
        if binaries.spring_util is None:
            raise LabUnavailable(f"no spring-util beside {binaries.nodeos}: Savanna needs a Spring of your own")
        self._root, self._util, self._wallet = root, binaries.spring_util, wallet
        super().__init__(accounts)

    def _key(self) -> tuple[str, str]:
        text = run([self._util, "bls", "create", "key", "--to-console"], LIMIT_S)
        found = dict(line.split(": ", 1) for line in text.splitlines() if ": " in line)
        return found["Public key"], found["Private key"]

    def options(self, name: str, producing: bool) -> list[str]:
        """Return how a node is told its keys; without a producer it hands on no votes unless it is told to."""
        own = [f"{public}=KEY:{private}" for public, private in self.keys.get(name, {}).values()]
        return [part for each in own for part in ("--signature-provider", each)] + (
            [] if producing else ["--vote-threads", "2"]
        )

    def begin(self, node: Node) -> None:
        """Activate what Savanna needs, and take the chain to it."""
        self._wallet.start()
        _activate(node, self._wallet, self._root)
        self.install(node)
        self._wallet.cleos(*_push(FINALIZERS.action, as_data(self.policy)), node=node)
        until(lambda: _is_savanna(node), LIMIT_S, "the last irreversible block to be one of Savanna")

    def install(self, node: Node) -> None:
        """Give the system account the contract with `setfinalizer`."""
        install(FINALIZERS, node, self._wallet, self._root)

    def command(self, node: Node) -> list[str]:
        """Return the command of cleos."""
        mine, *others = self.policy
        changed = (replace(mine, public_key=self.public(node.name)), *others)
        return self._wallet.words(*_push(FINALIZERS.action, as_data(changed)), node=node)


class SimulatedFinality(Finality):
    """The same for a chain of SIMULATED nodes, which is in `file`."""

    def __init__(self, accounts: Mapping[str, Sequence[str]], file: Path) -> None:
        self._file, self._numbers = file, itertools.count(1)
        super().__init__(accounts)

    def _key(self) -> tuple[str, str]:
        return f"{PREFIX}{next(self._numbers):0>138}", ""

    def options(self, name: str, producing: bool) -> list[str]:
        """Return how a node is told that it is Spring, and its keys."""
        own = self.keys.get(name, {}).values()
        return ["--shape", "spring-1.3", *(part for public, _ in own for part in ("--finalizer", public))]

    def begin(self, node: Node) -> None:
        """Write the policy."""
        chain = SimulatedChain(self._file)
        simulated_finality.propose(chain, *self.policy)
        chain.close()

    def install(self, node: Node) -> None:
        """Do nothing: there are no contracts."""

    def command(self, node: Node) -> list[str]:
        """Return the command that writes another one."""
        words = [sys.executable, "-m", "tests.lab.simulated_finality", str(self._file)]
        line = shlex.join([*words, self.policy[0].description, self.public(node.name)])
        return ["/bin/sh", "-c", f"cd {shlex.quote(str(ROOT))} && exec {line}"]


def active_keys(node: Node) -> list[str]:
    """Return the keys of the active policy, in its order; none before Savanna."""
    found = node.call("/v1/chain/get_finalizer_info")["active_finalizer_policy"]
    return [str(each["public_key"]) for each in (found or {}).get("finalizers", ())]


def as_data(finalizers: tuple[Finalizer, ...]) -> str:
    """Return a policy as data of the action `setfinalizer`."""
    entries = [
        {"description": each.description, "weight": each.weight, "public_key": as_bytes(each.public_key).hex()}
        for each in finalizers
    ]
    return json.dumps({"threshold": Policy(1, 0, finalizers).threshold, "finalizers": entries})


def as_bytes(key: str) -> bytes:
    """Return the point that a PUB_BLS_ key is the text of; a checksum follows it there."""
    text = key.removeprefix(PREFIX)
    found = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    if not key.startswith(PREFIX) or len(found) != KEY_BYTES + 4:
        raise LabError(f"{key} is no public BLS key")
    return found[:KEY_BYTES]


def _push(action: str, data: str) -> tuple[str, ...]:
    return ("push", "action", SYSTEM, action, data, "-p", f"{SYSTEM}@active")


def _activate(node: Node, wallet: Wallet, root: Path) -> None:
    """Activate every protocol feature that `node` knows, each after those that it depends on."""
    known = node.call("/v1/producer/get_supported_protocol_features")
    digests = {_name(each): str(each["feature_digest"]) for each in known}
    node.call(
        "/v1/producer/schedule_protocol_feature_activations",
        {"protocol_features_to_activate": [digests[FIRST_FEATURE]]},
    )
    done = {digests[FIRST_FEATURE]}
    until(lambda: done <= _activated(node), LIMIT_S, FIRST_FEATURE)
    install(FEATURE, node, wallet, root)
    waiting = [each for each in known if each["feature_digest"] not in done]
    while ready := [each for each in waiting if done >= set(each["dependencies"])]:
        for each in ready:
            data = json.dumps({"feature_digest": each["feature_digest"]})
            wallet.cleos(*_push(FEATURE.action, data), node=node)
            done.add(str(each["feature_digest"]))
            waiting.remove(each)
    until(lambda: done <= _activated(node), LIMIT_S, "all protocol features")


def _is_savanna(node: Node) -> bool:
    """Tell whether nodeos counts votes: until its last irreversible block is of Savanna, a resume clears none."""
    block = node.call("/v1/chain/get_block", {"block_num_or_id": node.info()["last_irreversible_block_num"]})
    return bool(block["schedule_version"] == SAVANNA_VERSION)


def _name(feature: dict[str, Any]) -> str:
    return next((each["value"] for each in feature["specification"] if each["name"] == "builtin_feature_codename"), "")


def _activated(node: Node) -> set[str]:
    found = node.call("/v1/chain/get_activated_protocol_features", {"limit": 100})
    return {str(each["feature_digest"]) for each in found["activated_protocol_features"]}
