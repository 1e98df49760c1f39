"""How one check makes up its mind: rise, fall, and answers that say nothing. No check itself lives here."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Gate:
    """How often in a row a check must pass (`rise`) or fail (`fall`) to change its mind."""

    rise: int = 2
    fall: int = 3


@dataclass(frozen=True, slots=True)
class Verdict:
    """One result of one check. `ok` None: nothing was learned, for the reason given."""

    ok: bool | None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Check:
    """What a check stands at: `streak` counts results in a row against it; `failures` all bad results."""

    ok: bool = False
    reason: str = "not checked yet"
    known: bool = False
    streak: int = 0
    failures: int = 0


def judge(check: Check, gate: Gate, verdict: Verdict) -> Check:
    """Count one result: the first decides at once, later ones only `rise` or `fall` times in a row."""
    if verdict.ok is None:
        return check if check.known else replace(check, reason=verdict.reason)
    failures = check.failures + (not verdict.ok)
    if not check.known or verdict.ok == check.ok:
        return Check(verdict.ok, verdict.reason, True, 0, failures)
    streak = check.streak + 1
    if streak >= (gate.rise if verdict.ok else gate.fall):
        return Check(verdict.ok, verdict.reason, True, 0, failures)
    return replace(check, streak=streak, failures=failures)
