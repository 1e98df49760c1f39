"""How one check makes up its mind: rise, fall, and answers that say nothing. No check itself lives here."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Gate:
    """How often in a row a check must pass (`rise`) or fail (`fall`) to change its mind."""

    rise: int = 2
    fall: int = 3


@dataclass(frozen=True, slots=True)
class Pace:
    """How hard to look just now: a check fails after at least `least` and at most `most` bad results in a row.

    A check that fails at the first one is certain, and stays so. `why` tells people what the pace comes from.
    """

    least: int = 1
    most: int = 1000
    why: str = ""

    def fall(self, gate: Gate) -> int:
        """Return how many bad results in a row are wanted."""
        return 1 if gate.fall == 1 else min(max(gate.fall, self.least), self.most)


STEADY = Pace()


@dataclass(frozen=True, slots=True)
class Verdict:
    """One result of one check. `ok` None: nothing was learned, for the reason given."""

    ok: bool | None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Check:
    """What a check stands at: `streak` counts results in a row against it; `failures` all bad results.

    `doubt` says what speaks against a check that still passes, and how much more is waited for.
    """

    ok: bool = False
    reason: str = "not checked yet"
    known: bool = False
    streak: int = 0
    failures: int = 0
    doubt: str = ""


def judge(check: Check, gate: Gate, verdict: Verdict, pace: Pace = STEADY) -> Check:
    """Count one result: the first decides at once, later ones only `rise` or `fall` times in a row."""
    if verdict.ok is None:
        return check if check.known else replace(check, reason=verdict.reason)
    failures = check.failures + (not verdict.ok)
    if not check.known or verdict.ok == check.ok:
        return Check(verdict.ok, verdict.reason, True, 0, failures)
    streak = check.streak + 1
    fall = pace.fall(gate)
    if streak >= (gate.rise if verdict.ok else fall):
        hurried = not verdict.ok and fall != gate.fall
        reason = f"{verdict.reason} ({streak} in a row, because {pace.why})" if hurried else verdict.reason
        return Check(verdict.ok, reason, True, 0, failures)
    doubt = "" if verdict.ok else f"{verdict.reason} ({streak} of {fall}{', ' if pace.why else ''}{pace.why})"
    return replace(check, streak=streak, failures=failures, doubt=doubt)
