"""One notice to each channel, for who wants to see whether it arrives: no agent, no queue, no second try."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass

from agent.config.alerts import AlertChannel
from agent.config.model import Config
from agent.config.secrets import answer_texts
from agent.core.alerts.notice import Notice
from agent.host.logs import MASK
from agent.ports import Delivery


@dataclass(frozen=True, slots=True)
class Trial:
    """What became of a test. `answer` is the beginning of what came back, with secrets masked."""

    channel: str
    type: str
    ok: bool
    seconds: float
    detail: str
    answer: str


def try_channel(config: Config, channel: AlertChannel, severity: str = "critical") -> Trial:
    """Send a test alert and its end to a channel (a ping to a heartbeat), each within the channel's time-out.

    ConfigError when the channel cannot be used at all.
    """
    begin = time.monotonic()
    delivery = Delivery(ok=True)
    for delivery in _deliveries(config, channel, severity):
        if not delivery.ok:
            break
    spent = time.monotonic() - begin
    return Trial(channel.name, channel.type, delivery.ok, spent, delivery.detail, _masked(delivery.answer, channel))


def _deliveries(config: Config, channel: AlertChannel, severity: str) -> Iterable[Delivery]:
    from agent.alerts.sinks import make_ping, make_sink

    if channel.type == "heartbeat":
        yield make_ping(channel)(channel.timeout)
        return
    sink = make_sink(channel, config.runbooks)
    for resolved in (False, True):
        yield sink.send(test_notice(config, severity, resolved=resolved), channel.timeout)


def test_notice(config: Config, severity: str, *, resolved: bool) -> Notice:
    """Return the notice of a test; it says that nothing has happened."""
    fields = {
        "group": config.group,
        "producer": config.producer,
        "node": config.node,
        "reason": "somebody ran nodeos-failover alerts test",
    }
    key = f"test/{config.group}/{config.node}"
    summary = f"test of the alert channels of {config.node}: nothing has happened"
    return Notice(key, "test", severity, summary, resolved, fields, lasts=True)


def _masked(answer: str, channel: AlertChannel) -> str:
    for text in answer_texts(channel):
        answer = answer.replace(text, MASK)
    return "".join(char if char.isprintable() else " " for char in answer)
