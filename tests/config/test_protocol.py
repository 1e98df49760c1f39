"""The spans of the protocol and [peers]: which fit together, and what is said of those that do not."""

from __future__ import annotations

from dataclasses import fields, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.config.explain import explain
from agent.config.load import load
from agent.config.protocol import TimingSection
from agent.config.section import Invalid
from agent.core.leadership.timing import FENCE_START, GateMode, PeersMode, Timing, standstill
from tests.test_units import BASE, config

spans = st.integers(min_value=1, max_value=20_000)
timings = st.builds(Timing, *[spans] * 12, st.integers(min_value=1, max_value=60))


def test_the_defaults_are_sound() -> None:
    """They satisfy every relation, with A = 1.1 s."""
    assert Timing().problems() == []
    assert Timing().margin == 1100


def test_the_section_gives_the_defaults_of_the_core() -> None:
    """What is not set is as the core has it."""
    assert TimingSection().spans(GateMode.OFF) == Timing()


def test_spans_for_an_etcd_with_fast_elections_are_sound() -> None:
    """An etcd with elections of 500 ms needs 3.1 s, and not a millisecond less."""
    fast = Timing(validity=3100, election=500, lease_ttl=4)
    assert fast.problems() == []
    assert replace(fast, validity=3099).problems()


def test_a_gate_that_is_required_makes_shorter_spans_sound() -> None:
    """R3: with 500 ms elections and R 0.2 an E of 1.6 s suffices, A being 0.2 s; without the gate it is refused."""
    fast = Timing(validity=1600, renew=200, election=500, slack=100, lease_ttl=2, gate=GateMode.REQUIRED)
    assert fast.problems() == []
    assert fast.margin == 200
    assert replace(fast, validity=1599).problems()
    for mode in (GateMode.OFF, GateMode.ON):
        texts = replace(fast, gate=mode).problems()
        assert any(text.startswith("timing.validity is 1.6 s but must be at least") for text in texts)
        assert any(text.startswith("timing.slack is 0.1 s: set at least 0.3 s") for text in texts)


def test_others_wait_for_slots_that_were_signed_ahead() -> None:
    """R8: a gate signs until V - G, up to 0.6 s ahead of a slot (Leap 4): E + B, for which others wait, lies after."""
    fast = Timing(validity=1600, renew=200, election=500, slack=100, lease_ttl=2, gate=GateMode.REQUIRED)
    ahead = 600
    assert fast.promised >= fast.validity - fast.slack + ahead
    assert Timing().promised == Timing().validity
    paused_at = Timing().validity - Timing().margin
    assert Timing().promised >= paused_at + Timing().block  # without a gate the pause leaves as much room


@given(timings)
def test_accepted_timings_leave_room_for_an_election_a_retry_and_the_stop(timing: Timing) -> None:
    """R1, R3: whatever passes has E >= A + 2 elections + 2R, a request below E - A, and a lease that outlives E."""
    if timing.problems():
        return
    margin = timing.pause + max(timing.block, timing.kill) + timing.slack
    assert timing.validity >= margin + 2 * timing.election + 2 * timing.renew
    assert timing.request < timing.validity - margin
    assert timing.lease_ttl * 1000 > timing.validity


@given(timings)
def test_every_way_to_a_stop_ends_within_the_validity(timing: Timing) -> None:
    """R3: begun at V - A, a stop by guard ends G before V; one by a fence that has to be started first ends by V."""
    if timing.problems():
        return
    stop = timing.pause + max(timing.block, timing.kill)
    assert stop + timing.slack == timing.margin
    assert FENCE_START + stop <= timing.margin


@given(timings)
def test_an_e_that_is_too_short_is_always_refused_by_name(timing: Timing) -> None:
    """R3: no combination of other values hides a validity below the inequality."""
    short = replace(timing, validity=timing.validity_needed - 1)
    assert any(text.startswith("timing.validity is") for text in short.problems())


@pytest.mark.parametrize("name", [field.name for field in fields(Timing) if field.name not in ("gate", "peers")])
@pytest.mark.parametrize("value", [0, -500])
def test_spans_must_be_above_zero(name: str, value: int) -> None:
    """Each field that is zero or negative is named exactly once, and not judged again in relations."""
    problems = replace(Timing(), **{name: value}).problems()  # type: ignore[arg-type] # the fields are the caller's
    setting = {"beat": "peers.beat", "peers_validity": "peers.validity"}.get(name, f"timing.{name}")
    assert [text for text in problems if f"{setting} is not above zero" in text] == problems
    assert len(problems) == 1


@pytest.mark.parametrize(
    ("bad", "field", "numbers"),
    [
        (Timing(validity=3000), "timing.validity", ["3 s", "4.1 s", "1.1 s", "0.3 s"]),
        (Timing(block=499), "timing.block", ["0.499 s", "0.5 s"]),
        (Timing(slack=299), "timing.slack", ["0.299 s", "0.3 s"]),
        (Timing(request=4400), "timing.request", ["4.4 s", "4.9 s"]),
        (Timing(lease_ttl=6), "timing.lease_ttl", ["6 s", "= 7"]),
        (Timing(nomination=3599), "timing.nomination", ["3.599 s", "3.6 s"]),
        (Timing(fair_chance=1200), "timing.fair_chance", ["1.2 s", "0.2 s"]),
    ],
)
def test_each_relation_names_field_numbers_and_remedy(bad: Timing, field: str, numbers: list[str]) -> None:
    """A relation that is broken says which field, with which numbers, and what to set."""
    texts = [text for text in bad.problems() if text.startswith(field)]
    assert len(texts) == 1
    assert all(number in texts[0] for number in numbers)


@given(st.integers(min_value=0, max_value=10**9))
def test_standstill_covers_clocks_that_differ_by_a_thousandth(validity: int) -> None:
    """R8: the wait is at least E x 1.001 and a millisecond, in exact arithmetic, and at most one more."""
    exact = Fraction(validity) * Fraction(1001, 1000) + 1
    assert exact <= standstill(validity) < exact + 1


KEY = "EOS6MRyAjQq8ud7hVNYcfnVPJqcVpscN5So8BhtHuGYqET5GDW5CV"
GATE = {"mode": "required", "public_key": KEY}


def told(**tables: Any) -> list[str]:
    """Return what is wrong with a configuration."""
    with pytest.raises(Invalid) as error:
        config(**tables)
    return [explain(each, {}) for each in error.value.faults]


def test_the_defaults_are_those_of_the_core() -> None:
    """By default promises count while the lease may live; without peers the spans are as ever."""
    assert config().spans == Timing(peers=PeersMode.LEASE)
    assert config(peers={"mode": "off"}).spans == Timing()


@pytest.mark.parametrize(
    ("tables", "validity"),
    [
        ({}, 2000),
        ({"gate": GATE}, 1100),  # A is 0.4 s with G as it is by default
        ({"gate": GATE, "timing": {"slack": 0.1}}, 900),
        ({"timing": {"pause": 1.0}}, 2500),
        ({"timing": {"pause": 0.2}}, 2000),
        ({"watchdog": {"mode": "automatic", "timeout": 4}}, 4850),
    ],
)
def test_where_e_s_is_not_set_it_leaves_room_for_the_stop(tables: dict[str, Any], validity: int) -> None:
    """Other spans that were accepted before are accepted with peers, too: E_s is at least A + beat + 0.5 s."""
    spans = config(peers={"mode": "lease"}, **tables).spans
    assert spans.peers_validity == validity
    assert spans.problems() == []


def test_an_e_s_that_is_too_short_is_refused_by_field_and_remedy() -> None:
    """R17: a leader whose promises stop has to confirm by etcd before it must stop."""
    (problem,) = told(peers={"mode": "failsafe", "validity": 1.2, "beat": 0.1})
    assert problem.startswith("peers.validity is 1.2 s but must be at least 1.7 s = margin 1.1 s")
    assert "set peers.validity = 1.7 or more" in problem
    assert config(peers={"mode": "off", "validity": 1.2}).spans.problems() == []


def test_a_watchdog_that_would_reset_a_host_that_is_well_is_refused() -> None:
    """R3: it is fed no later than its time-out before V, and V is never further away than E_s while promises come."""
    watchdog = {"mode": "automatic", "timeout": 1}
    assert config(peers={"mode": "lease", "validity": 2.0}, watchdog=watchdog).spans.peers_validity == 2000
    (problem,) = told(peers={"mode": "lease", "validity": 2.0}, watchdog=watchdog | {"timeout": 2})
    assert problem.startswith("watchdog.timeout is 2 s but must be at most 1.15 s = peers.validity 2 s")


@pytest.mark.parametrize("field", ["listen", "advertise"])
def test_an_address_is_a_number_with_a_port(field: str) -> None:
    """A name would have to be looked up while the lead rests on it."""
    (problem,) = told(peers={field: "bp-a.example:9878"})
    assert problem.startswith(f"peers.{field}: 'bp-a.example:9878' is no address: write IP:PORT")
    assert getattr(config(peers={field: "[2001:db8::1]:9878"}).peers, field) == "[2001:db8::1]:9878"


def test_a_mode_that_there_is_not_is_the_only_fault_told() -> None:
    """As long as it is not known what peers mean the spans are not judged by them."""
    (problem,) = told(peers={"mode": "always", "validity": 0.1})
    assert problem.startswith("peers.mode")


def test_systemd_says_where_the_id_of_the_host_is_kept(tmp_path: Path) -> None:
    """STATE_DIRECTORY stands above the default, as RUNTIME_DIRECTORY does."""
    file = tmp_path / "config.toml"
    file.write_text(
        "".join(f'{name} = "{BASE[name]}"\n' for name in ("group", "node", "producer"))
        + 'nodeos.url = "http://127.0.0.1:8888"\netcd.endpoints = ["http://127.0.0.1:2379"]\n'
    )
    file.chmod(0o600)
    assert load(file, {}).peers.state_dir == Path("/var/lib/nodeos-failover")
    assert load(file, {"STATE_DIRECTORY": "/a:/b"}).peers.state_dir == Path("/a")
