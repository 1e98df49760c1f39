"""Everything that apprise knows: the sink that starts a process for each notice, and that process."""

from __future__ import annotations

import importlib.util
import io
import json
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from agent.alerts import apprise_child
from agent.alerts.dispatcher import make_channel
from agent.alerts.external import REFUSED, AppriseSink
from agent.alerts.text import Words
from agent.config.alerts import AlertChannel
from agent.config.section import SecretStr
from agent.core.alerts.notice import Notice
from agent.errors import ConfigError
from agent.ports import Delivery
from tests.support.recorder import Recorder

URL = "tgram://tokentoken/chat"
NOTICE = Notice("k", "test", "critical", "nodeos hangs", False, {"node": "bp-a"})


class Run:
    """Stands for `subprocess.run`, and records how it was called."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, ends: int | Exception) -> None:
        self.command: list[str] = []
        self.given: dict[str, Any] = {}
        self._ends = ends
        monkeypatch.setattr(subprocess, "run", self)
        monkeypatch.setattr(importlib.util, "find_spec", lambda _name: object())

    def __call__(self, command: list[str], **given: Any) -> Any:
        """End as the test says."""
        self.command, self.given = command, given
        if isinstance(self._ends, Exception):
            raise self._ends
        return subprocess.CompletedProcess(command, self._ends)


def test_the_url_is_on_no_command_line_and_in_no_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """It goes over standard input; what the child writes, which may repeat it, goes nowhere."""
    run = Run(monkeypatch, 0)
    assert AppriseSink("ops", URL, Words("", "")).send(NOTICE, 7.0) == Delivery(ok=True)
    assert not [word for word in run.command if "token" in word]
    job = json.loads(run.given["input"])
    assert (job["url"], job["kind"]) == (URL, "failure")
    assert "nodeos hangs" in job["title"]
    assert "node: bp-a" in job["body"]
    assert run.given["stdout"] == run.given["stderr"] == subprocess.DEVNULL
    assert run.given["start_new_session"] is True
    assert run.given["timeout"] == pytest.approx(7.0, abs=2.0)


@pytest.mark.parametrize(
    ("severity", "resolved", "kind"),
    [
        ("critical", False, "failure"),
        ("warning", False, "warning"),
        ("info", False, "info"),
        ("critical", True, "success"),
    ],
)
def test_each_severity_has_its_kind(monkeypatch: pytest.MonkeyPatch, severity: str, resolved: bool, kind: str) -> None:
    """As apprise names them."""
    run = Run(monkeypatch, 0)
    AppriseSink("ops", URL, Words("", "")).send(Notice("k", "test", severity, "x", resolved, {}), 7.0)
    assert json.loads(run.given["input"])["kind"] == kind


@pytest.mark.parametrize(
    ("ends", "retry", "words"),
    [
        (REFUSED, False, "does not know such a URL"),
        (1, True, "did not deliver it"),
        (-9, True, "did not deliver it"),
        (subprocess.TimeoutExpired("x", 7.0), True, "no complete answer within 7 s"),
        (OSError(11, "no more processes"), True, "no more processes"),
    ],
)
def test_only_an_unknown_url_is_the_last_word(
    monkeypatch: pytest.MonkeyPatch, ends: int | Exception, retry: bool, words: str
) -> None:
    """Everything else may pass, and is tried again; nothing is raised, and the URL is not told."""
    Run(monkeypatch, ends)
    found = AppriseSink("ops", URL, Words("", "")).send(NOTICE, 7.0)
    assert (found.ok, found.retry) == (False, retry)
    assert words in found.detail
    assert "token" not in found.detail


def test_without_the_extra_it_is_told_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the command that installs it."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(ConfigError, match="pip install"):
        AppriseSink("ops", URL, Words("", ""))


@pytest.mark.parametrize(("kind", "again_s"), [("alertmanager", 45.0), ("webhook", 0.0), ("slack", 0.0)])
def test_only_alertmanager_is_told_again(kind: Any, again_s: float) -> None:
    """It forgets what it is not told at its interval (seconds); others would send a message each time."""
    channel = AlertChannel(
        name="ops",
        type=kind,
        url=SecretStr("http://127.0.0.1:1/x"),
        interval=45.0,
        timeout=3.0,
        min_severity="critical",
    )
    made = make_channel(channel, "")
    assert (made.resend_s, made.timeout_s, made.min_severity, made.sink.name) == (again_s, 3.0, "critical", "ops")


JOB = {"url": "tgram://token/chat", "title": "a title", "body": "a body", "kind": "warning"}


@pytest.mark.parametrize(
    ("knows", "delivers", "code"), [(True, True, 0), (True, False, 1), (False, True, REFUSED), (False, False, REFUSED)]
)
def test_the_exit_code_tells_what_became_of_it(
    knows: bool, delivers: bool, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """0 when it was delivered, REFUSED for a URL that apprise does not know, and then nothing is sent."""
    service = Recorder({"add": knows, "notify": delivers})
    library = SimpleNamespace(Apprise=lambda: service, NotifyType=lambda kind: f"type {kind}")
    monkeypatch.setitem(sys.modules, "apprise", library)
    monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps(JOB)))
    assert apprise_child.main() == code
    assert service.calls[0] == ("add", ("tgram://token/chat",))
    sent = [("notify", ("a title", "a body", "type warning"))] if knows else []
    assert service.calls[1:] == sent
