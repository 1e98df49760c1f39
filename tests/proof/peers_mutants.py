"""Seeded mistakes about peers; `mutants` says what a mistake is."""

from __future__ import annotations

from tests.proof.mutants import CORE, STATE, Edit, Mutant

PEERS = CORE + "leadership.peers"
SHARP = Edit(CORE + "leadership.timing", "    return -(-validity_ms * 1001 // 1000) + 1\n", "    return validity_ms\n")
"""Without the 0.1 % and the rounding: in ticks of the search they are as much as two."""
CUT, DEAF = "a: is cut off", "b: hears no peers"
ABC = ("a", "b", "c")

PEERS_MUTANTS = (
    Mutant(
        "a promise is not noted",
        (Edit(PEERS, "max(pledge.until, event.at + standstill(beat.validity_ms))", "pledge.until"),),
        (CUT,),
        "P1",
        peers=True,
    ),
    Mutant(
        "V counted from the receipt of the promise",
        (Edit(PEERS, "Vote(peer, max(sent, old.sent if old else 0),", "Vote(peer, step.now,"), SHARP),
        ("a: a promise of b is late", DEAF, CUT),
        "P1",
        peers=True,
    ),
    Mutant(
        "only the newest list is asked for",
        (Edit(PEERS, "    lists = state.support.lists\n", "    lists = state.support.lists[-1:]\n"), SHARP),
        ("c: hears no peers", CUT),
        "P1",
        peers=True,
        names=ABC,
    ),
    Mutant(
        "an empty list that may stand is ignored",
        (
            Edit(
                PEERS,
                "    lists = state.support.lists\n",
                "    lists = [each for each in state.support.lists if each.peers] or state.support.lists\n",
            ),
            SHARP,
        ),
        ("c: hears no peers", CUT),
        "P1",
        peers=True,
        names=ABC,
    ),
    Mutant(
        "a node that is not named takes over",
        (Edit(STATE, "return self.seen.heirs is None or", "return True or"),),
        ("c: hears no peers", CUT),
        "P1",
        peers=True,
        names=ABC,
    ),
    Mutant(
        "no cap on a shorter validity",
        (Edit(PEERS, "min(tenure.valid_until, _bound(step.state))", "tenure.valid_until"), SHARP),
        (CUT, DEAF),
        "P1",
        peers=True,
    ),
    Mutant(
        "the guard is not told of a shorter validity first",
        (Edit(PEERS, "unsaved=step.state.saving", "unsaved=0"), SHARP),
        ("a: the disk is slow", "a: the agent freezes", DEAF),
        "P1",
        peers=True,
    ),
    Mutant(
        "promise while a take-over is under way",
        (Edit(PEERS, "state.phase is not Phase.STANDBY or not seen.moved", "False"), SHARP),
        (CUT, DEAF, "b: take is slow"),
        "P1",
        peers=True,
    ),
)
