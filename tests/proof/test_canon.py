"""The search's own short cuts, held against worlds as they are: canonical forms, names of nodes, known fields."""

from __future__ import annotations

import random
from typing import Any

import pytest

from tests.proof.engine import Engine, Next
from tests.proof.fields import KNOWN, reached
from tests.proof.parts import Budget
from tests.proof.raw import Raw
from tests.proof.runs import engine

WHAT_TO_DO = """
The search compares worlds by their canonical form, so it must know what each field of the core's state means:
  a time      canon.py counts it from now and caps it where the core cannot tell it from an older one
  a number    of a call, a request, a file version: canon.py names it by its order, and forgets it when it is over
  shared      a revision, an epoch, a seq: shared.py names it by its order, in of() and in renamed()
  as it is    a flag, a phase, a name: nothing to do
  for people  a reason, a text that no rule looks at: canon.py drops it
Do that, then write the field into tests/proof/fields.py. `test_forms_lose_nothing` tells whether it was right."""


def test_every_field_is_known() -> None:
    """A field that is new in the state of core or world is given its canonical form before the search is believed."""
    found = reached()
    unknown = [f"{kind}.{name}" for kind, names in found.items() for name in names if name not in KNOWN.get(kind, ())]
    gone = [f"{kind}.{name}" for kind, names in KNOWN.items() for name in names if name not in found.get(kind, ())]
    assert not unknown, f"not known to the search: {', '.join(unknown)}{WHAT_TO_DO}"
    assert not gone, f"no longer there, take it out of tests/proof/fields.py: {', '.join(gone)}"


def _follow(raw: Raw, forms: Engine, chance: random.Random, moves: int) -> None:
    world = raw.ready()
    for _ in range(moves):
        here = list(raw.after(world))
        there = forms.moved_from(raw, world)
        after = {(each.label.partition(";")[0], each.broken) for each in here}
        also = {(each.label.partition(";")[0], each.broken) for each in forms.after(there)}
        assert after == also
        want = {_seen(forms, forms.moved_from(raw, each.world)) for each in here if not each.broken}
        assert want == {_seen(forms, each.world) for each in forms.after(there) if not each.broken}
        world = _likely(here, chance).world


def _seen(forms: Engine, world: tuple[int, tuple[int, ...], tuple[int, ...], int]) -> tuple[int, int]:
    return forms.fingerprint(world), world[3]


def _likely(found: list[Next], chance: random.Random) -> Next:
    """Choose a move; time passes more often than anything else, so that walks get anywhere."""
    time = [each for each in found if each.took]
    return chance.choice(time if time and chance.random() < 0.6 else found)


PLAIN: list[tuple[int, dict[str, Any]]] = [(seed, {}) for seed in range(12)]
GATED = [(seed, {"gate": gate}) for seed, gate in ((1, "required"), (2, "required"), (3, "on"), (4, "key"))]
NAMES = ((1, "ab"), (2, "ab"), (3, "ab"), (4, "abc"))
PEERED = [(seed, {"peers": True, "names": tuple(names)}) for seed, names in NAMES]


@pytest.mark.parametrize(("seed", "more"), [*PLAIN, *GATED, *PEERED], ids=str)
def test_forms_lose_nothing(seed: int, more: dict[str, Any]) -> None:
    """What may follow upon a world is what may follow upon its canonical form: nothing that matters was dropped.

    The same with a gate, and with peers (R13 to R17).
    """
    few = engine(Budget(6, ghosts=99), eager=seed % 2 == 0, **more)
    raw = Raw(few.rules, few.budget)
    _follow(raw, few, random.Random(seed), 150)


@pytest.mark.parametrize("names", [("a", "b"), ("a", "b", "c")])
def test_names_do_not_matter(names: tuple[str, ...]) -> None:
    """Worlds that differ by the names of nodes alone have one fingerprint, and so has all that follows upon them."""
    found = engine(Budget(4), names=names, eager=False)
    one, other = found.calm(0), found.calm(1)
    assert one != other
    chance = random.Random(1)
    for _ in range(250):
        assert found.fingerprint(one) == found.fingerprint(other)
        here = {found.fingerprint(each.world): each for each in found.after(one)}
        there = {found.fingerprint(each.world): each for each in found.after(other)}
        assert here.keys() == there.keys()
        go = _likely(list(here.values()), chance)
        one, other = go.world, there[found.fingerprint(go.world)].world
