"""What a word of an operator leaves in etcd: the words on record are bounded, and the newest ones stay."""

from __future__ import annotations

import json
from dataclasses import replace

import click
import pytest

from agent.cli.changes import Author, OperatorChange
from agent.cli.operator import KEPT, Acting, act, wait_for
from agent.cli.target import Target
from agent.config.sections import EtcdSection
from agent.core.model.store import Compare, Put, Snapshot, Txn
from agent.errors import RefusedError
from tests.support.memory_store import MemoryEtcd, MemoryStore
from tests.support.moved_time import MovedTime

TARGET = Target(EtcdSection(endpoints=("127.0.0.1:1",)), "eos", 2.0)
AUDIT = TARGET.names.root + "audit/"
JOE = Author("joe@host", "upgrade")
CHANGE = OperatorChange("drain bp-b", (Put("/x", b"1"),))


class Group:
    """A group with words on record, oldest first."""

    def __init__(self, words: int) -> None:
        self.store = MemoryStore(MemoryEtcd(lambda: 0))
        for number in range(words):
            self.store.txn(Txn((), (Put(f"{AUDIT}{number:015d}-ab12", b"%d" % number),)), 1.0)

    def words(self) -> list[str]:
        """Return what stands on record."""
        return [item.key.removeprefix(AUDIT) for item in self.store.range(AUDIT, 1.0).items]


@pytest.mark.parametrize("beyond", [0, 1, 3])
def test_exactly_the_oldest_words_beyond_the_bound_go(beyond: int) -> None:
    """With some above the bound those go, the oldest; every other one and the one just said stay."""
    group = Group(KEPT - 1 + beyond)
    before = group.words()
    act(group.store, TARGET, CHANGE, Acting(JOE, yes=True))
    after = group.words()
    assert after[:-1] == before[beyond:]
    assert len(after) == KEPT


def test_far_too_many_words_go_in_bounded_steps() -> None:
    """etcd takes 128 operations in a transaction: 100 words at a time are deleted, again the oldest."""
    group = Group(300)
    before = group.words()
    act(group.store, TARGET, CHANGE, Acting(JOE, yes=True))
    assert group.words()[:-1] == before[100:]


def test_what_was_done_is_on_record_with_its_author(moved: MovedTime) -> None:
    """Who, what, why and when, in ms since 1970; the change itself is done in the same transaction."""
    group = Group(0)
    revision = act(group.store, TARGET, CHANGE, Acting(JOE, yes=True))
    found = {item.key: item for item in group.store.range("/", 1.0).items}
    assert {item.mod_revision for item in found.values()} == {revision}
    (word,) = group.words()
    assert word.startswith(f"{moved.wall():015d}-")
    said = {"when_ms": moved.wall(), "by": "joe@host", "did": "drain bp-b", "reason": "upgrade"}
    assert json.loads(found[AUDIT + word].value) == said


def test_a_dry_run_leaves_nothing() -> None:
    """Nothing is written, not even that it was tried."""
    group = Group(0)
    assert act(group.store, TARGET, CHANGE, Acting(JOE, yes=True, dry_run=True)) is None
    assert not group.store.range("/", 1.0).items


def test_a_group_that_changed_meanwhile_is_left_alone() -> None:
    """Another operator was faster: nothing is done, and nothing stands on record."""
    group = Group(0)
    group.store.txn(Txn((), (Put("/y", b"1"),)), 1.0)
    change = OperatorChange("drain bp-b", (Put("/x", b"1"),), (Compare("/y", 0),))
    with pytest.raises(RefusedError, match="has changed while you looked"):
        act(group.store, TARGET, change, Acting(JOE, yes=True))
    assert [item.key for item in group.store.range("/", 1.0).items] == ["/y"]


def test_a_word_with_an_end_gets_a_lease_of_so_many_seconds() -> None:
    """The key expires by itself, the word on record does not."""
    group = Group(0)
    act(group.store, TARGET, CHANGE, Acting(JOE, yes=True), ttl_s=60)
    (key,) = group.store.range("/x", 1.0).items
    assert group.store.lease_state(key.lease, 1.0) == 60
    assert [item.lease for item in group.store.range(AUDIT, 1.0).items] == [0]


@pytest.mark.parametrize(
    ("acting", "answer", "done"),
    [
        (Acting(JOE), False, False),
        (Acting(JOE, yes=True), False, False),
        (Acting(JOE, yes=True), True, True),
        (Acting(JOE, force=True), False, True),
    ],
)
def test_what_looks_like_a_mistake_is_asked_even_with_yes(
    acting: Acting, answer: bool, done: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that is no member stops a group: --yes does not answer for that, only a person or --force does."""
    group = Group(0)
    asked: list[str] = []

    def confirm(text: str, **_: object) -> bool:
        asked.append(text)
        return answer

    monkeypatch.setattr("click.confirm", confirm)
    change = replace(CHANGE, ask=True, insist="bp-z is not among the members")
    if done:
        act(group.store, TARGET, change, acting)
    else:
        with pytest.raises(RefusedError):
            act(group.store, TARGET, change, acting)
    assert bool(group.store.range("/x", 1.0).items) is done
    assert asked == ([] if acting.force else ["bp-z is not among the members: is the name right?"])


def test_where_nobody_can_answer_that_is_refused_with_the_way_to_insist(monkeypatch: pytest.MonkeyPatch) -> None:
    """A script that has a typing mistake changes nothing."""

    def nobody(*_: object, **__: object) -> bool:
        raise click.Abort

    monkeypatch.setattr("click.confirm", nobody)
    with pytest.raises(RefusedError, match="add --force when no person is there"):
        act(Group(0).store, TARGET, replace(CHANGE, insist="bp-z is no member"), Acting(JOE, yes=True))


def test_waiting_ends_at_its_limit_and_looks_now_and_then(moved: MovedTime) -> None:
    """A group in which nothing happens is looked at five times a second, until the limit."""
    group = Group(0)
    looks: list[Snapshot] = []
    assert wait_for(group.store, TARGET, lambda found: looks.append(found), 2.0) is None
    assert moved.passed_s == pytest.approx(2.0, abs=0.3)
    assert 9 <= len(looks) <= 12
    assert wait_for(group.store, TARGET, lambda _found: "done", 2.0) == "done"
