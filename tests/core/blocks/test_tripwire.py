"""The tripwire: a second producer is told, and nothing else is."""

from __future__ import annotations

from dataclasses import replace

from agent.core.blocks import tripwire
from agent.core.blocks.follow import Following
from agent.core.blocks.sightings import Sightings, claimed
from agent.core.blocks.tripwire import Tripwire
from agent.core.health.checks import GateProbed
from agent.core.leadership.state import State
from agent.core.model.chain import Peers
from agent.core.model.slots import EPOCH, SLOT
from agent.core.node.state import Notify
from tests.core.blocks.test_ledger import header
from tests.core.parts import PRODUCER, SETUP, info
from tests.simulation.story import Host, Story, pair, settled, two


def alarms(host: Host) -> list[str]:
    """Return what a host told of strays."""
    notices = [each.notice for _, each in host.said if isinstance(each, Notify)]
    strays = [each for each in notices if each.event == "stray_block"]
    assert all(each.severity == "critical" for each in strays)
    return [each.summary for each in strays]


def test_twenty_handovers_and_twenty_crashes_trip_nothing() -> None:
    """Changes of leader, asked for or forced, never look like a second producer."""
    story = settled()
    for number in range(40):
        leader, standby = two(story)
        if number % 2:
            leader.nodeos.kill()
        else:
            story.put("leader", standby.name.encode())
        story.until(lambda: standby.leads, 10)  # noqa: B023 - asked at once
        if number % 2:
            leader.nodeos.start()
        story.go(4)
    assert [alarms(host) for host in story.hosts] == [[], []]
    assert not any(sum(host.node.watch.trip.counts.values()) for host in story.hosts)


def test_a_second_producer_beside_the_leader_is_told_by_both_within_seconds() -> None:
    """The standby's nodeos follows a second producer: two blocks for one slot, told at once, critical."""
    story, leader, standby = pair()
    standby.nodeos.astray = True  # its peers bring it the blocks of the second producer
    took = story.until(lambda: all(alarms(host) for host in story.hosts), 10)
    assert took <= 4
    assert "has two blocks of our producer" in alarms(leader)[0]
    assert standby.name in alarms(leader)[0]
    story.go(60)
    assert len(alarms(leader)) == 1, "people are told once in five minutes"
    assert leader.node.watch.trip.counts["doubled"] > 60, "and every slot is counted"
    assert leader.leads, "a second producer is no reason to stop the right one"


def test_blocks_while_nobody_leads_are_told_by_all() -> None:
    """With an override that nobody may lead, whoever signs is none of ours."""
    story = settled()
    story.put("override", b"none")
    story.go(10)
    assert [alarms(host) for host in story.hosts] == [[], []]
    story.rogue = True
    took = story.until(lambda: all(alarms(host) for host in story.hosts), 10)
    assert took <= 6
    assert all("though nobody led then" in alarms(host)[0] for host in story.hosts)


def test_a_host_that_is_lost_trips_nothing() -> None:
    """While the heartbeat of a lost agent stands still its nodeos may produce, until E is over (R8)."""
    story, leader, standby = pair()
    leader.store.cut = True
    story.until(lambda: standby.leads, 20)
    leader.store.cut = False
    story.go(20)
    assert [alarms(host) for host in story.hosts] == [[], []]


def test_a_group_that_never_led_trips_nothing() -> None:
    """Before the first leader an operator's nodeos may produce by hand: that is how a group begins."""
    story = Story("bp-a", "bp-b")
    story.rogue = True
    story.put("override", b"none")
    for host in story.hosts:
        host.start()
    story.go(20)
    assert [alarms(host) for host in story.hosts] == [[], []]


def test_a_clock_that_is_off_accuses_nobody() -> None:
    """With a clock that disagrees with the chain's, when a block was due is not known."""
    story, leader, _ = pair()
    given = tripwire.TripwireInput({10**9: "x"}, leader.node.leadership, 0, clock_ok=False, starting=False)
    assert tripwire.leaderless(Tripwire(), given, story.now, looked=True) == (Tripwire(), [])


def test_the_same_block_on_all_chains_is_no_double() -> None:
    """Members that agree prove nothing, whatever they tell and however often; a member's short form counts as well."""
    claims = claimed(claimed(Sightings(), "bp-a", {5: "a" * 64}), "bp-b", {5: "a" * 24})
    assert tripwire.doubled(Tripwire(), claims, 0) == (Tripwire(), [])
    trip, found = tripwire.doubled(Tripwire(), claimed(claims, "bp-b", {5: "b" * 24}), 0)
    assert [each.key for each in found] == ["stray_block"]
    assert tripwire.doubled(trip, claimed(claims, "bp-b", {5: "b" * 24}), 60_000)[1] == [], "one slot is told once"


CHAIN = Following({num: header(num) for num in range(990, 1001)})


def test_a_peer_on_a_chain_of_its_own_is_told_at_the_second_look() -> None:
    """With every member on the leader's chain, only a peer's irreversible block shows the second producer."""
    own = replace(info(1000, 998, PRODUCER))
    apart, level = (
        Peers(2, 2, ((995, "00000bad"),)),
        Peers(2, 2, ((995, CHAIN.blocks[995].id), (1, "old"), (999, "new"))),
    )
    trip, found = tripwire.split(Tripwire(), CHAIN, own, level, 0)
    assert found == []
    trip, found = tripwire.split(trip, CHAIN, own, apart, 2000)
    assert found == [], "one look may meet a block of ours that is stale"
    trip, found = tripwire.split(trip, CHAIN, own, apart, 4000)
    assert [each.key for each in found] == ["stray_block"]
    assert trip.counts["split"] == 1
    assert tripwire.split(trip, CHAIN, None, apart, 6000)[1] == []


def test_words_come_no_faster_than_every_ten_seconds() -> None:
    """A second producer makes two blocks a second: the log gets a line now and then."""
    trip, lines = Tripwire(), 0
    for slot in range(100):
        claims = claimed(claimed(Sightings(), "bp-a", {slot: "a"}), "bp-b", {slot: "b"})
        trip, found = tripwire.doubled(trip, claims, slot * SLOT)
        lines += len(found)
    assert lines == 5
    assert trip.counts["doubled"] == 100


def sight(*slots: int) -> tripwire.TripwireInput:
    """Return what a leader sees that has these own blocks, on a clock that began with the chain's."""
    return tripwire.TripwireInput(
        {slot: f"id{slot}" for slot in slots}, State(SETUP), -EPOCH, clock_ok=True, starting=False
    )


def test_a_block_that_the_gate_did_not_sign_is_told_once() -> None:
    """A leader whose required gate gave no signature for a block of ours: nodeos has the key itself, or a stray has."""
    signed = GateProbed(60_000, started=0, signed=50_000)
    assert tripwire.ungated(Tripwire(), sight(100, 111), signed, 10_000) == (Tripwire(), [])
    trip, found = tripwire.ungated(Tripwire(), sight(100, 113), signed, 10_000)
    assert [each.key for each in found] == ["stray_block"]
    assert "slot 113" in found[0].text
    assert trip.counts["ungated"] == 1
    assert tripwire.ungated(trip, sight(100, 113), signed, 10_000)[1] == []


def test_blocks_that_the_gate_may_have_signed_trip_nothing() -> None:
    """Not of the leader before, not of a gate that was started since, not one too new for this answer, nor unknown."""
    quiet: list[tuple[GateProbed, int]] = [
        (GateProbed(60_000, started=0, signed=10_000), 51_000),
        (GateProbed(60_000, started=51_000), 0),
        (GateProbed(57_000, started=0, signed=10_000), 0),
        (GateProbed(60_000, "no answer"), 0),
    ]
    for answer, since in quiet:
        assert tripwire.ungated(Tripwire(), sight(113), answer, since)[1] == []
    assert tripwire.ungated(Tripwire(), sight(113), GateProbed(60_000, started=0), 0)[1] != []
