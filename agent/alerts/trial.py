"""One notice to each channel, for who wants to see whether it arrives: no agent, no queue, no second try."""

from __future__ import annotations

from collections.abc import Iterable

from agent.config.alerts import AlertChannel
from agent.config.model import Config
from agent.config.secrets import answer_texts
from agent.core.alerts.notice import Notice
from agent.core.model.copying import replace
from agent.host.logs import MASK
from agent.ports import Delivery


def try_channel(config: Config, channel: AlertChannel, severity: str = "critical") -> Delivery:
    """Send a test alert and its end to a channel (a ping to a heartbeat), each within the channel's time-out.

    `answer` is the beginning of what came back, secrets masked. ConfigError when the channel cannot be used at all.
    """
    found = Delivery(ok=True)
    for found in _deliveries(config, channel, severity):
        if not found.ok:
            break
    answer = found.answer
    for text in answer_texts(channel):
        answer = answer.replace(text, MASK)
    return replace(found, answer="".join(char if char.isprintable() else " " for char in answer))


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
