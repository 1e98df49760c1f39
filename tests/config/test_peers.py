"""[peers]: what is accepted, what is not, and what follows for the spans (R13 to R17)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agent.config.explain import explain
from agent.config.load import load
from agent.config.setting import Invalid
from agent.core.leadership.timing import PeersMode, Timing
from tests.test_units import BASE, config

KEY = "EOS6MRyAjQq8ud7hVNYcfnVPJqcVpscN5So8BhtHuGYqET5GDW5CV"
GATE = {"mode": "required", "public_key": KEY}


def told(**tables: Any) -> list[str]:
    """Return what is wrong with a configuration."""
    with pytest.raises(Invalid) as error:
        config(**tables)
    return explain(error.value, {})


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
