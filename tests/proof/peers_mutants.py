"""Seeded mistakes about peers; `mutants` says what a mistake is."""

from __future__ import annotations

from tests.proof.mutants import CORE, STATE, TENURE, UNKNOWN, Edit, Mutant

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
        ("a: a promise of b is late", DEAF),
        "P1",
        peers=True,
        alone=True,
        timing={"validity": 10, "peers_validity": 8},
    ),
    Mutant(
        "only the newest list is asked for",
        (Edit(PEERS, "    may_stand = state.support.lists\n", "    may_stand = state.support.lists[-1:]\n"), SHARP),
        (CUT,),
        "P1",
        peers=True,
        names=ABC,
        deaf="c",
    ),
    Mutant(
        "an empty list that may stand is ignored",
        (
            Edit(
                PEERS,
                "    may_stand = state.support.lists\n",
                "    may_stand = [each for each in state.support.lists if each.peers] or state.support.lists\n",
            ),
            SHARP,
        ),
        (CUT,),
        "P1",
        peers=True,
        names=ABC,
        deaf="c",
    ),
    Mutant(
        "a node that is not named takes over",
        (Edit(STATE, "return self.seen.heirs is None or", "return True or"),),
        (CUT,),
        "P1",
        peers=True,
        names=ABC,
        deaf="c",
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
        "the cap is lifted when the shorter write has no answer",
        (
            Edit(
                TENURE,
                UNKNOWN,
                "    if _close(step, event.request):\n"
                "        step.back_off()\n"
                "        first = step.tenure.support.lists[:1]\n"
                "        longer = [each.at + each.validity_ms for each in first]\n"
                "        step.set_tenure(valid_until=max([step.tenure.valid_until, *longer]))\n"
                "        step.save('held')"
                "\n\n\ndef rejected",
            ),
            SHARP,
        ),
        (CUT, DEAF),
        "P1",
        timing={"validity": 12},
        peers=True,
    ),
    Mutant(
        "what cannot be read leaves the heartbeat to anybody",
        (Edit(TENURE, "    if heartbeat is not None and (record is None or forged):\n", "    if False:\n"),),
        ("b: is cut off", "put heartbeat garbage"),
        "P1",
        alone=True,
        peers=True,
        names=ABC,
        deaf="c",
    ),
)
