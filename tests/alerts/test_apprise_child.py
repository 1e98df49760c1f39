"""What the process that calls apprise does with its job: a library that is not needed for it stands in for apprise."""

from __future__ import annotations

import io
import json
import sys
from types import SimpleNamespace

import pytest

from agent.alerts import apprise_child
from agent.alerts.external import REFUSED
from tests.support.recorder import Recorder

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
