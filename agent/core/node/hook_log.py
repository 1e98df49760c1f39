"""Hooks as data: what is to be run, what came of it, what is remembered of one change."""

from __future__ import annotations

from dataclasses import dataclass

from agent.core.model.archive import Fields
from agent.core.model.store import Ms

HOOKS = ("before_promote", "after_promote", "before_demote", "after_demote")
RESULTS = ("ok", "failed", "timeout", "error")
"""Exit code 0; another, or a signal; killed at its deadline; not started at all."""


@dataclass(frozen=True, slots=True)
class RunHook:
    """Run a hook, `within` ms in all. `before`, `to`: who led before, and who leads then; empty: not known."""

    hook: str
    epoch: int
    reason: str
    before: str
    to: str
    within: Ms


@dataclass(frozen=True, slots=True)
class HookDone:
    """A hook came back, after `took` ms. `detail`: how it ended, and the end of what it said."""

    hook: str
    epoch: int
    result: str
    took: Ms
    detail: str = ""


@dataclass(frozen=True, slots=True)
class HookLog:
    """The hooks of one tenure: what came of them, and the record of the history that it goes into.

    ahead     the epoch before whose planned end before_demote was run
    stopping  the epoch that is being stopped
    """

    epoch: int = 0
    text: str = ""
    record: Fields | None = None
    ahead: int = 0
    stopping: int = 0
