"""What speaks against the files that the configuration names. Facts in, findings out."""

from __future__ import annotations

from agent.doctor.facts import FileFacts
from agent.doctor.finding import Finding, fault, ok, unknown, warn

ADVICE = frozenset({"nodeos.config_file"})
"""Files that the agent starts without."""


def files(facts: FileFacts) -> list[Finding]:
    """See that the agent's user can read each file."""
    who = f"the agent's user {facts.user} ({facts.unit})" if facts.unit else f"{facts.user}, who runs this command,"
    if facts.denied is None:
        return [unknown("files", facts.error or "not looked at", "run doctor as root")]
    found = [_unseen(facts)] if facts.unseen else []
    for needed in (True, False):
        names = [name for name in facts.denied if (name not in ADVICE) is needed]
        if not names:
            continue
        seen = "; ".join(f"{name}: {facts.files[name]} ({facts.denied[name]})" for name in names)
        remedy = f"let {facts.user} read it: its group and mode 0640, or setfacl -m u:{facts.user}:r"
        found.append(
            fault("files", f"{who} cannot read {seen}", remedy)
            if needed
            else warn("files", f"{who} cannot read {seen}: the agent runs without it, and sees less", remedy)
        )
    return found or [ok("files", f"{who} can read all {len(facts.files)}")]


def _unseen(facts: FileFacts) -> Finding:
    seen = f"judged as {facts.user}, but the agent runs as {facts.unseen}"
    return unknown("files", seen, "run doctor as root: it looks as the agent's user then")
