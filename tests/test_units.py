"""Units at each border: seconds in the configuration, milliseconds in the core and in files, seconds in every call."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from agent.app import limits, policy
from agent.config.model import Config
from agent.config.protocol import TimingSection
from agent.config.sections import EtcdSection
from agent.config.shared import settings_of
from agent.core.leadership.timing import GateMode, Timing
from agent.guard.plan import fence_plan, guard_fields
from agent.guard.stop import read_means
from agent.host.systemd import Notifier
from agent.runtime.credentials import etcd_options

BASE: dict[str, Any] = {
    "group": "eos",
    "node": "bp-a",
    "producer": "myproducer11",
    "nodeos": {"url": "http://127.0.0.1:8888"},
    "etcd": {"endpoints": ["http://127.0.0.1:2379"]},
}
ODD_S, ODD_MS = 1.001, 1001
"""A figure that is cut to a wrong one (1000) where it should be rounded."""


def config(**tables: Any) -> Config:
    """Return a configuration with some tables."""
    return Config.model_validate(BASE | tables)


@pytest.mark.parametrize("name", [each for each in TimingSection.fields() if each != "lease_ttl"])
def test_each_span_of_the_protocol_is_rounded_to_milliseconds(name: str) -> None:
    """One setting changes its own span, and no other one."""
    made = TimingSection.model_validate({name: ODD_S}).spans(GateMode.OFF)
    assert getattr(made, name) == ODD_MS
    others = {each.name for each in fields(Timing)} - {name, "gate"}
    assert {each: getattr(made, each) for each in others} == {each: getattr(Timing(), each) for each in others}


def test_the_life_of_a_lease_stays_in_seconds() -> None:
    """etcd grants leases in whole seconds."""
    assert TimingSection.model_validate({"lease_ttl": 17}).spans(GateMode.OFF).lease_ttl == 17


@pytest.mark.parametrize("check", ["head_age", "lib_progress", "clock_offset", "can_lead"])
def test_each_limit_of_a_check_is_rounded_to_milliseconds(check: str) -> None:
    """One setting changes its own limit, and no other one."""
    names = ("head_age", "lib_progress", "clock_offset", "can_lead")
    made, plain = limits(config(health={check: {"max": ODD_S}})), limits(config())
    changed = {each: getattr(made, each) for each in names if getattr(made, each) != getattr(plain, each)}
    assert changed == {check: ODD_MS}


@pytest.mark.parametrize(
    ("table", "name", "more"),
    [
        ("election", "failback_after", {}),
        ("election", "hold_down", {}),
        ("election", "hold_down_max", {"hold_down": 1.0}),
        ("election", "hold_down_window", {}),
        ("urgency", "near", {}),
        ("urgency", "far", {"near": 1.0}),
    ],
)
def test_each_span_of_the_election_is_rounded_to_milliseconds(table: str, name: str, more: dict[str, float]) -> None:
    """One setting changes its own span."""
    made = policy(config(**{table: {name: ODD_S, **more}}))
    assert getattr(made if table == "election" else made.urgency, name) == ODD_MS


def test_what_stops_nodeos_comes_back_in_seconds_as_it_was_set() -> None:
    """Configuration in seconds, run-time file in ms, calls in seconds: the same figures, each by its own name."""
    spans = {"pause": 0.301, "block": 0.502, "kill": 0.403, "slack": 0.304, "validity": 9.0}
    found = config(timing=spans, fence={"term_grace": ODD_S})
    written = guard_fields(found)
    guard: Any = written["guard"]
    assert [guard[f"{name}_ms"] for name in ("pause", "block", "kill", "slack")] == [301, 502, 403, 304]
    assert guard["term_ms"] == ODD_MS
    means = read_means(json.dumps(written).encode())
    assert (means.pause_s, means.block_s, means.kill_s, means.slack_s) == (0.301, 0.502, 0.403, 0.304)
    assert means.term_s == ODD_S


@pytest.mark.parametrize(
    "fence",
    [
        {},
        {"pid_file": "/run/nodeos.pid", "executable": "/opt/nodeos"},
        {"unit": "nodeos.service"},
        {"command": ("/bin/sh", "-c", "exit 0")},
        {"method": "none"},
    ],
)
@pytest.mark.parametrize("nodeos", [{}, {"producer_url": "http://127.0.0.1:8889", "data_dir": "/"}])
def test_how_nodeos_is_found_comes_back_as_it_was_set(fence: dict[str, Any], nodeos: dict[str, Any]) -> None:
    """What the run-time file says to guard and fence is what the agent itself goes by."""
    found = config(fence=fence, nodeos=BASE["nodeos"] | nodeos)
    means = read_means(json.dumps(guard_fields(found)).encode())
    assert means.plan == fence_plan(found)
    assert str(means.producer) == nodeos.get("producer_url", BASE["nodeos"]["url"])
    assert means.plan.enabled is (fence.get("method") != "none")
    assert means.plan.command == fence.get("command", ())
    assert (means.plan.pid_file, means.plan.unit) == (fence.get("pid_file", ""), fence.get("unit", ""))
    assert means.plan.executable == fence.get("executable", "nodeos")


def test_systemd_says_microseconds(tmp_path: Path) -> None:
    """WATCHDOG_USEC is in microseconds, the agent's sign of life in seconds."""
    environ = {"NOTIFY_SOCKET": str(tmp_path / "none"), "WATCHDOG_USEC": "2500000"}
    assert Notifier(environ).watchdog_s == 2.5
    assert Notifier(environ | {"WATCHDOG_PID": "7"}, pid=7).watchdog_s == 2.5
    assert Notifier(environ | {"WATCHDOG_PID": "7"}, pid=8).watchdog_s is None, "meant for another process"
    assert Notifier(environ | {"WATCHDOG_USEC": "0"}).watchdog_s is None
    assert Notifier({"WATCHDOG_USEC": "2500000"}).watchdog_s is None, "nobody would hear it"


def test_etcd_is_reached_as_it_was_set(tmp_path: Path) -> None:
    """Each setting in its own place; a password in a file is read at each login, and one that is set is as it is."""
    files = {name: tmp_path / name for name in ("ca_file", "cert_file", "key_file", "password_file")}
    for file in files.values():
        file.write_text("secret-1")
        file.chmod(0o600)
    set_ = {"endpoints": ("https://10.0.0.1:2379", "https://10.0.0.2:2379"), "user": "joe"}
    section = EtcdSection.model_validate(set_ | files)
    made = etcd_options(section, "/probe")
    assert (made.endpoints, made.user, made.probe) == (set_["endpoints"], "joe", "/probe")
    assert [made.ca, made.cert, made.key] == [files[name] for name in ("ca_file", "cert_file", "key_file")]
    assert made.secret() == "secret-1"
    files["password_file"].write_text("secret-22")
    assert made.secret() == "secret-22"
    plain = etcd_options(EtcdSection.model_validate(set_ | {"endpoints": ("a:1",), "password": "x"}), "/probe")
    assert (plain.secret(), plain.ca, plain.cert, plain.key) == ("x", None, None, None)


@pytest.mark.parametrize(
    ("changed", "word"),
    [
        ({"timing": {"validity": 7.5}}, "timing"),
        ({"health": {"head_age": {"max": 9.0}}}, "health"),
        ({"producer": "another11111"}, "producer"),
        ({"nodeos": BASE["nodeos"] | {"chain_id": "a" * 64}}, "chain"),
    ],
)
def test_what_must_agree_within_a_group_differs_when_it_does(changed: dict[str, Any], word: str) -> None:
    """`doctor` compares these words between members: each setting shows in its own word, and no other one changes."""
    before, after = (dict(each.split("=", 1) for each in settings_of(config(**more)).split()) for more in ({}, changed))
    assert {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)} == {word}
