"""Each seeded mistake is found out by the search, by the promise that it breaks."""

from __future__ import annotations

import pytest

from tests.proof.adoption_mutants import ADOPTION_MUTANTS, Mistaken
from tests.proof.gate_mutants import GATE_MUTANTS
from tests.proof.mutants import BLIND, CAMPAIGN, MUTANTS, STATE, TENURE, Edit, Mutant, mutated
from tests.proof.peers_mutants import PEERS_MUTANTS


@pytest.mark.timeout(600)
@pytest.mark.parametrize("mutant", MUTANTS + GATE_MUTANTS + PEERS_MUTANTS, ids=lambda each: each.name)
def test_mistake_is_found(mutant: Mutant) -> None:
    """P1, R5, R8: with this mistake in the core the search comes upon the broken promise, and tells the story."""
    with mutated(mutant.edits) as runs:
        found = runs.hunt(
            mutant.script,
            calm=mutant.calm,
            guard=mutant.guard,
            eager=mutant.eager,
            timing=mutant.timing,
            gate=mutant.gate,
            peers=mutant.peers,
            names=mutant.names,
            deaf=mutant.deaf,
            off=mutant.off,
            alone=mutant.alone,
        )
    assert found.broken.startswith(mutant.breaks), found.text()
    assert found.story


@pytest.mark.parametrize("mistake", ADOPTION_MUTANTS, ids=lambda each: each.name)
def test_mistake_about_adoption_is_found(mistake: Mistaken) -> None:
    """P1, R18, R19: with this mistake installing agents beside a live producer breaks the promise, and it is told."""
    with mutated(mistake.edits) as runs:
        found = runs.installing(*mistake.rogues, faults=mistake.faults, strict=mistake.strict)
    assert found.broken.startswith(mistake.breaks), found.text()
    assert found.story


BELIEVES = Edit(STATE, "(self.released and not self.doubted)", "self.released")
ALL_SEEN = Edit(TENURE, "if seen.keys_revision else not _ours(step.state, record),", "and False,")


@pytest.mark.parametrize("edit", [BELIEVES, ALL_SEEN], ids=["believes every release", "has seen each release come"])
def test_release_that_is_believed_at_first_sight_is_found(edit: Edit) -> None:
    """P1: with this mistake an agent that starts takes over beside the leader that a restored store forgot (R20)."""
    with mutated((edit, BLIND)) as runs:
        found = runs.restoring(("etcd is restored",))
    assert found.broken.startswith("P1"), found.text()
    assert found.story


def test_store_that_is_believed_while_promises_hold_a_leader_is_found() -> None:
    """P1: an agent that starts takes over by a list of before, though its chain shows that somebody signs (R20)."""
    with mutated((BLIND,)) as runs:
        found = runs.restored_beside_promises(runs.BESIDE)
    assert found.broken.startswith("P1"), found.text()
    assert found.story


def test_seat_kept_for_ever_is_found() -> None:
    """P2: a core that keeps the seat for ever for a name that nobody answers to leaves nobody producing."""
    free = "    when = max(state.seat_at(free), state.retry_at)\n"
    never = Edit(CAMPAIGN, free, "    if state.seat_at(0):\n        return None\n" + free)
    heeds = Edit(
        STATE, "        if leader is None or leader.name is None:\n", "        return False\n        if not leader:\n"
    )
    with mutated((never, heeds)) as runs:
        _, after = runs.one_fault(("a", "b"), only=("put leader garbage",))
        assert after.worst > runs.bound(runs.TICKS)
        assert after.story()


def test_leader_that_stops_too_early_is_found() -> None:
    """P3: a core that gives up after one slow confirmation changes leaders for nothing."""
    hasty = Edit(STATE, "- self.identity.timing.margin if", "- self.identity.timing.margin - 5 if")
    with mutated((hasty,)) as runs:
        assert runs.slow_messages().broken.startswith("P3")
