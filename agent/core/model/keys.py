"""The names of a group's keys in etcd."""

from __future__ import annotations

from dataclasses import dataclass


def keys(prefix: str, group: str) -> Keys:
    """Return the names of all keys of `group`."""
    return Keys(f"{prefix.rstrip('/')}/{group}/")


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of one group, all below `root`."""

    root: str

    @property
    def leader(self) -> str:
        """The name of the elected node, plain text; operators may put or delete it."""
        return self.root + "leader"

    @property
    def heartbeat(self) -> str:
        """The confirmation of the leader (R1); it stays when everything else goes."""
        return self.root + "heartbeat"

    @property
    def override(self) -> str:
        """The operators' override."""
        return self.root + "override"

    @property
    def maintenance(self) -> str:
        """The operators' reason why agents shall change nothing."""
        return self.root + "maintenance"

    @property
    def switchover(self) -> str:
        """A wish to hand over, consumed once."""
        return self.root + "switchover"

    @property
    def answer(self) -> str:
        """Why the last wish to hand over was refused; it stays until there is another."""
        return self.root + "answer"

    @property
    def peers_key(self) -> str:
        """The secret with which agents tell each other's datagrams from forged ones."""
        return self.root + "peers-key"

    @property
    def format(self) -> str:
        """The version of what stands in the group; agents that do not know it do not start."""
        return self.root + "format"

    def drain(self, node: str) -> str:
        """Return the key of the operators' word that `node` shall not lead."""
        return f"{self.root}drain/{node}"

    def member(self, node: str) -> str:
        """How `node` is, on its session lease."""
        return f"{self.root}members/{node}"

    def history(self, epoch: int) -> str:
        """Return the key of the record of one change of leader."""
        return f"{self.root}history/{epoch}"

    def ledger(self, slot: int) -> str:
        """Return the key of what was counted of the own window that begins at `slot`."""
        return f"{self.root}ledger/{slot}"
