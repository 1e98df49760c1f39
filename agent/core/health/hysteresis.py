"""How one check makes up its mind: rise, fall, and answers that say nothing."""

from __future__ import annotations

from dataclasses import dataclass

from agent.core.model.copying import replace


@dataclass(frozen=True, slots=True)
class Thresholds:
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

    def fall(self, gate: Thresholds) -> int:
        """Return how many bad results in a row are wanted."""
        return 1 if gate.fall == 1 else min(max(gate.fall, self.least), self.most)


STEADY = Pace()


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One result of one check. `ok` None: nothing was learned, for the reason given."""

    ok: bool | None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class CheckState:
    """What a check stands at: `streak` counts results in a row against it; `failures` all bad results.

    `doubt` says what speaks against a check that still passes, and how much more is waited for.
    """

    ok: bool = False
    reason: str = "not checked yet"
    known: bool = False
    streak: int = 0
    failures: int = 0
    doubt: str = ""


def update(check: CheckState, gate: Thresholds, result: CheckResult, pace: Pace = STEADY) -> CheckState:
    """Count one result: the first decides at once, later ones only `rise` or `fall` times in a row."""
    if result.ok is None:
        return check if check.known else replace(check, reason=result.reason)
    failures = check.failures + (not result.ok)
    if not check.known or result.ok == check.ok:
        return CheckState(result.ok, result.reason, True, 0, failures)
    streak = check.streak + 1
    fall = pace.fall(gate)
    if streak >= (gate.rise if result.ok else fall):
        hurried = not result.ok and fall != gate.fall
        reason = f"{result.reason} ({streak} in a row, because {pace.why})" if hurried else result.reason
        return CheckState(result.ok, reason, True, 0, failures)
    doubt = "" if result.ok else f"{result.reason} ({streak} of {fall}{', ' if pace.why else ''}{pace.why})"
    return replace(check, streak=streak, failures=failures, doubt=doubt)
