"""Reading the configuration again: what may change does, the rest is named with its reason, nothing half."""

from __future__ import annotations

import logging
import os
import threading
from pathlib import Path

import pytest

from agent.config.model import Config, settings
from agent.errors import ConfigError
from agent.host.systemd import Notifier
from agent.runtime.reload import Reload, changes, compare, read_note, why_not
from tests.doctor.parts import config
from tests.support.children import wait_until

HOOK = {"name": "ops", "type": "slack", "url": "https://hooks.example/x"}


def test_changes_are_named_by_their_path() -> None:
    """Nested settings by their path, secrets too, the channels of alerts as one."""
    old, new = config(), config(log={"level": "debug"}, etcd={"user": "joe", "password": "old"}, alerts=[])
    assert sorted(changes(old, new)) == ["alerts", "etcd.password", "etcd.user", "log.level"]
    assert list(changes(new, config(log={"level": "debug"}, etcd={"user": "joe", "password": "new"}, alerts=[]))) == [
        "etcd.password"
    ]
    assert list(changes(old, config())) == []


@pytest.mark.parametrize(
    ("name", "live"),
    [
        ("log.level", True),
        ("log.format", True),
        ("health.head_age.max", True),
        ("health.peers.enabled", True),
        ("health.main_thread.fall", True),
        ("health.main_thread.interval", False),
        ("election.priority", True),
        ("election.nofailover", True),
        ("alerts", True),
        ("timing.rank_step", True),
        ("timing.validity", False),
        ("timing.renew", False),
        ("timing.lease_ttl", False),
        ("nodeos.producer_key", True),
        ("nodeos.url", False),
        ("http.token", True),
        ("http.cert_file", True),
        ("http.listen", False),
        ("etcd.endpoints", False),
        ("fence.method", False),
        ("node", False),
        ("runtime.dir", False),
    ],
)
def test_what_a_promise_rests_on_cannot_change(name: str, live: bool) -> None:
    """R1: spans that a confirmation was promised with, and what the guard was given, stay until a restart."""
    assert (why_not(name) == "") is live


def test_who_observes_may_lead_and_who_leads_does_not_observe() -> None:
    """P1: an agent that takes part does not leave its nodeos alone by a line in a file; the other way is a reload."""
    observes = config(mode="observe")
    assert compare(observes, config()).applied == ("mode",)
    refused = compare(config(), observes)
    assert refused.applied == ()
    assert [name for name, _why in refused.refused] == ["mode"]
    assert refused.config.mode == "lead"


def test_every_setting_is_live_or_has_a_reason() -> None:
    """No setting is forgotten: each applies at once, or says why it does not."""
    live = {path for path, _field in settings() if not why_not(path.replace("alerts[].", "alerts").split("alerts")[0])}
    assert live
    for path, _field in settings():
        assert why_not(path) == "" or len(why_not(path)) > 10


def test_what_can_change_is_taken_and_the_rest_stays() -> None:
    """The configuration in effect has the new live settings and the old others, each named."""
    new = config(log={"level": "debug"}, timing={"validity": 8.0, "rank_step": 0.4, "lease_ttl": 12}, node="bp-z")
    found = compare(config(), new)
    assert set(found.applied) == {"log.level", "timing.rank_step"}
    assert dict(found.refused).keys() == {"node", "timing.validity", "timing.lease_ttl"}
    assert all(why for _name, why in found.refused)
    assert (found.config.log.level, found.config.timing.rank_step) == ("debug", 0.4)
    assert (found.config.timing.validity, found.config.node) == (6.0, "bp-a")
    assert found.config.alerts == config().alerts


def test_what_is_only_right_together_with_what_cannot_change_is_refused_whole() -> None:
    """A live span that fits only with a span that stays: nothing is applied, and why is told."""
    old = config(timing={"request": 2.0, "nomination": 8.0})
    new = config(timing={"request": 0.5, "nomination": 3.0})
    with pytest.raises(ConfigError, match=r"this needs a restart, for timing\.request cannot change now"):
        compare(old, new)


def test_secrets_survive_the_way() -> None:
    """The channels of alerts are taken with their URLs, not with masks."""
    new = config(alerts=[{**HOOK, "url": "https://hooks.example/new"}], node="bp-z")
    found = compare(config(), new)
    assert found.config.alerts[0].url.get_secret_value() == "https://hooks.example/new"


class Story:
    """A reload with everything outside noted."""

    def __init__(self, *answers: Config | Exception, note: Path | None = None) -> None:
        self.answers = list(answers)
        self.applied: list[Config] = []
        self.done = 0
        self.fail: Exception | None = None
        self.reload = Reload(config(), self.read, Notifier({}), self.apply, self.over, note)

    def read(self) -> Config:
        """Return or raise the next answer."""
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def apply(self, _old: Config, new: Config) -> None:
        """Note it."""
        if self.fail is not None:
            raise self.fail
        self.applied.append(new)

    def over(self, usable: bool) -> None:
        """Note it."""
        self.done += 1
        self.usable = usable


def told(caplog: pytest.LogCaptureFixture) -> str:
    """Return what was logged."""
    return "\n".join(record.getMessage() for record in caplog.records)


def test_a_reload_applies_and_tells(caplog: pytest.LogCaptureFixture) -> None:
    """What was applied is told, what was not is told with the reason; the next one compares with what is in effect."""
    debug = config(log={"level": "debug"}, http={"listen": ""})
    story = Story(debug, debug)
    with caplog.at_level(logging.INFO):
        story.reload.run()
        story.reload.run()
    assert [each.log.level for each in story.applied] == ["debug"]
    assert "read again: log.level" in told(caplog)
    assert "http.listen stays as it was: the port is open; restart the agent for it" in told(caplog)
    assert "nothing to apply" in told(caplog)
    assert story.done == 2


def test_a_secret_in_the_same_file_needs_no_restart(tmp_path: Path) -> None:
    """A password that was changed in its file is taken up by itself; one in the configuration, or elsewhere, is not."""
    one, two = tmp_path / "one", tmp_path / "two"
    for path in (one, two):
        path.touch(0o600)
        path.write_text("x")

    def made(password: str, **other: str) -> Config:
        return config(etcd={"user": "joe", "password": password, **other})

    same = compare(made("old", password_file=str(one)), made("new", password_file=str(one)))
    assert (same.applied, same.refused) == (("etcd.password",), ())
    for old, new in (
        (made("old"), made("new")),
        (made("old", password_file=str(one)), made("new", password_file=str(two))),
    ):
        assert "etcd.password" in dict(compare(old, new).refused)


def test_a_storm_of_signals_is_two_reloads() -> None:
    """Whoever asks while one is still to begin gets that one; whoever asks while one reads gets one more after it."""
    reads, go_on = threading.Semaphore(0), threading.Event()

    def read() -> Config:
        reads.release()
        go_on.wait(20)
        return config()

    before = threading.active_count()
    reload = Reload(config(), read, Notifier({}), lambda *_: None, lambda _: None)
    reload.begin()
    assert reads.acquire(timeout=20)
    for _ in range(300):
        reload.begin()
    assert threading.active_count() == before + 2
    go_on.set()
    wait_until(lambda: threading.active_count() == before)
    assert reads.acquire(timeout=0)
    assert not reads.acquire(timeout=0)


def test_a_reload_that_gets_no_thread_is_told_and_ends_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """P3: the signal comes into the loop's own thread: where pids run short the leader goes on as it was."""
    story = Story(config(log={"level": "debug"}))

    def start(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", start)
        story.reload.begin()
    assert "can't start new thread" in told(caplog)
    story.reload.begin()
    wait_until(lambda: story.done)
    assert len(story.applied) == 1


@pytest.mark.parametrize("answer", [ConfigError(["log.level: no such level"]), RuntimeError("a defect")])
def test_a_configuration_that_is_wrong_changes_nothing(answer: Exception, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever is wrong with it: nothing is applied, it is told, and the next reload works."""
    story = Story(answer, config(log={"level": "debug"}))
    story.reload.run()
    assert story.applied == []
    assert str(answer).split(":")[0] in told(caplog) or "defect" in told(caplog)
    assert not story.usable
    story.reload.run()
    assert story.usable
    assert len(story.applied) == 1


def test_what_cannot_be_applied_stays_to_be_applied() -> None:
    """A channel that cannot be built refuses the whole; once it can, it is taken."""
    new = config(log={"level": "debug"})
    story = Story(new, new)
    story.fail = ConfigError(["alerts ops: ca_file cannot be used"])
    story.reload.run()
    story.fail = None
    story.reload.run()
    assert len(story.applied) == 1


def test_what_became_of_it_is_left_for_who_asked(tmp_path: Path) -> None:
    """The note counts; it has what was applied and what needs a restart, or every problem, and is never half."""
    file = tmp_path / "eos-bp-a.reload"
    faults = ["log.level: no such level", "node: no name"]
    new = config(log={"level": "debug"}, http={"listen": ""})
    story = Story(ConfigError(faults), new, RuntimeError("a defect"), note=file)
    story.reload.begin_note()
    began = read_note(file)
    assert (began.pid, began.count, began.ok, began.said) == (os.getpid(), 0, True, ())
    assert file.stat().st_mode & 0o777 == 0o600
    story.reload.run()
    first = read_note(file)
    assert (first.count, first.ok, list(first.said)) == (1, False, faults)
    story.reload.run()
    second = read_note(file)
    assert (second.count, second.ok) == (2, True)
    assert second.said[0] == "the configuration is read again: log.level"
    assert second.said[1].startswith("http.listen stays as it was")
    story.reload.run()
    third = read_note(file)
    assert (third.count, third.ok) == (3, False)
    assert "a defect" in third.said[0]
    for broken in (b"", b"[]", b'{"pid": 1}', b'{"pid": "x", "started": 1, "count": 0, "ok": true, "said": []}'):
        file.write_bytes(broken)
        with pytest.raises(ValueError):
            read_note(file)


def test_a_note_that_cannot_be_written_stops_no_reload(tmp_path: Path) -> None:
    """A full run-time directory costs the answer of the command, nothing else."""
    story = Story(config(log={"level": "debug"}), note=tmp_path / "nowhere" / "x.reload")
    story.reload.run()
    assert len(story.applied) == 1
