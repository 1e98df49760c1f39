"""From a configuration to what sends alerts: which file survives a restart, and which channels are changed."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from agent.alerts.dispatcher import change_channels, make_dispatcher, make_pulses
from tests.doctor.parts import config
from tests.support.recorder import Recorder

CLOCK: Any = Recorder({"boot_id": "b", "boot": 7})
HOOK = {"name": "hook", "type": "webhook", "url": "http://127.0.0.1:1/x"}
BEAT = {"name": "beat", "type": "heartbeat", "url": "http://127.0.0.1:1/y", "interval": 33.0, "timeout": 4.0}


def well() -> str:
    """Tell that nothing is wrong."""
    return ""


def test_what_is_open_is_kept_beside_the_run_time_file_of_the_node(tmp_path: Path) -> None:
    """Two nodes of one host have two files; without a channel there is none."""
    for node in ("a", "b"):
        made = make_dispatcher(config(node=node, alerts=[HOOK, BEAT], runtime={"dir": str(tmp_path)}), CLOCK)
        assert [each.channel for each in made.stats()] == ["hook"]
        made.close(5.0)
    assert sorted(path.name for path in (tmp_path / "alerts").glob("*.json")) == ["eos-a.json", "eos-b.json"]
    none = tmp_path / "none"
    none.mkdir()
    bare = make_dispatcher(config(alerts=[BEAT], runtime={"dir": str(none)}), CLOCK)
    assert bare.stats() == ()
    bare.close(1.0)
    assert not list(none.iterdir())


def test_no_channel_keeps_the_process(tmp_path: Path) -> None:
    """One that hangs for good must not hold up the end of the agent, after which another one may be started."""
    before = set(threading.enumerate())
    made = make_dispatcher(config(alerts=[HOOK], runtime={"dir": str(tmp_path)}), CLOCK)
    begun = set(threading.enumerate()) - before
    assert begun
    assert all(each.daemon for each in begun)
    made.close(5.0)


def test_what_pings_has_its_own_interval_and_limit() -> None:
    """Only channels of the type heartbeat do; there may be none."""
    (pulse,) = make_pulses(config(alerts=[HOOK, BEAT]), well)
    assert (pulse.name, pulse._every, pulse._timeout) == ("beat", 33.0, 4.0)
    assert make_pulses(config(alerts=[HOOK]), well) == []


def test_only_channels_that_changed_begin_anew() -> None:
    """One that is as it was goes on undisturbed, unless the page of the runbooks, which each names, is another."""
    old = config(alerts=[HOOK, {**HOOK, "name": "other"}, BEAT])
    new = config(alerts=[HOOK, {**HOOK, "name": "other", "timeout": 9.0}, BEAT])
    wiki = new.replace(runbooks="https://wiki.example/x")
    for given, kept, begun, pulses in (
        (new, {"hook", "beat"}, ["other"], []),
        (wiki, set(), ["hook", "other"], ["beat"]),
    ):
        recorder: Any = Recorder()
        change_channels(recorder, old, given, well, 2.5)
        ((name, (keep, channels, made, limit_s)),) = recorder.calls
        assert name == "change"
        assert keep == kept
        assert [each.sink.name for each in channels] == begun
        assert [each.name for each in made] == pulses
        assert limit_s == 2.5
