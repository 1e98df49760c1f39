"""Who votes on blocks, with which keys, and how recently: `/v1/chain/get_finalizer_info` of Spring as data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from agent.core.model.store import Ms


@dataclass(frozen=True, slots=True)
class Finalizer:
    """One entry of a finalizer policy: the account that it stands for, and the BLS key that votes."""

    account: str
    key: str


@dataclass(frozen=True, slots=True)
class Finality:
    """The active and the pending policy; `voted`: BLS key → date of the block that it voted for last (ms since 1970).

    Before Savanna there is no policy. The votes are those that came into blocks, as the certificates of these say.
    """

    active: tuple[Finalizer, ...] = ()
    pending: tuple[Finalizer, ...] = ()
    voted: Mapping[str, Ms] = field(default_factory=dict)

    @property
    def known(self) -> bool:
        """Whether finalizers decide what is irreversible."""
        return bool(self.active)

    def active_key(self, account: str) -> str:
        """Return the key that votes for an account, empty when it is in no policy."""
        return next((each.key for each in self.active if each.account == account), "")

    def coming(self, account: str, key: str) -> bool:
        """Tell whether a key is the account's in the active policy, or will be."""
        return Finalizer(account, key) in (*self.active, *self.pending)
