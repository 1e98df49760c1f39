"""Counting and timing the calls of an adapter."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from functools import wraps
from typing import Concatenate, ParamSpec, Protocol, TypeVar

from agent.errors import FailoverError, LeaseGone, NodeosAnswer, NodeosTimeout, NodeosUnreachable, StoreRejected

log = logging.getLogger(__name__)

Note = Callable[[str, str, float], None]
"""Hears name, result and seconds of each call, on the calling thread, after it."""
NODEOS_CALLS = (
    *("pause", "resume", "paused", "get_info", "connections", "get_producer_schedule", "get_block"),
    "get_finalizer_info",
)
NODEOS_RESULTS = ("ok", "unreachable", "timeout", "error")
STORE_CALLS = ("grant", "keepalive", "lease_state", "revoke", "txn", "range", "watch")
STORE_RESULTS = ("ok", "rejected", "lease_gone", "unknown")


class Noting(Protocol):
    """An adapter whose calls are counted."""

    note: Note


P = ParamSpec("P")
S = TypeVar("S", bound=Noting)
T = TypeVar("T")


def not_noted(_name: str, _result: str, _seconds: float) -> None:
    """Stand where nobody counts."""


def metered(name: str) -> Callable[[Callable[Concatenate[S, P], T]], Callable[Concatenate[S, P], T]]:
    """Tell the adapter's `note` of each call of a method. A defect in counting changes nothing for the caller."""

    def count(method: Callable[Concatenate[S, P], T]) -> Callable[Concatenate[S, P], T]:
        @wraps(method)
        def call(adapter: S, /, *arguments: P.args, **more: P.kwargs) -> T:
            start = time.monotonic()
            try:
                found = method(adapter, *arguments, **more)
            except FailoverError as error:
                _tell(adapter.note, name, result_of(error), time.monotonic() - start)
                raise
            _tell(adapter.note, name, "ok", time.monotonic() - start)
            return found

        return call

    return count


def result_of(error: FailoverError) -> str:
    """Return the one word for a failure: what is known of the outcome."""
    match error:
        case NodeosUnreachable():
            return "unreachable"
        case NodeosTimeout():
            return "timeout"
        case NodeosAnswer():
            return "error"
        case LeaseGone():
            return "lease_gone"
        case StoreRejected():
            return "rejected"
    return "unknown"


def _tell(note: Note, name: str, result: str, seconds: float) -> None:
    try:
        note(name, result, seconds)
    except Exception:
        log.exception("a defect in counting requests")  # no reason to take a good answer for a bad one
