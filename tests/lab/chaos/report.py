"""A verdict for people: the table of faults, what was found, and what it cost. Text only; the picture is `timeline`."""

from __future__ import annotations

from collections.abc import Sequence

from tests.lab.chaos.checker import SHORT, story
from tests.lab.chaos.history import Done, History, Verdict
from tests.lab.chaos.kinds import GATED, PLAIN
from tests.lab.chaos.plan import Plan

AROUND = 12.0
"""Seconds of a story before and after what it is about."""


def table(history: History, verdict: Verdict) -> str:
    """Return a Markdown table: a row a kind of fault, with what it is blamed for."""
    lines = ["| fault | done | not done | slots missed | leader changes |", "| --- | --: | --: | --: | --: |"]
    kinds = GATED if history.gate else PLAIN
    lines += [_row(name, [each for each in history.done if each.fault.kind == name], verdict) for name in kinds]
    blamed = [gap for gap in verdict.gaps if not gap.blamed]
    changes = sum(not tenure.blamed for tenure in verdict.tenures)
    lines.append(f"| none of them | | | {sum(gap.count for gap in blamed)} | {changes} |")
    done = sum(not each.failed for each in history.done)
    missed = sum(gap.count for gap in verdict.gaps)
    failed = len(history.done) - done
    return "\n".join([*lines, f"| **all** | {done} | {failed} | {missed} | {len(verdict.tenures)} |"])


def _row(name: str, done: Sequence[Done], verdict: Verdict) -> str:
    numbers = {each.fault.number for each in done}
    failed = sum(bool(each.failed) for each in done)
    missed = sum(gap.count for gap in verdict.gaps if gap.blamed in numbers)
    changes = sum(tenure.blamed in numbers for tenure in verdict.tenures)
    return f"| {name} | {len(done) - failed} | {failed} | {missed} | {changes} |"


def summary(plan: Plan, history: History, verdict: Verdict) -> str:
    """Return the figures and the findings."""
    twice = [double for double in verdict.doubles if double.governed]
    stray = len(verdict.doubles) - len(twice)
    spent = history.ended - history.began
    slots = max(1, round(spent * 2))
    missed = sum(gap.count for gap in verdict.gaps)
    rests = [rest.produced - rest.at for rest in history.rests if rest.produced is not None]
    longest = max((each.ended - each.started for each in history.stalls), default=0.0)
    lines = [
        f"seed {plan.seed}, {len(plan.hosts)} hosts, {spent:.0f} s, {len(history.done)} faults",
        f"slots signed twice, both governed (P1): {len(twice)}",
        f"slots signed twice while a node was not governed, or its clock was wrong: {stray}",
        f"blocks signed: {len(history.signatures)}; slots missed: {missed} of {slots}",
        f"blocks of the observer's chain whose signature is in no log: {len(history.unsigned)}",
        f"times somebody led: {len(verdict.tenures)}",
        f"rests: {len(history.rests)}; the longest wait for a block after one (P2): {max(rests, default=0.0):.1f} s",
        f"gaps of more than {SHORT} slots without a cause: {len(verdict.flags)}",
        f"stalls of the machine: {len(history.stalls)}, the longest {longest:.1f} s",
    ]
    if history.gate:
        lines += _gated(verdict)
    lines += [f"{what}: {how}" for what, how in history.means.items()]
    return "\n".join(f"- {line}" for line in lines)


def _gated(verdict: Verdict) -> list[str]:
    """Return what runs with signing gates are made for."""
    late = [each.seconds for each in verdict.late]
    stale = sum(thaw.stale for thaw in verdict.thaws)
    alone = [gap for gap in verdict.gaps if len(gap.causes) == 1 and gap.blamed]
    longest = max(alone, key=lambda gap: gap.count, default=None)
    told = f"{longest.count} slots, {longest.causes[0]}" if longest else "none"
    thawed = f"{len(verdict.thaws)} times; blocks that it signed when it thawed: {stale}"
    return [
        f"blocks signed after another one was elected: {len(late)}, the latest {max(late, default=0.0):.3f} s after",
        f"nodeos frozen while it signed, until another one was elected: {thawed}",
        f"the longest gap of which one fault alone is the cause: {told}",
    ]


def findings(history: History, verdict: Verdict) -> str:
    """Return what was violated or is not explained, each with its story."""
    parts = []
    for double in verdict.doubles:
        if double.governed:
            at = double.signatures[0].wall
            who = " and ".join(f"{each.node} ({each.id})" for each in double.signatures)
            parts.append(f"### P1 VIOLATED: slot {double.slot} signed by {who}\n\n{_story(history, at, at)}")
    parts += [f"### {violation}" for violation in verdict.violations if not violation.startswith("P1: slot")]
    for rest in history.rests:
        if rest.produced is None:
            parts.append(f"### Nobody produced after a rest\n\n{_story(history, rest.at, history.ended)}")
    for gap in verdict.gaps:
        if not gap.causes and gap.count > SHORT:
            title = f"### Not explained: {gap.count} slots missed after {gap.after}"
            parts.append(f"{title}\n\n{_story(history, gap.started, gap.ended)}")
    return "\n\n".join(parts)


def _story(history: History, started: float, ended: float) -> str:
    return "```\n" + story(history, started - AROUND, ended + AROUND) + "\n```"


def gaps(history: History, verdict: Verdict) -> str:
    """Return the gaps of more than SHORT slots, the longest first, with their causes."""
    lines = ["| at (s) | slots | after | causes |", "| --: | --: | --- | --- |"]
    for gap in sorted(verdict.gaps, key=lambda gap: -gap.count):
        if gap.count > SHORT:
            causes = "; ".join(gap.causes) or "**none**"
            lines.append(f"| {gap.started - history.began:.1f} | {gap.count} | {gap.after} | {causes} |")
    return "\n".join(lines)


def report(plan: Plan, history: History, verdict: Verdict) -> str:
    """Return all of it as Markdown."""
    found = findings(history, verdict) or "Nothing: no violation, and every gap has a cause."
    parts = ["# Chaos", summary(plan, history, verdict), "## Faults", table(history, verdict), "## Findings", found]
    parts += ["## Gaps", gaps(history, verdict), "## Picture", "timeline.svg"]
    return "\n\n".join(parts) + "\n"
