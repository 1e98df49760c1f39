"""From a configuration to a dispatcher: channels with their sinks, heartbeats, the file that survives a restart."""

from __future__ import annotations

from collections.abc import Callable

from agent.alerts.dead_man import DeadMan
from agent.alerts.dispatcher import AlertDispatcher
from agent.alerts.memory import FileMemory
from agent.alerts.worker import Channel
from agent.config.alerts import AlertChannel
from agent.config.model import Config
from agent.ports import Clock


def make_dispatcher(config: Config, clock: Clock) -> AlertDispatcher:
    """Return the dispatcher of the agent that holds the lock of its run-time file. ConfigError: a channel cannot be."""
    found = [make_channel(each, config.runbooks) for each in config.alerts if each.type != "heartbeat"]
    if not found:
        return AlertDispatcher(())
    path = config.runtime.dir / "alerts" / f"{config.group}-{config.node}.json"
    return AlertDispatcher(found, memory=FileMemory(path, clock.boot_id(), clock.boot()))


def make_channel(channel: AlertChannel, runbooks: str) -> Channel:
    """Return a channel for notices; only Alertmanager forgets what it is not told again and again."""
    from agent.alerts.sinks import make_sink

    again = channel.interval if channel.type == "alertmanager" else 0.0
    return Channel(make_sink(channel, runbooks), channel.min_severity, channel.timeout, again)


def change_channels(
    dispatcher: AlertDispatcher, old: Config, new: Config, well: Callable[[], str], timeout_s: float
) -> None:
    """Give it the channels of `new`; those that are as they were go on undisturbed. ConfigError changes nothing."""
    before = {each.name: each for each in old.alerts} if old.runbooks == new.runbooks else {}
    changed = [each for each in new.alerts if before.get(each.name) != each]
    keep = frozenset(each.name for each in new.alerts) - {each.name for each in changed}
    channels = [make_channel(each, new.runbooks) for each in changed if each.type != "heartbeat"]
    dispatcher.change(keep, channels, make_pulses(new.replace(alerts=tuple(changed)), well), timeout_s)


def make_pulses(config: Config, well: Callable[[], str]) -> list[DeadMan]:
    """Return what pings while all is well; `well` tells why it is not."""
    found = [each for each in config.alerts if each.type == "heartbeat"]
    if not found:
        return []
    from agent.alerts.sinks import make_ping

    return [DeadMan(each.name, make_ping(each), each.interval, each.timeout, well) for each in found]
