"""Gathering side by side: every kind of fact has its place, what is late is named, and a defect is not swallowed."""

from __future__ import annotations

import threading
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest

from agent.doctor import agent, files, gate, gather_etcd, gather_nodeos, group, host, peers
from agent.doctor.examine import examine, gather, side_by_side
from agent.doctor.finding import Grade
from tests.doctor.parts import WELL, config


@pytest.fixture
def jobs(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Let every gatherer give what is well; a test puts another one in its place."""
    found: dict[str, Any] = {
        "nodeos": lambda *_: WELL.nodeos,
        "servers": lambda *_: WELL.etcd.servers,
        "cluster": lambda *_: WELL.etcd,
        "group": lambda *_: WELL.group,
        "agent": lambda *_: WELL.agent,
        "host": lambda *_: WELL.host,
        "gate": lambda *_: WELL.gate,
        "files": lambda *_: WELL.files,
        "peers": lambda *_: WELL.peers,
        "channel": lambda *_: WELL.channels[0],
    }
    places = {
        "nodeos": (gather_nodeos, "gather"),
        "servers": (gather_etcd, "servers"),
        "cluster": (gather_etcd, "cluster"),
        "group": (group, "gather"),
        "agent": (agent, "gather"),
        "host": (host, "gather"),
        "gate": (gate, "gather"),
        "files": (files, "gather"),
        "peers": (peers, "gather"),
        "channel": (agent, "channel"),
    }
    for name, (module, function) in places.items():
        monkeypatch.setattr(module, function, lambda *words, name=name: found[name](*words))
    return found


def test_each_kind_of_fact_has_its_place(jobs: dict[str, Any]) -> None:
    """What each gatherer gives is found where the checks look for it, and nothing is late."""
    assert gather(config(), 10.0) == WELL


def test_each_gatherer_gets_the_configuration_and_less_than_all_the_time(jobs: dict[str, Any]) -> None:
    """So that an answer that is as late as allowed is still in time for the whole."""
    whole = config()
    heard: dict[str, tuple[Any, ...]] = {}

    def hear(name: str, job: Any) -> Any:
        def heard_by(*words: Any) -> Any:
            heard[name] = words
            return job()

        return heard_by

    jobs.update({name: hear(name, job) for name, job in jobs.items()})
    gather(whole, 10.0)
    assert heard.keys() == jobs.keys()
    for name in ("nodeos", "servers", "cluster", "group"):
        given, within_s = heard[name]
        assert given is whole
        assert 5.0 < within_s < 10.0
    assert heard["channel"] == (whole.alerts[0],)
    assert all(heard[name] == (whole,) for name in ("agent", "host", "gate"))


LATE = [
    ("nodeos", lambda facts: facts.nodeos.info_error),
    ("etcd", lambda facts: facts.etcd.error),
    ("group", lambda facts: facts.group.error),
    ("agent", lambda facts: facts.agent.error),
    ("host", lambda facts: facts.host.clock_failure),
    ("host", lambda facts: facts.host.disk_error),
    ("signing gate", lambda facts: facts.gate.error),
]


def without(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let all jobs be over at once, and this one never."""

    class Thread:
        def __init__(self, target: Any, args: tuple[Any, ...], name: str, daemon: bool) -> None:
            assert daemon, "what hangs would keep the process"
            self._name, self._work = name, partial(target, *args)

        def start(self) -> None:
            """Do it here and now."""
            if self._name != name:
                self._work()

    monkeypatch.setattr("agent.doctor.examine.threading", SimpleNamespace(Thread=Thread))


@pytest.mark.parametrize(("name", "told"), LATE)
def test_what_hangs_is_named_and_the_rest_is_told(
    name: str, told: Any, jobs: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its facts say that there was no answer; the others are as they are."""
    without(name, monkeypatch)
    facts = gather(config(), 0.1)
    assert facts.late == (name,)
    assert told(facts)
    assert facts.channels == WELL.channels
    assert facts.etcd.servers == WELL.etcd.servers


def test_members_of_etcd_that_hang_leave_the_cluster(jobs: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """What the cluster told is not lost with them, and doctor says which part is missing."""
    without("etcd members", monkeypatch)
    facts = gather(config(), 0.1)
    said = examine(config(), 0.1)
    assert facts.late == ("etcd members",)
    assert facts.etcd.servers == ()
    assert facts.etcd.revision == WELL.etcd.revision
    missing = [each for each in said if each.name == "gathering"]
    assert [each.verdict for each in missing] == [Grade.UNKNOWN]
    assert "etcd members" in missing[0].seen
    assert missing[0].remedy


def test_the_jobs_run_side_by_side() -> None:
    """Each waits for the other: one after the other they would never end."""
    both = threading.Barrier(2)
    found = side_by_side({"one": lambda: both.wait(10) + 10, "two": lambda: both.wait(10) + 10}, 20.0)
    assert sorted(found) == ["one", "two"]
    assert sorted(found.values()) == [10, 11]


def test_a_defect_in_a_job_is_raised() -> None:
    """It is no fact about the host, and must not be taken for one that is late."""

    def broken() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        side_by_side({"broken": broken}, 10.0)


def test_nothing_to_do_takes_no_time() -> None:
    """Without jobs there is nothing to wait for."""
    assert side_by_side({}, 600.0) == {}
