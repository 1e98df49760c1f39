"""Seeded mistakes about peers, each a row; `mutants` says what a mistake is."""

from __future__ import annotations

from typing import Any

from tests.proof.mutants import BLIND, CORE, STATE, TENURE, UNKNOWN, Edit, Mutant

PEERS = CORE + "leadership.peers"
SHARP = Edit(CORE + "leadership.timing", "    return -(-validity_ms * 1001 // 1000) + 1\n", "    return validity_ms\n")
"""Without the 0.1 % and the rounding: in ticks of the search they are as much as two."""
CUT, DEAF, GARBAGE = "a: is cut off", "b: hears no peers", "put heartbeat garbage"
MAY_STAND = "    may_stand = state.support.lists\n"
UNNAMED: dict[str, Any] = {"names": ("a", "b", "c"), "deaf": "c"}
"""A third member, which is not named, for it hears no beats."""


def _mistake(name: str, script: tuple[str, ...], *edits: Edit, **more: Any) -> Mutant:
    return Mutant(name, edits, script, "P1", peers=True, **more)


PEERS_MUTANTS = (
    _mistake(
        "a promise is not noted",
        (CUT,),
        Edit(PEERS, "max(pledge.until, event.at + standstill(beat.validity_ms))", "pledge.until"),
    ),
    _mistake(
        "V counted from the receipt of the promise",
        ("a: a promise of b is late", DEAF),
        Edit(PEERS, "Vote(peer, max(sent, old.sent if old else 0),", "Vote(peer, step.now,"),
        SHARP,
        alone=1,
        timing={"validity": 10, "peers_validity": 8},
    ),
    _mistake(
        "only the newest list is asked for",
        (CUT,),
        Edit(PEERS, MAY_STAND, "    may_stand = state.support.lists[-1:]\n"),
        SHARP,
        **UNNAMED,
    ),
    _mistake(
        "an empty list that may stand is ignored",
        (CUT,),
        Edit(
            PEERS,
            MAY_STAND,
            "    may_stand = [each for each in state.support.lists if each.peers] or state.support.lists\n",
        ),
        SHARP,
        **UNNAMED,
    ),
    _mistake(
        "a node that is not named takes over",
        (CUT,),
        Edit(STATE, "return self.seen.heirs is None or", "return True or"),
        **UNNAMED,
    ),
    _mistake(
        "no cap on a shorter validity",
        (CUT, DEAF),
        Edit(PEERS, "min(tenure.valid_until, _bound(step.state))", "tenure.valid_until"),
        SHARP,
    ),
    _mistake(
        "the guard is not told of a shorter validity first",
        ("a: the disk is slow", "a: the agent freezes", DEAF),
        Edit(PEERS, "unsaved=step.state.saving", "unsaved=0"),
        SHARP,
    ),
    _mistake(
        "the cap is lifted when the shorter write has no answer",
        (CUT, DEAF),
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
        timing={"validity": 12},
    ),
    _mistake(
        "what cannot be read leaves the heartbeat to anybody",
        ("b: is cut off", GARBAGE),
        Edit(TENURE, "    if forged or (heartbeat is not None and record is None):\n", "    if False:\n"),
        alone=1,
        **UNNAMED,
    ),
    _mistake(
        "a member without peers takes what it cannot read at first sight",
        ("c: the agent dies", GARBAGE),
        Edit(
            TENURE,
            "and seen.heirs is None and seen.keyed else seen",
            "and seen.heirs is None and state.peered else seen",
        ),
        BLIND,
        names=("a", "b", "c"),
        off="c",
        alone=2,
    ),
)
