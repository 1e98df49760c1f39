"""The types of channels and their words: what each is sent, with which options, and what a trial tells."""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from agent.alerts.sinks import _retry_after, make_ping, make_sink, try_channel
from agent.alerts.text import Words
from agent.config.alerts import AlertChannel
from agent.config.model import Config
from agent.config.secrets import answer_texts, channel_texts
from agent.config.section import Invalid, SecretStr
from agent.core.alerts.notice import WORDS, Notice
from agent.host.clock import boot_ms
from agent.host.logs import MASK, close_logs, open_logs
from tests.support.alert_channel import SECRET, Keeper
from tests.support.slow_server import Serve, answer, hang

KEY = "R0UTINGKEY" * 3
OPEN = Notice(
    "no_leader/eos",
    "no_leader",
    "critical",
    "nobody produces",
    fields={"group": "eos", "producer": "eosio", "node": "bp-a", "reason": "", "do": "look"},
    lasts=True,
    since=1,
)
OVER = replace(OPEN, resolved=True)
NEWS = Notice("failover/eos/7", "failover", "info", "bp-a leads", fields={"group": "eos", "epoch": "7"})


@pytest.fixture
def recorder() -> Iterator[Keeper]:
    """A server that keeps what it is sent."""
    with closing(Keeper()) as made:
        yield made


def channel(kind: str, recorder: Keeper, path: str, **more: Any) -> AlertChannel:
    """Return a channel of a type, at the recorder."""
    url = SecretStr(f"http://127.0.0.1:{recorder.port}{path}")
    return AlertChannel(name="ops", type=kind, url=url, **more)  # type: ignore[arg-type] # the type is checked by it


# --- PagerDuty ---


def pager(recorder: Keeper) -> AlertChannel:
    """Return a PagerDuty channel."""
    return channel("pagerduty", recorder, "/v2/enqueue", secret=SecretStr(KEY))


def test_pagerduty_is_triggered_and_resolved_by_one_key(recorder: Keeper) -> None:
    """Trigger and resolve bear the same dedup key; the payload has what Events API v2 asks for."""
    sink = make_sink(pager(recorder), "https://git.example/runbooks.md")
    assert sink.send(OPEN, 2).ok
    assert sink.send(OVER, 2).ok
    trigger, resolve = recorder.sent
    assert trigger["event_action"] == "trigger"
    assert trigger["routing_key"] == resolve["routing_key"] == KEY
    assert trigger["dedup_key"] == resolve["dedup_key"] == OPEN.key
    assert {"summary", "source", "severity"} <= set(trigger["payload"])
    assert trigger["payload"]["severity"] == "critical"
    assert trigger["payload"]["custom_details"]["do"] == "look"
    assert trigger["links"][0]["href"] == "https://git.example/runbooks.md#no_leader"
    assert resolve == {"routing_key": KEY, "event_action": "resolve", "dedup_key": OPEN.key}
    assert [line for line, _, _ in recorder.seen] == ["POST /v2/enqueue"] * 2


def test_pagerduty_gets_news_as_a_change_and_no_incident(recorder: Keeper) -> None:
    """What leaves nothing open would be an incident that nobody resolves, so it goes to the changes."""
    assert make_sink(pager(recorder)).send(NEWS, 2).ok
    line, _, body = recorder.seen[0]
    assert line == "POST /v2/change/enqueue"
    assert "event_action" not in json.loads(body)


def test_pagerduty_wakes_somebody_for_what_is_critical_even_if_nothing_stays_open(recorder: Keeper) -> None:
    """Something critical that happened is an incident, which people close."""
    assert make_sink(pager(recorder)).send(replace(OPEN, lasts=False), 2).ok
    line, _, body = recorder.seen[0]
    assert (line, json.loads(body)["event_action"]) == ("POST /v2/enqueue", "trigger")


def test_pagerduty_takes_no_long_key_and_no_long_summary(recorder: Keeper) -> None:
    """A key in etcd may be long: it is hashed, the same way for trigger and resolve; the summary is cut."""
    long = replace(OPEN, key="unreadable/" + "x" * 900, summary="y" * 3000)
    sink = make_sink(pager(recorder))
    for notice in (long, replace(long, resolved=True)):
        sink.send(notice, 2)
    first, second = recorder.sent
    assert first["dedup_key"] == second["dedup_key"]
    assert len(first["dedup_key"]) <= 255
    assert len(first["payload"]["summary"]) <= 1024


def test_pagerduty_needs_no_url_and_goes_where_its_events_are_taken() -> None:
    """The default is PagerDuty's own address; without a routing key the channel is refused."""
    made = AlertChannel(name="ops", type="pagerduty", secret=SecretStr(KEY))
    assert make_sink(made).name == "ops"
    with pytest.raises(Invalid, match="has no routing key: set secret_file"):
        AlertChannel(name="ops", type="pagerduty")


# --- Alertmanager ---


def test_alertmanager_gets_an_alert_that_ends_unless_it_comes_again(recorder: Keeper) -> None:
    """It goes to the v2 API below the prefix; open for four intervals from now, over at once when it is resolved."""
    since = boot_ms() - 60_000
    sink = make_sink(channel("alertmanager", recorder, "/am/", interval=30))
    for notice in (replace(OPEN, since=since), replace(OVER, since=since)):
        assert sink.send(notice, 2).ok
    assert {line for line, _, _ in recorder.seen} == {"POST /am/api/v2/alerts"}
    ((first,), (second,)) = recorder.sent
    assert first["labels"] == second["labels"]
    assert first["labels"]["alertname"] == "NodeosFailoverNoLeader"
    assert "node" not in first["labels"], "two agents that tell of one group must tell the same alert"
    now = time.time()
    began, ends, ended = (
        datetime.fromisoformat(each).timestamp() for each in (first["startsAt"], first["endsAt"], second["endsAt"])
    )
    assert began == pytest.approx(now - 60, abs=3)
    assert ends == pytest.approx(now + 120, abs=3)
    assert ended == pytest.approx(now, abs=3)
    assert first["annotations"]["runbook_url"].endswith("#no_leader")
    assert all(isinstance(each, str) for each in (*first["labels"].values(), *first["annotations"].values()))


# --- webhook ---


def test_a_webhook_is_signed_when_there_is_a_secret(recorder: Keeper) -> None:
    """The signature covers the time and the very body; a body that was changed does not fit it."""
    made = make_sink(channel("webhook", recorder, "/hook", secret=SecretStr(KEY)))
    assert made.send(OPEN, 2).ok
    _, headers, body = recorder.seen[0]
    when = headers["x-signature-timestamp"]
    assert abs(time.time() - int(when)) < 60
    expected = hmac.new(KEY.encode(), when.encode() + b"." + body, hashlib.sha256).hexdigest()
    assert headers["x-signature-256"] == f"sha256={expected}"
    assert KEY.encode() not in body


def test_a_webhook_without_a_secret_is_not_signed(recorder: Keeper) -> None:
    """No secret, no header that looks like one was used."""
    assert make_sink(channel("webhook", recorder, "/hook")).send(OPEN, 2).ok
    assert not any(name.startswith("x-signature") for name in recorder.seen[0][1])


# --- templates ---


def test_renewed_secrets_of_a_channel_are_used_and_masked(recorder: Keeper, tmp_path: Path) -> None:
    """URL and secret are as their files are at each sending; no log line shows them; a bad one changes nothing."""
    url, secret = tmp_path / "url", tmp_path / "secret"
    base = f"http://127.0.0.1:{recorder.port}"
    for path, text in ((url, f"{base}/hook/first"), (secret, KEY)):
        path.touch(0o600)
        path.write_text(text)
    made = channel("webhook", recorder, "/hook/first", secret=SecretStr(KEY), url_file=url, secret_file=secret)
    with (tmp_path / "log").open("wb") as out:
        open_logs("text", "info", {}, channel_texts(made), out.fileno())
        try:
            sink = make_sink(made)
            assert sink.send(OPEN, 2).ok
            url.write_text(f"{base}/hook/a-second-secret")
            secret.write_text("another-signing-key")
            assert sink.send(OPEN, 2).ok
            logging.getLogger("agent").warning("%s and another-signing-key", f"{base}/hook/a-second-secret")
            url.write_text("no URL at all")
            assert sink.send(OPEN, 2).ok
        finally:
            close_logs()
    assert [line for line, _, _ in recorder.seen] == ["POST /hook/first", *["POST /hook/a-second-secret"] * 2]
    _, headers, body = recorder.seen[1]
    signed = headers["x-signature-timestamp"].encode() + b"." + body
    assert (
        headers["x-signature-256"] == f"sha256={hmac.new(b'another-signing-key', signed, hashlib.sha256).hexdigest()}"
    )
    log = (tmp_path / "log").read_text()
    assert "alerts ops: a changed file cannot be used" in log
    assert f"{MASK} and {MASK}" in log
    assert "second-secret" not in log


def test_a_template_puts_the_line(recorder: Keeper) -> None:
    """The words of a template are replaced, empty ones by nothing; the line stands where the type shows it."""
    form = "$status|$event|$producer|$from|$$"
    for kind in ("slack", "webhook"):
        assert make_sink(channel(kind, recorder, "/", template=form)).send(OPEN, 2).ok
    assert make_sink(channel("alertmanager", recorder, "/", template=form)).send(OVER, 2).ok
    slack, webhook, (alert,) = recorder.sent
    assert slack["text"] == webhook["text"] == "critical|no_leader|eosio||$"
    assert alert["annotations"]["summary"] == "resolved|no_leader|eosio||$"


@pytest.mark.parametrize(("form", "fault"), [("$sumary", r"knows no \$sumary"), ("a $ b", "write \\$\\$")])
def test_a_template_that_cannot_be_filled_is_refused(form: str, fault: str) -> None:
    """A word that there is not, or a dollar alone, is told when the configuration is read."""
    with pytest.raises(Invalid, match=fault):
        AlertChannel(name="ops", type="slack", url=SecretStr("https://x.example/"), template=form)


def test_every_word_can_be_named() -> None:
    """Each word of the list has a value for every notice."""
    assert set(Words().values(OPEN)) == set(WORDS)


# --- heartbeat ---


def test_a_heartbeat_is_a_get_without_a_body(recorder: Keeper) -> None:
    """Such services take GET, and some nothing else."""
    assert make_ping(channel("heartbeat", recorder, "/ping/abc"))(2).ok
    assert recorder.seen[0][0] == "GET /ping/abc"
    assert recorder.seen[0][2] == b""


# --- apprise ---


@pytest.mark.skipif("not __import__('importlib.util').util.find_spec('apprise')", reason="the extra is not installed")
def test_apprise_delivers_within_a_deadline(recorder: Keeper, serve: Serve) -> None:
    """Whatever apprise knows is sent by a process of its own, which ends in time when the service hangs."""
    url = SecretStr(f"json://127.0.0.1:{recorder.port}/{SECRET}")
    delivery = make_sink(AlertChannel(name="ops", type="apprise", url=url)).send(OVER, 30)
    assert delivery.ok, delivery
    assert recorder.sent[0]["title"] == "[resolved] nobody produces"
    assert recorder.sent[0]["type"] == "success"
    slow = SecretStr(f"json://127.0.0.1:{serve(hang).port}/{SECRET}?rto=60")
    begin = time.monotonic()
    delivery = make_sink(AlertChannel(name="ops", type="apprise", url=slow)).send(OPEN, 3)
    assert time.monotonic() - begin < 5
    assert (delivery.ok, delivery.retry) == (False, True)
    unknown = AlertChannel(name="ops", type="apprise", url=SecretStr(f"nonsense://{SECRET}"))
    delivery = make_sink(unknown).send(OPEN, 30)
    assert (delivery.ok, delivery.retry) == (False, False)
    assert SECRET not in repr(delivery)


# --- what a type cannot use ---


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({"type": "slack", "url": "https://x.example/", "secret": KEY}, "uses no secret"),
        ({"type": "apprise", "url": "no-url"}, "none of apprise"),
        ({"type": "heartbeat"}, "has no URL"),
    ],
)
def test_what_a_type_cannot_use_is_refused(fields: dict[str, str], fault: str) -> None:
    """A setting that would do nothing is a mistake that is told."""
    with pytest.raises(Invalid, match=fault) as caught:
        AlertChannel.model_validate({"name": "ops", **fields})
    assert KEY not in str(caught.value)


# --- alerts test ---


def config(*channels: AlertChannel) -> Config:
    """Return a configuration with these channels."""
    return Config.model_validate(
        {
            "group": "eos",
            "node": "bp-a",
            "producer": "eosio",
            "nodeos": {"url": "http://127.0.0.1:1"},
            "etcd": {"endpoints": ["http://127.0.0.1:2"]},
            "alerts": [each.values() for each in channels],
        }
    )


def test_a_trial_sends_a_test_and_its_end_and_tells_what_came_back(recorder: Keeper) -> None:
    """The test says that nothing has happened, leaves nothing open, and shows the channel's own answer."""
    made = pager(recorder)
    found = try_channel(config(made), made)
    assert (found.ok, found.answer) == (True, 'HTTP 202 {"status":"success"}')
    assert [each["event_action"] for each in recorder.sent] == ["trigger", "resolve"]
    assert "nothing has happened" in recorder.sent[0]["payload"]["summary"]


def test_a_trial_masks_what_a_channel_repeats(serve: Serve) -> None:
    """A channel that answers with its own path, or with the key, does not get it onto the screen."""
    port = serve(answer("404 No", f"no /services/{SECRET} for {KEY}\n".encode())).port
    url = SecretStr(f"http://127.0.0.1:{port}/services/{SECRET}")
    made = AlertChannel(name="ops", type="webhook", url=url, secret=SecretStr(KEY))
    found = try_channel(config(made), made)
    assert (found.ok, found.detail) == (False, "HTTP 404")
    assert "HTTP 404 no" in found.answer
    assert SECRET not in repr(found)
    assert KEY not in repr(found)


def test_a_trial_pings_a_heartbeat_once(recorder: Keeper) -> None:
    """A heartbeat has no alert to test: it is pinged."""
    made = channel("heartbeat", recorder, "/ping")
    assert try_channel(config(made), made).ok
    assert len(recorder.seen) == 1


def test_what_is_secret_about_a_channel_is_known() -> None:
    """The URL, what stands behind its host, and the secret; an answer is searched for the parts of the URL too."""
    url = f"https://h.example/a/{SECRET}?k=1"
    made = AlertChannel(name="ops", type="webhook", url=SecretStr(url), secret=SecretStr(KEY))
    assert set(channel_texts(made)) == {url, KEY, f"/a/{SECRET}?k=1"}
    assert SECRET in answer_texts(made)
    assert channel_texts(AlertChannel(name="ops", type="pagerduty", secret=SecretStr(KEY))) == [KEY]
    bot = AlertChannel(name="ops", type="apprise", url=SecretStr("tgram://tokentoken/chat"))
    assert "tokentoken/chat" in channel_texts(bot)


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
