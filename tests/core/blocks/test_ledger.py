"""Following the chain, counting own windows, and what slots were lost to."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.core.blocks import follow, history, terms
from agent.core.blocks.follow import BlocksRead, Following, ask, blocks_read, head_seen
from agent.core.blocks.schedule import ProducerWindows, windows_of
from agent.core.blocks.sightings import Sightings, claimed, told
from agent.core.blocks.terms import Term, change_at
from agent.core.health.checks import Health
from agent.core.model import archive
from agent.core.model.archive import Window, read_window, write_window
from agent.core.model.chain import Header
from agent.core.model.fields import RecordError
from agent.core.model.records import OWN
from agent.core.model.slots import REPETITIONS, producer_index, slot_of
from agent.core.node.state import RecordChange
from tests.core.parts import PRODUCER, SCHEDULE, info
from tests.simulation.story import Story, pair, settled

ALONE = ProducerWindows(1, 0)


# --- whose slots are ours ---


@given(st.integers(1, 25), st.data())
def test_turns_agree_with_the_schedule_slot_by_slot(producers: int, data: st.DataObject) -> None:
    """What is reckoned of turns is what counting slot by slot gives, for every size of a schedule."""
    windows = ProducerWindows(producers, data.draw(st.integers(0, producers - 1)))
    first = data.draw(st.integers(0, 2000))
    end = first + data.draw(st.integers(0, 700))
    ours = [slot for slot in range(first, end) if producer_index(slot, producers) == windows.index]
    assert windows.count(first, end) == len(ours)
    assert windows.touches(first, end - 1) == bool(ours)
    start = windows.next_start(first)
    assert all(windows.ours(start + place) for place in range(REPETITIONS))
    assert first <= start < first + windows.period
    assert start % REPETITIONS == 0


def test_who_is_not_scheduled_has_no_turns() -> None:
    """A producer that is not in the schedule, or an unknown schedule, has no turns."""
    assert windows_of(SCHEDULE, PRODUCER) == ProducerWindows(2, 1)
    assert windows_of(SCHEDULE, "nobody") is None
    assert windows_of(None, PRODUCER) is None


# --- following ---


def header(num: int, branch: str = "a", before: str = "a", slot: int | None = None, producer: str = PRODUCER) -> Header:
    """Return a block of a branch, on top of one of the branch `before`."""
    time = info(num if slot is None else slot).head_time
    return Header(num, f"{num:08x}{branch}", time, producer, f"{num - 1:08x}{before}")


def heads(
    *nums: int, branch: str = "a", windows: ProducerWindows | None = ALONE, found: Following | None = None
) -> Following:
    """Return what is known after these heads."""
    found = found or Following()
    for num in nums:
        found = head_seen(found, replace(info(num, producer=PRODUCER), head_id=f"{num:08x}{branch}"), windows)
    return found


def read(found: Following, *headers: Header, error: str = "") -> Following:
    """Return what is known after the next reading brought these."""
    found, reading = ask(found, 0)
    assert reading is not None
    return blocks_read(found, BlocksRead(reading.call, headers, error))


def test_what_lies_between_two_heads_is_read_two_at_a_time() -> None:
    """A poll that skips blocks has them read, the oldest first, never more than two with each head."""
    found = heads(100, 104)
    assert found.wanted == (101, 102, 103)
    found, reading = ask(found, 0)
    assert reading is not None
    assert reading.nums == (101, 102)
    assert ask(found, 1999)[1] is None, "one reading at a time"
    assert ask(found, 2000)[1] is not None, "one that got no answer is given up"
    found = blocks_read(found, BlocksRead(reading.call, (header(101), header(102))))
    assert found.wanted == (103,)


def test_only_blocks_that_may_be_ours_are_read() -> None:
    """In a schedule with others, blocks outside our turn are not asked for."""
    windows = ProducerWindows(2, 0)
    low = next(num for num in range(1000, 1100) if slot_of(info(num).head_time) % 24 == 9)
    assert heads(low, low + 6, windows=windows).wanted == (low + 1, low + 2)
    assert heads(low + 3, low + 14, windows=windows).wanted == ()


def test_a_switched_branch_is_read_again_down_to_where_it_links() -> None:
    """A block that does not stand on the one we know means another branch: what is below is read again."""
    found = heads(100, 101, 102)
    found = heads(104, branch="b", found=found)
    found = read(found, header(103, "b", "b"))
    assert found.wanted == (102,)
    found = read(found, header(102, "b", "b"))
    assert found.wanted == (101,)
    found = read(found, header(101, "b", "a"))
    assert found.settled
    assert [found.blocks[num].id[-1] for num in (100, 101, 102, 103, 104)] == ["a", "b", "b", "b", "b"]


def test_a_head_that_changes_or_falls_back_is_looked_into() -> None:
    """Another block at the height of the head, or a lower head, is another branch too."""
    assert heads(102, branch="b", found=heads(100, 101, 102)).wanted == (101,)
    fallen = heads(101, branch="b", found=heads(100, 101, 102))
    assert fallen.top is not None
    assert (fallen.top.num, fallen.wanted) == (101, (100,))
    assert heads(102, found=heads(100, 101, 102)) == heads(100, 101, 102)


def test_a_node_that_catches_up_is_followed_from_its_new_head_on() -> None:
    """A head far ahead is not chased: what lies before it was not looked at, and is not judged."""
    found = heads(100, 101, 400)
    assert list(found.blocks) == [400]
    assert found.since == slot_of(info(400).head_time) + 1
    assert found.settled


def test_blocks_that_cannot_be_read_are_given_up() -> None:
    """After three failures in a row the chain is followed from its head on; fewer change nothing."""
    found = heads(100, 102)
    for _ in range(2):
        found = read(found, error="slow")
        assert found.wanted == (101,)
    found = read(found, error="slow")
    assert found.settled
    assert found.since == slot_of(info(102).head_time) + 1


def test_an_answer_to_an_older_question_is_nothing() -> None:
    """A reading that was given up may come back at any time."""
    found, _ = ask(heads(100, 102), 0)
    assert blocks_read(found, BlocksRead(7, (header(101),))) is found


def test_memory_is_bounded() -> None:
    """However long a chain is followed, few blocks and claims are kept, and what is forgotten does not come back."""
    found = heads(*range(100, 900))
    assert len(found.blocks) == follow.KEPT
    claims = Sightings()
    for slot in range(10_000):
        claims = claimed(claims, "bp-a", {slot: "a"})
        assert len(claims.by_slot) <= 400
    assert min(claims.by_slot) >= 9600
    assert claimed(claims, "bp-b", {5: "old"}) is claims
    assert told(dict.fromkeys(range(50), "f" * 64))[0] == "26:" + "f" * 24


# --- causes ---

REIGNS = (
    Term(0, "bp-a", 1, "node"),
    Term(10_000, "", 1, "handover"),
    Term(10_800, "bp-b", 2, "handover"),
    Term(60_000, "", 2, "node"),
)


@pytest.mark.parametrize(
    ("when", "before", "after", "change"),
    [
        (-1, None, None, None),  # before anything is known
        (5000, 4500, 5500, None),  # bp-a holds the lead steadily
        (9500, 9000, 11_000, ("handover", 2)),  # it is stopping
        (10_500, 9000, 11_000, ("handover", 2)),
        (11_500, 9000, 12_000, ("handover", 2)),  # bp-b has not begun
        (12_500, 12_000, 13_000, None),  # it has
        (14_000, 9000, 14_500, None),  # it should have
        (52_000, 51_500, None, ("node", 0)),  # it makes no block any more
        (52_000, 51_500, 59_500, None),  # it does
        (70_000, 51_500, None, ("node", 0)),
    ],
)
def test_a_slot_belongs_to_the_change_that_it_was_lost_in(
    when: int, before: int | None, after: int | None, change: tuple[str, int] | None
) -> None:
    """What is missed around a change goes to its account, with the reason for which the leader before ended."""
    assert change_at(REIGNS, when, before, after) == change


def test_reasons_of_operators_are_handovers() -> None:
    """A change that somebody asked for is a handover; whatever failed is the node."""
    assert terms.asked("bp-a released it: a switchover was asked for: bp-b") == "handover"
    assert terms.asked("named by hand in the key leader") == "handover"
    assert terms.asked("bp-b released it: a node of better priority is back: bp-a") == "handover"
    assert terms.asked("bp-b released it: its blocks do not appear on the chain") == "node"
    assert terms.asked("the heartbeat of bp-a stood still, and its lease ended") == "node"
    assert terms.asked("bp-a released it: the nodeos process is gone: pid 7") == "node"


# --- a group ---


def counted(story: Story) -> list[Window]:
    """Return what stands in the ledger, in order."""
    items = story.etcdctl.range("/nodeos-failover/lab/ledger/", 1.0).items
    return sorted((read_window(item.value) for item in items), key=lambda each: each.slot)


def test_a_calm_group_writes_each_window_once_by_who_does_not_lead() -> None:
    """Every 12 slots are counted once, all signed, from the chain of the member that does not lead."""
    story, leader, standby = pair()
    story.go(60)
    windows = counted(story)
    assert len(windows) >= 9
    assert [each.slot for each in windows] == [windows[0].slot + 12 * place for place in range(len(windows))]
    assert {(each.signed, each.missed, each.leader, each.witness) for each in windows} == {
        (12, 0, leader.name, standby.name)
    }
    assert leader.windows() == []
    for host in story.hosts:
        assert host.node.watch.ledger.produced >= 12 * 9
        assert sum(host.node.watch.ledger.missed.values()) == 0
    assert len(leader.node.watch.own) == OWN


def test_following_costs_one_small_request_a_second() -> None:
    """With a look at the head twice a second nothing is skipped, and one block a window is read again."""
    story = settled()
    start = sum(isinstance(each, follow.ReadBlocks) for _, each in story.hosts[1].said)
    story.go(60)
    assert sum(isinstance(each, follow.ReadBlocks) for _, each in story.hosts[1].said) - start <= 60


def test_the_leader_counts_when_nobody_else_can() -> None:
    """With the other member gone the leader's own chain is what there is, and it says whose chain that was."""
    story = settled("bp-a")
    story.go(30)
    assert {each.witness for each in counted(story)} == {"bp-a"}


def test_a_handover_goes_to_the_account_of_the_new_epoch() -> None:
    """Slots that a change by request costs are `handover`, and name the epoch that it led to."""
    story, _, standby = pair()
    story.put("leader", standby.name.encode())
    story.until(lambda: standby.leads, 5)
    story.go(30)
    lost = [each for each in counted(story) if each.missed]
    missed = sum(each.missed for each in lost)
    assert all(each.causes == {"handover": each.missed} and each.change == 2 for each in lost)
    assert standby.changes()[-1][1]["slots_missed"] == missed
    last = standby.changes()[-1][1]
    assert (last["window_signed"], last["window_missed"]) == (12, 0)
    assert last["witness"] == "bp-a"


def test_a_frozen_nodeos_is_the_nodes_fault() -> None:
    """What a nodeos that hangs did not sign, and what replacing it took, is put down to the node."""
    story, leader, standby = pair()
    leader.nodeos.frozen = True
    story.until(lambda: standby.leads, 20)
    story.go(30)
    lost = [each for each in counted(story) if each.missed]
    assert lost
    assert {cause for each in lost for cause in each.causes} == {"node"}
    assert sum(each.missed for each in lost) == standby.changes()[-1][1]["slots_missed"]


def test_blocks_that_only_the_leader_has_are_lost_in_the_network() -> None:
    """A leader that is cut off from its peers signs for nobody: its own chain has the blocks, the others' has not."""
    story, leader, standby = pair()
    limits = leader.node.settings.limits
    gates = {name: gate for name, gate in limits.thresholds.items() if name not in ("peers", "lib_progress")}
    leader.node = replace(leader.node, settings=replace(leader.node.settings, limits=replace(limits, thresholds=gates)))
    story.go(3)
    leader.nodeos.isolated = True
    story.go(20)
    leader.nodeos.isolated = False
    story.go(20)
    causes = [each.causes for each in standby.windows() if each.missed]
    assert {"network": 12} in causes


def test_a_chain_that_stood_for_long_is_one_line() -> None:
    """A quarter of an hour without any block is one entry of the ledger, not a hundred and fifty."""
    story = settled()
    before = len(counted(story))
    story.put("override", b"none")
    story.go(900)
    assert len(counted(story)) <= before + 2
    story.delete("override")
    story.go(60)
    found = counted(story)
    long = [each for each in found if each.slots > 12]
    assert len(long) == 1
    assert long[0].missed == long[0].slots > 1700
    assert long[0].causes == {"handover": long[0].slots}
    assert len(found) < before + 20


def test_a_window_is_not_counted_across_a_new_schedule() -> None:
    """When the schedule changes, whose slots were ours is not known: no window is judged by a wrong one."""
    story = settled()
    story.schedule = replace(story.schedule, version=4)
    story.foreign = True
    for host in story.hosts:
        host.nodeos.paused_flag = True
    story.go(20)
    assert all(not sum(host.node.watch.ledger.missed.values()) for host in story.hosts)


# --- what a change cost ---

BEFORE = Health({}, info(1000, producer=PRODUCER), info_at=500, info_wall=info(1000).head_time + 100)
LAST = slot_of(info(1000).head_time)


def wait(chain: Following | None = None) -> history.Proof:
    """Return what is awaited after a change 200 ms after our last look at the head, block 1000."""
    found = history.proof(2, {"epoch": 2}, BEFORE, chain or heads(990, 1000), LAST, 700)
    assert found is not None
    return found


def test_late_blocks_of_the_leader_before_are_not_taken_for_our_own() -> None:
    """Blocks of both bear one producer's name: only one dated well after the change proves what it cost."""
    late = heads(1000, 1001, 1002)
    assert history.proven(wait(), late, PRODUCER, ALONE) is None
    chain = Following({1000: header(1000), 1001: header(1001, slot=1002), 1002: header(1002, slot=1004)})
    assert history.proven(wait(), chain, PRODUCER, ALONE) == (
        LAST + 4,
        {"epoch": 2, "slots_missed": 2, "outage_ms": 500, "counted_to": 1002},
    )


def test_in_a_schedule_only_own_slots_count() -> None:
    """A change outside our turn costs nothing, however long it takes."""
    windows = ProducerWindows(4, LAST % 48 // 12)
    first = windows.next_start(LAST + 1)
    chain = Following(
        {1000: header(1000), 1020: Header(1020, "x", info(1000).head_time + (first - LAST) * 500, PRODUCER)}
    )
    found = history.proven(wait(), chain, PRODUCER, windows)
    assert found is not None
    assert found[1]["slots_missed"] == 11 - LAST % 12, "what was left of the turn that the old leader was in"
    assert found[1]["outage_ms"] == (first - LAST - 1 if LAST % 12 < 11 else 0) * 500


def test_an_outage_lasts_from_the_last_own_block_to_the_first_whoever_led() -> None:
    """95 slots without a block of ours are 47.5 s, also when the leader before released its lead a moment ago."""
    chain = Following({1000: header(1000), 1001: header(1001, slot=1096)})
    fields = {"epoch": 2, "leaderless_ms": 0}
    found = history.proven(replace(wait(), fields=fields), chain, PRODUCER, ALONE)
    assert found is not None
    assert (found[1]["slots_missed"], found[1]["outage_ms"]) == (95, 47_500)


def test_what_was_not_looked_at_is_not_counted() -> None:
    """After a hole in what we know of the chain, the cost of the change is left out rather than guessed."""
    chain = replace(heads(1000, 1010), since=LAST + 5, wanted=())
    found = history.proven(wait(), chain, PRODUCER, ALONE)
    assert found is not None
    assert found[1] == {"epoch": 2, "counted_to": 1010}


@pytest.mark.parametrize("chain", [heads(1000), heads(990), Following({1009: header(1009, producer="someoneelse1")})])
def test_blocks_of_others_and_of_the_past_prove_nothing(chain: Following) -> None:
    """Neither another producer's block nor one that is not further proves that we produce."""
    assert history.proven(wait(), chain, PRODUCER, ALONE) is None


def test_without_a_head_nothing_is_counted() -> None:
    """A change whose beginning was not seen goes down without a number of slots."""
    assert history.proof(2, {}, Health(), Following(), None, 700) is None


def test_another_members_word_of_the_first_window_is_added_once() -> None:
    """The first whole window after the first block goes into the record, from a chain that is not our own."""
    waiting = replace(wait(), fields={"epoch": 2, "node": "bp-b"}, first=100)
    early, own, late = (
        Window(slot, 12, 12, 0, epoch=2, witness=by) for slot, by in ((96, "a"), (108, "bp-b"), (120, "a"))
    )
    assert history.witnessed(waiting, (early, own)) is None
    fields = history.witnessed(waiting, (early, own, late, replace(late, slot=132)))
    assert fields is not None
    assert fields["window"] == 120
    assert history.witnessed(replace(waiting, fields=fields), (late,)) is None


def test_what_is_written_is_what_the_archive_tells_of() -> None:
    """Every field of the history that an agent writes is explained there; an entry of the ledger is read back."""
    story, _, standby = pair()
    story.put("leader", standby.name.encode())
    story.go(30)
    last = [each for _, each in standby.said if isinstance(each, RecordChange)][-1].fields
    assert (last["epoch"], last["node"], last["from"], last["window_signed"]) == (2, "bp-b", "bp-a", 12)
    assert isinstance(last["slots_missed"], int)
    assert last.keys() <= set(re.findall(r"\w+", archive.__doc__ or ""))
    window = counted(story)[-1]
    assert read_window(write_window(window)) == window


@pytest.mark.parametrize("raw", [b"{", b"[]", b'{"slot":1}', b'{"slot":1,"slots":12,"signed":-1,"missed":0}'])
def test_garbage_in_the_ledger_is_an_error_that_names_the_field(raw: bytes) -> None:
    """Whatever stands there, a reader gives an entry or a RecordError."""
    with pytest.raises(RecordError):
        read_window(raw)
