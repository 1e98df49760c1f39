"""`replace` copies as `dataclasses.replace` does: the search and every step rest on it."""

from __future__ import annotations

import dataclasses
from dataclasses import FrozenInstanceError, dataclass

import pytest

from agent.core.model.copying import differing, replace
from agent.core.model.store import Snapshot
from tests.simulation.story import Story


@dataclass(frozen=True)
class Open:
    """Without slots."""

    one: int = 1
    two: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Checked:
    """It looks at its fields when it is made."""

    one: int = 1
    two: int = 2

    def __post_init__(self) -> None:
        if self.one > self.two:
            raise ValueError("one is more than two")


NODE = Story("bp-a").hosts[0].node


@pytest.mark.parametrize(
    ("found", "changes"),
    [
        (NODE.leadership, {"request": 77, "retry_at": 9}),
        (NODE, {"wake": 7, "leadership": replace(NODE.leadership, request=78)}),
        (Snapshot(1, ()), {"revision": 2}),
        (Open(), {"two": (3,)}),
        (Checked(), {"two": 3}),
    ],
    ids=lambda each: type(each).__name__,
)
def test_copy_is_that_of_dataclasses(found: object, changes: dict[str, object]) -> None:
    """Of the same class, equal, as frozen and with the same hash; and itself where nothing is another."""
    copy = replace(found, **changes)
    expected = dataclasses.replace(found, **changes)  # type: ignore[type-var] # each of the table is a dataclass
    assert (type(copy), copy, repr(copy)) == (type(found), expected, repr(expected))
    assert differing(found, copy) == set(changes)
    assert replace(copy, **changes) is copy
    with pytest.raises(FrozenInstanceError):
        setattr(copy, next(iter(changes)), None)


def test_hash_and_checks_are_kept() -> None:
    """A copy is found in a set among those that were made from the start; what a class refuses it still refuses."""
    assert hash(replace(Snapshot(1, ()), revision=2)) == hash(Snapshot(2, ()))
    with pytest.raises(ValueError, match="one is more"):
        replace(Checked(), one=3)
