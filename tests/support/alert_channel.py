"""A channel with a secret URL, one try on it, and the check that nothing of the URL gets out."""

from __future__ import annotations

from typing import Any

from agent.alerts.sinks import make_sink
from agent.config.alerts import AlertChannel
from agent.config.section import SecretStr
from agent.core.alerts.notice import Notice
from agent.ports import Delivery

SECRET = "T0-B0-secretpath"
NOTICE = Notice(
    "stop/eos/7", "leader_stops", "critical", "bp-a stops: <!channel> & co", fields={"node": "bp-a", "do": ""}
)


def channel(port: int, kind: str = "webhook", scheme: str = "http", **other: Any) -> AlertChannel:
    """Return a channel whose URL has a secret path."""
    fields = {
        "name": "ops",
        "type": kind,
        "url": SecretStr(f"{scheme}://127.0.0.1:{port}/services/{SECRET}?k={SECRET}"),
    }
    return AlertChannel.model_validate(fields | other)


def send(port: int, timeout_s: float = 2.0, **settings: Any) -> Delivery:
    """Send the notice once; whatever comes of it, nothing of the URL is in it."""
    delivery = make_sink(channel(port, **settings)).send(NOTICE, timeout_s)
    assert SECRET not in repr(delivery)
    assert "services" not in repr(delivery)
    return delivery
