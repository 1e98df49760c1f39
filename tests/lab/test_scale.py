"""Light agents do what agents do: what `make measure NAME=scale` tells is of the protocol, and of nothing simpler."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from pathlib import Path

import pytest

from agent.app import beat
from agent.core.leadership.events import Shutdown
from agent.host.clock import boot_ms
from tests.lab.lab import Lab
from tests.lab.scale.crowd import Crowd
from tests.lab.scale.figures import confirms, crowding_p90, settled
from tests.lab.scale.light import configuration
from tests.lab.scale.wire import TIMING, Lead, Wire

GROUPS = 3
LIMIT = 20.0
SPAN_S = 12.5


async def until(crowd: Crowd | Wire, what: str, check: object) -> None:
    """Wait for a condition."""
    assert callable(check)
    end = asyncio.get_running_loop().time() + LIMIT
    while not check():
        assert asyncio.get_running_loop().time() < end, (what, crowd.report()["stops"])
        await asyncio.sleep(0.02)


@pytest.mark.real
@pytest.mark.timeout(120)
@pytest.mark.parametrize(("peers", "least", "most"), [("off", 4, 8), ("lease", 0, 2)])
def test_light_agents_lead_confirm_and_hand_over(tmp_path: Path, peers: str, least: int, most: int) -> None:
    """Each group has one leader that confirms every R (R1), or one in ten R beside promises (R17).

    Stopped, it releases, and the other leads (R5, R8).
    """

    async def story(endpoints: list[str]) -> dict[str, object]:
        crowd = Crowd(endpoints, 0, GROUPS, share=2, peers=peers)
        await crowd.begin()
        await until(crowd, "leaders", lambda: crowd.led == GROUPS)
        if peers != "off":
            await until(crowd, "heartbeats that name the other", lambda: crowd.named == GROUPS)
        begin = boot_ms()
        await asyncio.sleep(3.0)  # a span to count in, not a wait
        confirms = [took for kind, sent, took in crowd.told if kind == "confirm" and begin <= sent < begin + 2500]
        assert least * GROUPS <= len(confirms) <= most * GROUPS, "some more on a machine that is held up"
        led = [group.leader for group in crowd.groups]
        for leader in led:
            assert leader is not None
            leader.take(Shutdown())
        await until(crowd, "the others", lambda: crowd.led == GROUPS)
        assert all(group.leader not in (None, before) for group, before in zip(crowd.groups, led, strict=True))
        report = crowd.report()
        await crowd.close()
        return report

    with Lab(tmp_path) as lab:
        etcd = lab.etcd(1)
        report = asyncio.run(story(etcd.endpoints))
        assert report["doubled"] == 0
        assert report["stops"] == ["shutdown"] * GROUPS
        for number in range(GROUPS):
            said = etcd.etcdctl("get", f"/nodeos-failover/scale-{number}/heartbeat", "--print-value-only")
            assert (json.loads(said)["epoch"], json.loads(said)["state"]) == (2, "held")


@pytest.mark.real
@pytest.mark.timeout(120)
def test_the_wire_load_asks_as_often_as_agents(tmp_path: Path) -> None:
    """Beside promises (R17), requests without a core come as often, by kind, as those of the real core."""

    async def counted(endpoints: list[str]) -> tuple[Counter[str], Counter[str]]:
        crowd, wire = Crowd(endpoints, 0, GROUPS, share=2, peers="lease"), Wire(endpoints, 0, GROUPS, 2, peers="lease")
        await crowd.begin()
        await until(crowd, "heartbeats that name the other", lambda: crowd.named == GROUPS)
        await wire.begin()
        begin = boot_ms()
        await asyncio.sleep(SPAN_S)  # a span to count in, not a wait
        found = tuple(Counter(kind for kind, sent, took in load.told if sent >= begin) for load in (crowd, wire))
        await crowd.close()
        await wire.close()
        return found[0], found[1]

    with Lab(tmp_path) as lab:
        agents, wire = asyncio.run(counted(lab.etcd(1).endpoints))
    every = {"confirm": 5, "report": 2.5, "keepalive": 3}
    for kind, seconds in every.items():
        for load in (agents, wire):
            assert GROUPS * (SPAN_S // seconds - 1) <= load[kind] <= GROUPS * (SPAN_S // seconds + 3), (kind, load)


def test_a_lead_lasts_until_a_before_the_end_of_its_validity() -> None:
    """An answer may come E - A after the confirmation before it was sent, and no later (R1, R3)."""
    span = TIMING.validity - TIMING.margin
    for late in (0, 1):
        lead = Lead(1000)
        lead.answered(2000, 1000 + span + late)
        assert lead.lost(2000 + span) == late
        assert lead.lost(2001 + span) == late + 1, "without an answer it is over"
        lead.answered(9000, 2000 + span)
        assert lead.lost(9000 + span) == late, "from then on it counts from the newer one"


@pytest.mark.parametrize("renew", [0.5, 0.25, 0.001])
def test_names_decide_the_beat(renew: float) -> None:
    """The beat is below R, the same at each start, and spreads names over R."""
    beats = [beat(configuration(f"group-{number}", "bp-a", renew=renew)) for number in range(200)]
    assert all(0 <= each < renew * 1000 for each in beats)
    assert len({each * 10 // round(renew * 1000) for each in beats}) == (10 if renew > 0.1 else 1)


def test_figures_are_those_of_the_confirmations() -> None:
    """How long the old rate is away after an election, and how crowded confirmations are, against small examples."""
    even = [("confirm", at, 2) for at in range(0, 20_000, 10) if not 10_000 <= at < 12_000]
    assert settled(even, 10_000, 100.0) == pytest.approx(3.0, abs=0.3), "2 s of silence, and a second to see it"
    assert crowding_p90(confirms(even, 0, 10_000), 0, 10_000) == 1.0
    step = [("confirm", at - at % 500, 2) for at in range(0, 10_000, 10)]
    assert crowding_p90(confirms(step, 0, 10_000), 0, 10_000) == 10.0
    assert settled([], 0, 100.0) == -1.0
