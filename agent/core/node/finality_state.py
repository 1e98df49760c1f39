"""What an agent knows and was told of its finalizer key, as data."""

from __future__ import annotations

from dataclasses import dataclass

from agent.core.model.store import Ms

HOOK = "finalizer"
"""The name under which the command is run that makes the own key the active one."""


@dataclass(frozen=True, slots=True)
class FinalizerSettings:
    """Our account among the finalizers, and the BLS key of our nodeos; empty: not told.

    command  whether there is one that makes the key the active one, `within` ms in all
    """

    account: str = ""
    key: str = ""
    command: bool = False
    within: Ms = 0


@dataclass(frozen=True, slots=True)
class FinalityWatch:
    """What was seen and done in one tenure, by its epoch.

    unpaused  nodeos was seen not to be paused since its resume
    idle      since when another key than ours is the active one
    running   the command runs; `tries` were begun, and none is before `again`
    excused   why nodeos is paused, while that moves no leader, for people; `cause`: the same in a word
    """

    epoch: int = 0
    unpaused: bool = False
    idle: Ms | None = None
    running: bool = False
    tries: int = 0
    again: Ms = 0
    excused: str = ""
    cause: str = ""
