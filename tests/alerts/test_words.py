"""How a notice is put into words, and what a wait that a channel asks for means."""

from __future__ import annotations

from agent.alerts.sinks import _retry_after
from agent.alerts.text import Words
from agent.core.alerts.notice import Notice


def test_a_runbook_is_named_for_what_has_one() -> None:
    """Below the usual page or the one that was set; what no runbook knows has no link."""
    known = Notice("k", "fence_failed", "critical", "nodeos hangs", False, {"node": "bp-a", "epoch": ""})
    assert Words().fields(known) == {"node": "bp-a", "runbook": "grafana/runbooks.md#fence_failed"}
    assert Words(runbooks="https://wiki.example/x").runbook(known) == "https://wiki.example/x#fence_failed"
    assert Words().fields(Notice("k", "test", "info", "a test", False, {})) == {}


def test_the_usual_line_has_the_severity_or_that_it_is_over() -> None:
    """A template of one's own has the same words."""
    fired = Notice("k", "test", "warning", "it drips", False, {"node": "bp-a"})
    over = Notice("k", "test", "warning", "it drips", True, {})
    assert Words().line(fired) == "[warning] it drips"
    assert Words().line(over) == "[resolved] it drips"
    assert Words("$severity $event $key $node").line(fired) == "warning test k bp-a"
    assert Words("<$node>").line(over) == "<>"


def test_a_wait_that_makes_no_sense_is_none() -> None:
    """Seconds and dates count, a date without a zone as UTC; the past is no wait."""
    assert _retry_after({"retry-after": " 30 "}) == 30.0
    assert _retry_after({"retry-after": "Wed, 21 Oct 2015 07:28:00 -0000"}) == 0.0
    later = _retry_after({"retry-after": "Fri, 01 Jan 2100 00:00:00 -0000"})
    assert later is not None
    assert later > 1e9
    for text in ("", "soon", "-5", "1" * 10):
        assert _retry_after({"retry-after": text}) is None
    assert _retry_after({}) is None
