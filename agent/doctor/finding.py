"""What one check says."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from agent.doctor.facts import NodeosFacts


class Grade(Enum):
    """How it looks. Only FAULT makes the command fail."""

    OK = "ok"
    WARN = "warn"
    FAULT = "fault"
    UNKNOWN = "unknown"  # it could not be seen
    SKIPPED = "skipped"  # it does not apply here


@dataclass(frozen=True, slots=True)
class Finding:
    """`seen` is what was found, `remedy` what to do about it; a remedy is given unless all is well."""

    name: str
    verdict: Grade
    seen: str
    remedy: str = ""


def ok(name: str, seen: str) -> Finding:
    """Return that all is well."""
    return Finding(name, Grade.OK, seen)


def warn(name: str, seen: str, remedy: str) -> Finding:
    """Return that it may bite later."""
    return Finding(name, Grade.WARN, seen, remedy)


def fault(name: str, seen: str, remedy: str) -> Finding:
    """Return that it will bite."""
    return Finding(name, Grade.FAULT, seen, remedy)


def unknown(name: str, seen: str, remedy: str) -> Finding:
    """Return that it could not be seen."""
    return Finding(name, Grade.UNKNOWN, seen, remedy)


def skipped(name: str, seen: str, remedy: str = "") -> Finding:
    """Return that it does not apply."""
    return Finding(name, Grade.SKIPPED, seen, remedy)


def unseen_options(name: str, facts: NodeosFacts) -> Finding | None:
    """Return why nodeos's options cannot be judged, None when they can."""
    if facts.options.sources:
        return None
    remedy = "set nodeos.config_file to its config.ini, or run doctor as nodeos's user"
    return unknown(
        name, facts.options_error or "nodeos's options could not be seen: no config.ini could be read", remedy
    )
