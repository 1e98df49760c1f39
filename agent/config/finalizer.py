"""[finalizer]: the BLS key that this host's nodeos votes with, and what makes it the active one (Savanna)."""

from __future__ import annotations

from collections.abc import Iterator

from agent.config.base import ACCOUNT, ACCOUNT_FORM, Optional, Seconds
from agent.config.hooks import Command, program_problem
from agent.config.section import Section, relation
from agent.config.setting import Field


class FinalizerSection(Section):
    """[finalizer]: each host has a BLS key of its own; the leader's is made the active one on chain."""

    public_key: Optional[str] = Field(
        default=None,
        pattern=r"^PUB_BLS_[A-Za-z0-9_-]{100,200}$",
        form="a public BLS key: PUB_BLS_…",
        description="the BLS key of this host's nodeos, on no other host",
    )
    account: Optional[str] = Field(
        default=None,
        pattern=ACCOUNT,
        form=ACCOUNT_FORM,
        description="the finalizer's name in the policy; default: producer",
    )
    permission: str = Field(
        default="active",
        pattern=ACCOUNT,
        form="a permission of the account",
        description="the permission that the command signs with; only handed on to it",
    )
    command: Command = Field(
        default=(),
        description="program and arguments that make this host's key the active one (actfinkey, setfinalizer); run "
        "after each take-over until get_finalizer_info shows it",
    )
    timeout: Seconds = Field(
        default=5.0,
        ge=0.1,
        le=60,
        description="seconds for the command in all; then its process group is killed",
    )

    @relation
    def _fits(self) -> Iterator[str]:
        if problem := program_problem("finalizer.command", self.command):
            yield problem
        if self.command and not self.public_key:
            yield "finalizer.public_key is missing: without it nobody can tell when the command is to be run"

    def words(self, producer: str) -> dict[str, str]:
        """Return what the command is told in its environment, beside what hooks are told."""
        return {
            "FINALIZER_KEY": self.public_key or "",
            "FINALIZER_ACCOUNT": self.account or producer,
            "FINALIZER_PERMISSION": self.permission,
        }
