"""What the builder of the agent makes of a configuration, and in which order an agent begins and ends."""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from agent import app
from agent.core.leadership.state import Phase
from agent.core.model.chain import ProcessId
from agent.core.model.keys import keys
from agent.core.model.store import Snapshot
from agent.core.node.state import EtcdSeen, LookedBack
from agent.errors import FenceError, StoreRejected
from agent.host.process import hold_pid
from agent.runtime import probes
from agent.runtime.joining import JoiningFindings
from tests.doctor.parts import KEY, config
from tests.support.recorder import Recorder

BOOT = "11111111-2222-3333-4444-555555555555"


def agent(**fields: Any) -> Any:
    """Return an agent that has only these fields."""
    made = object.__new__(app.Agent)
    for name, value in {"config": config(), "clock": Recorder({"boot_id": BOOT, "boot": 7}), **fields}.items():
        setattr(made, name, value)
    return made


def test_seconds_of_the_checks_become_milliseconds() -> None:
    """Each threshold goes to its own place of the core."""
    health = {
        "head_age": {"max": 3.25, "rise": 2, "fall": 4},
        "lib_progress": {"max": 77},
        "peers": {"min": 3},
        "disk_space": {"min_free_bytes": 12345, "min_free_percent": 6},
        "clock_offset": {"max": 0.125},
        "can_lead": {"max": 8.5},
    }
    found = app.limits(config(health=health))
    assert (found.head_age, found.lib_progress) == (3250, 77_000)
    assert (found.clock_offset, found.can_lead) == (125, 8500)
    assert (found.peers, found.disk_bytes, found.disk_percent) == (3, 12345, 6)
    assert (found.producer, found.producer_key) == ("eosio", KEY)
    assert (found.thresholds["head_age"].rise, found.thresholds["head_age"].fall) == (2, 4)


@pytest.mark.parametrize("gate", ["off", "on"])
@pytest.mark.parametrize("data_dir", [None, str(Path.cwd())])
def test_a_check_that_cannot_be_made_has_no_gate(gate: str, data_dir: str | None) -> None:
    """The disk without a directory, the signing gate without one, and what is switched off."""
    whole = config(nodeos={"data_dir": data_dir}, gate={"mode": gate}, health={"peers": {"enabled": False}})
    found = app.limits(whole).thresholds
    assert ("disk_space" in found) is (data_dir is not None)
    assert ("gate" in found) is (gate == "on")
    assert "peers" not in found
    assert "head_age" in found


def test_seconds_of_the_election_become_milliseconds() -> None:
    """Each span goes to its own place of the core."""
    election = {
        "failback": True,
        "failback_after": 11,
        "hold_down": 12.5,
        "hold_down_max": 130,
        "hold_down_window": 400,
    }
    urgency = {"enabled": True, "near": 1.5, "far": 20, "near_fall": 2, "far_fall": 9}
    found = app.policy(config(election=election, urgency=urgency))
    assert (found.failback, found.failback_after) == (True, 11_000)
    assert (found.hold_down, found.hold_down_max, found.hold_down_window) == (12_500, 130_000, 400_000)
    assert (found.urgency.enabled, found.urgency.near, found.urgency.far) == (True, 1500, 20_000)
    assert (found.urgency.near_fall, found.urgency.far_fall) == (2, 9)


def test_nodes_spread_over_the_renewal() -> None:
    """The place in R is within it, the same at each start, and differs from node to node and group to group."""
    whole = config()
    places = {app.beat(config(node=f"bp-{n}", group=group)) for n in range(20) for group in ("eos", "wax")}
    assert all(0 <= place < whole.spans.renew for place in places)
    assert len(places) > 20
    assert app.beat(config()) == app.beat(whole)


def test_a_pid_is_unique_within_a_boot_and_a_namespace(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both are told; a host that hides its namespaces is told apart from no other."""
    clock: Any = Recorder({"boot_id": BOOT})
    assert app.host_of(clock) == f"{BOOT}.{Path('/proc/self/ns/pid').stat().st_ino}"
    monkeypatch.setattr(Path, "stat", Recorder(OSError("hidden")).stat)
    assert app.host_of(clock) == ""


def test_without_a_gate_nothing_asks_for_one() -> None:
    """The page stays the guard's alone."""
    page: Any = Recorder()
    assert app.open_gate(config(), page, page) is None
    assert not page.calls


@pytest.mark.parametrize(
    ("boot", "process", "revision", "known", "tenure"),
    [
        (BOOT, ProcessId(5, 9), 3, True, True),
        (BOOT, ProcessId(5, 9), 0, True, False),
        ("another", ProcessId(5, 9), 3, False, False),
        (BOOT, probes.NOBODY_KNOWS, 1, False, True),
    ],
)
def test_what_an_earlier_boot_left_is_not_believed(
    boot: str, process: ProcessId, revision: int, known: bool, tenure: bool
) -> None:
    """A pid of another boot is anybody's, and its tenure is over; neither is one that was never found."""
    record = SimpleNamespace(boot_id=boot, process=process, heartbeat_revision=revision)
    made = agent(record=record)
    assert made._known() == (process if known else None)
    assert made._has_tenure() is tenure
    empty = agent(record=None)
    assert empty._known() is None
    assert empty._has_tenure() is False


@pytest.mark.parametrize(("boot", "ends", "known"), [(BOOT, 1001, 7), (BOOT, 1000, 0), ("another", 1001, 0)])
def test_the_cluster_of_a_tenure_that_is_over_binds_nobody(boot: str, ends: int, known: int) -> None:
    """P2, R20: an etcd that was begun anew on one member of three is gone by after a restart of the agents."""
    record = SimpleNamespace(boot_id=boot, heartbeat_revision=3, valid_until=ends, cluster=7)
    clock = SimpleNamespace(boot=lambda: 1000, boot_id=lambda: BOOT)
    assert agent(record=record, clock=clock)._known_cluster() == known
    assert agent(record=None, clock=clock)._known_cluster() == 0


@pytest.mark.parametrize(
    ("ini", "nofailover", "may"),
    [
        ("producer-name = eosio\n", False, True),
        ("producer-name = other\nproducer-name = eosio\n", False, True),
        ("producer-name = other\n", False, False),
        ("plugin = eosio::chain_plugin\n", False, True),
        ("producer-name = eosio\n", True, False),
        (None, False, True),
    ],
)
def test_a_live_producer_is_adopted_only_if_it_is_ours(
    ini: str | None, nofailover: bool, may: bool, tmp_path: Path
) -> None:
    """By the producers of nodeos's own configuration, if it can be read; never by a node that shall not lead."""
    file = tmp_path / "config.ini"
    file.write_text(ini or "")
    made = agent(config=config(nodeos={"config_file": str(file)}, election={"nofailover": nofailover}))
    if ini is None:
        file.unlink()
    assert made._may_adopt() is may


def test_a_process_that_was_found_is_let_go(caplog: pytest.LogCaptureFixture) -> None:
    """Its identity is kept and its handle is closed; none, and one that cannot be told, are different."""
    held = Recorder()
    held.id = ProcessId(5, 9)  # type: ignore[attr-defined]  # a recorder has whatever is put into it
    assert agent(fence=Recorder(held), record=None)._process() == ProcessId(5, 9)
    assert held.names == ["close"]
    assert agent(fence=Recorder({"find": None}), record=None)._process() is None
    with caplog.at_level(logging.WARNING):
        assert agent(fence=Recorder(FenceError("two of them")), record=None)._process() == probes.NOBODY_KNOWS
    assert "two of them" in caplog.text


def test_the_nodeos_of_the_process_before_is_not_looked_for_while_it_lives() -> None:
    """A restarted leader has no time to look through the host's processes; one that is gone is looked for as ever."""
    held = hold_pid(os.getpid())
    assert held is not None
    held.close()
    gone = ProcessId(held.id.pid, held.id.start_ticks + 1)
    for process, revision, asked in ((held.id, 3, []), (held.id, 0, ["find"]), (gone, 3, ["find"])):
        fence = Recorder({"find": None})
        record = SimpleNamespace(boot_id=BOOT, process=process, heartbeat_revision=revision)
        assert agent(fence=fence, record=record)._process() == (None if asked else held.id)
        assert fence.names == asked


def test_a_guard_that_cannot_be_started_is_told(caplog: pytest.LogCaptureFixture) -> None:
    """The agent goes on, and looks again; each time it is asked for once."""
    guard = Recorder({"ensure": OSError(11, "no more processes")})
    agent(guard=guard)._see_guard()
    assert guard.names == ["ensure"]
    assert "the guard cannot be started" in caplog.text


@pytest.mark.parametrize("http", [True, False])
def test_a_configuration_that_was_read_again_reaches_every_part(http: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Logs mask the old secrets and the new ones, pages have the new access, and the core hears of it last."""
    parts = Recorder()
    old, new = config(), config(log={"level": "debug", "format": "json"})
    policy, emitted = object(), list[Any]()
    for name, value in {
        "change_channels": parts.channels,
        "change_logs": parts.logs,
        "access": lambda _new: policy,
    }.items():
        monkeypatch.setattr(app, name, value)
    monkeypatch.setattr(app, "secret_texts", lambda whole: ["old" if whole is old else "new"])
    pages = SimpleNamespace(well=lambda: "")
    admits = Recorder()
    made = agent(alerts="alerts", pages=pages, http=admits if http else None, loop=SimpleNamespace(emit=emitted.append))
    made._profile = lambda whole: ("profile of", whole)
    made.shown = SimpleNamespace(runbooks="")
    made._reconfigure(old, new)
    assert made.shown.runbooks == new.runbooks
    assert parts.names == ["channels", "logs"]
    assert parts.calls[0][1][:4] == ("alerts", old, new, pages.well)
    assert parts.calls[1][1] == ("json", "debug", {"group": "eos", "node": "bp-a"}, ["old", "new"])
    assert admits.calls == ([("admit", (policy,))] if http else [])
    (event,) = emitted
    assert (event.settings, event.timing) == (("profile of", new), new.spans)


class Parts:
    """The parts of an agent, which note in one list what is done to them."""

    def __init__(self, http: bool, gate: bool) -> None:
        self.calls: list[tuple[str, str, tuple[Any, ...]]] = []
        names = ["follower", "effects", "session", "alerts", "guard", "pulse", "repeater", "http", "gate", "file"]
        self.made = {name: self._part(name) for name in names}
        self.loop = SimpleNamespace(snapshot="snapshot", holding=False)
        if not http:
            self.made["http"] = None
        if not gate:
            self.made["gate"] = None

    def _part(self, name: str) -> Any:
        parts = self

        class Part(Recorder):
            def __getattr__(self, method: str) -> Any:
                return lambda *words, **_more: parts.calls.append((name, method, words))

        return Part()


@pytest.mark.parametrize("http", [True, False])
@pytest.mark.parametrize("gate", [True, False])
def test_an_agent_ends_each_of_its_parts_once_and_within_a_time(http: bool, gate: bool) -> None:
    """Nothing that may hang is waited for without a limit, and the guard goes after what can still stop nodeos."""
    parts = Parts(http, gate)
    repeater = parts.made.pop("repeater")
    over = threading.Event()
    made = agent(over=over, loop=parts.loop, **parts.made)
    made._close([repeater])
    assert over.is_set()
    done = {(name, method): words for name, method, words in parts.calls}
    assert len(done) == len(parts.calls)
    assert done.keys() == {
        ("follower", "stop"),
        ("repeater", "close"),
        *([("http", "close")] if http else []),
        ("effects", "close"),
        ("session", "close"),
        ("alerts", "close"),
        ("guard", "close"),
        ("file", "close"),
        ("pulse", "close"),
    }
    for name in ("effects", "session", "alerts"):
        (limit_s,) = done[name, "close"]
        assert 0 < limit_s <= 5.0
    order = [name for name, _, _ in parts.calls]
    assert order.index("effects") < order.index("guard") < order.index("pulse")
    assert done["pulse", "close"] == ("snapshot",)


@pytest.mark.parametrize("gate", [True, False])
def test_everything_that_is_looked_at_again_and_again_has_its_thread(gate: bool) -> None:
    """What may hang has a thread of its own: the disk where there is a directory, the gate where there is one."""
    watch = Recorder() if gate else None
    emitted: list[object] = []
    loop = SimpleNamespace(emit=emitted.append)
    common = {"nodeos": Recorder(), "fence": Recorder(), "file": Recorder(), "guard": Recorder()}
    over = threading.Event()
    names = {"process", "main-thread", "info", "chain", "guard"}
    for whole, more in ((config(), {"disk"}), (config(nodeos={"data_dir": None}), set())):
        made = agent(config=whole, gate_watch=watch, over=over, loop=loop, **common)
        found = {each.name: each for each in made._repeaters()}
        assert found.keys() == names | more | ({"gate"} if gate else set())
        assert all(0 <= each._period <= 10 for each in found.values())
        assert found["main-thread"]._period == whole.health.main_thread.interval


def test_a_group_without_a_key_for_its_peers_gets_one_from_the_session() -> None:
    """What the follower reads goes to the peers; what is missing in the group is made by the session, once."""
    peers, session = Recorder({"learn": None, "missing": ["txn", None]}), Recorder()
    made = agent(peers=peers, session=session)
    made._meet("view", "snapshot")
    made._meet("view", "snapshot")
    assert peers.names == ["learn", "missing", "learn", "missing"]
    assert session.calls == [("once", ("txn",))]
    agent()._meet("view", "snapshot")  # without peers nothing is noted


@pytest.mark.parametrize("phase", list(Phase))
def test_only_a_leader_asks_where_etcds_leader_runs(phase: Phase) -> None:
    """A standby's question would cost etcd a request, and tell it nothing."""
    loop = SimpleNamespace(snapshot=SimpleNamespace(node=SimpleNamespace(leadership=SimpleNamespace(phase=phase))))
    assert agent(loop=loop)._leads() is (phase in (Phase.ELECTED, Phase.LEADING))


@pytest.mark.parametrize("promoted", [True, False])
def test_an_agent_that_is_told_to_lead_begins_anew(promoted: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once an agent that observed has ended, the same command is run in its place, with its parent's pipe; else not."""
    begun: list[list[str]] = []
    pulse = Recorder()
    made = agent(promoted=promoted, pulse=pulse, run=lambda: None)
    monkeypatch.setattr(app, "Agent", lambda *_: made)
    for name in ("open_logs", "close_logs"):
        monkeypatch.setattr(app, name, lambda *_: None)
    monkeypatch.setattr(os, "execv", lambda _path, words: begun.append(words))
    monkeypatch.setattr(sys, "orig_argv", ["python", "-m", "agent", "run"])
    app.run(config())
    assert begun == ([[sys.executable, "-m", "agent", "run"]] if promoted else [])
    assert pulse.names == (["bequeath"] if promoted else [])


def test_what_observes_starts_nothing_that_takes_part() -> None:
    """P1: no guard, no session, no `Started`: leadership has no rule that acts then. What looks is started."""
    emitted, parts = list[Any](), Recorder()
    made = agent(
        observes=True,
        loop=SimpleNamespace(emit=emitted.append),
        guard=parts,
        session=parts,
        alerts=parts,
        http=None,
        record=None,
        effects=parts,
        _follow=lambda: None,
    )
    repeater = Recorder()
    past = LookedBack(1)
    made._begin(None, JoiningFindings(past=past), [repeater])
    assert (emitted, parts.names, repeater.names) == ([past], [], ["start"])


class Breaking:
    """A follower that breaks twice, with an error that no adapter is meant to raise, before it ends well."""

    def __init__(self) -> None:
        self.rounds = 0

    def snapshots(self) -> Iterator[Snapshot]:
        """Yield one snapshot a round."""
        self.rounds += 1
        yield Snapshot(self.rounds, ())
        if self.rounds < 3:
            raise OSError(22, "Invalid argument")


class Events:
    """Takes events instead of the loop."""

    def __init__(self) -> None:
        self.taken: list[object] = []

    def emit(self, event: object) -> None:
        """Keep an event."""
        self.taken.append(event)


def test_the_reader_speaks_for_itself() -> None:
    """What reading the group gives is told as the reader's own, so that the session's success cannot hide it."""
    agent, events = object.__new__(app.Agent), Events()
    agent.loop = events  # type: ignore[assignment] # stands in for the loop
    agent._etcd_failed(StoreRejected("permission_denied", "no"))
    agent._etcd_read()
    assert events.taken == [EtcdSeen("no", reader=True), EtcdSeen(reader=True)]


def test_follower_goes_on_after_a_defect(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """A node whose follower ended would see nothing any more and never lead again (P2): it is begun again, and told."""
    monkeypatch.setattr(app, "FOLLOW_AGAIN_S", 0.01)
    agent = object.__new__(app.Agent)
    broken, events = Breaking(), Events()
    agent.over = threading.Event()
    agent.names = keys("/nodeos-failover", "g")
    agent.follower = broken  # type: ignore[assignment] # stands in for the follower
    agent.loop = events  # type: ignore[assignment] # stands in for the loop
    agent._follow()
    assert len(events.taken) == 3
    assert caplog.text.count("a defect in the follower") == 2
