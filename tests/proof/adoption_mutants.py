"""Seeded mistakes about the first take-over and adoption (R18, R19); `mutants` says what an edit is."""

from __future__ import annotations

from dataclasses import dataclass

from tests.proof.mutants import CAMPAIGN, CORE, Edit

ADOPTION = CORE + "leadership.adoption"


@dataclass(frozen=True)
class Mistaken:
    """A mistake, the hosts whose nodeos produce before any agent is there, what it breaks, and with how many faults.

    Not `strict`: the search goes on where a nodeos is only left unpaused, to see whether that breaks P1.
    """

    name: str
    edits: tuple[Edit, ...]
    rogues: tuple[int, ...]
    breaks: str
    strict: bool = True
    faults: int = 0


ADOPTION_MUTANTS = (
    Mistaken(
        "adopts though another leads",
        (
            Edit(ADOPTION, "    if seen.heartbeat is not None:", "    if seen.keys_revision < 0:"),
            Edit(
                ADOPTION,
                "    if seen.leader is not None and not state.nominated:",
                "    if seen.leader and not seen.leader.lease:",
            ),
        ),
        (0, 1),
        "P1",
        strict=False,
    ),
    Mistaken(
        "adopts by a transaction that compares nothing",
        (
            Edit(
                CAMPAIGN,
                "    compare = (\n        Compare(names.leader, revision_of",
                "    compare = () and (\n        Compare(names.leader, revision_of",
            ),
        ),
        (0, 1),
        "P1",
    ),
    Mistaken(
        "takes over though blocks of a nodeos without an agent come",
        (Edit(CAMPAIGN, "        when = max(when, state.clear_at)", "        when = max(when, 0)"),),
        (0,),
        "R18",
    ),
    Mistaken(
        "pauses a producer that could be adopted",
        (Edit(ADOPTION, "    if process is not None and process.pid and", "    if process is None and"),),
        (0,),
        "R19",
    ),
    Mistaken(
        "adopts before its guard knows",
        (Edit(CAMPAIGN, 'if (state.quiet or state.saved == "held") and', "if"),),
        (0,),
        "P1",
        faults=1,
    ),
    Mistaken(
        "in doubt leaves nodeos unpaused",
        (Edit(ADOPTION, "    step.set_production(Production.UNKNOWN)\n", ""),),
        (0, 1),
        "R19",
    ),
)
