"""Dispatches alerts: one bounded queue and one thread a channel, so that no channel holds up the loop or another one.

What is told is queued at once or dropped at once. Trying again, waiting and giving up happen on the channel's thread
(`worker`); what is open and what is owed to a channel survives a restart (`memory`). Nothing of this is anywhere near
leadership.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable

from agent.alerts.memory import FileMemory, Memory, Saved
from agent.alerts.worker import CAPACITY, FIRST_WAIT_S, Channel, ChannelStats, Worker
from agent.config.alerts import AlertChannel
from agent.config.model import Config
from agent.core.alerts.kinds import KINDS
from agent.core.alerts.notice import Notice, rank
from agent.ports import Clock, Delivery

log = logging.getLogger(__name__)


class DeadMan:
    """A ping at intervals while all is well: whoever misses it raises the alarm.

    It goes out every `every_s` seconds while `well` says nothing; `well` returns why not, and never raises.
    """

    def __init__(
        self, name: str, ping: Callable[[float], Delivery], every_s: float, timeout_s: float, well: Callable[[], str]
    ) -> None:
        self.name = name
        self._ping, self._every, self._timeout, self._well = ping, every_s, timeout_s, well
        self._over = threading.Event()
        self._sent = {"ok": 0, "failed": 0, "withheld": 0}
        self._said = ""
        self._thread = threading.Thread(target=self._run, name=f"alerts-{name}", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def end(self, _deadline: float) -> None:
        """Ping no more."""
        self._over.set()

    def join(self, deadline: float) -> None:
        """Wait for the last ping."""
        self._thread.join(max(0.0, deadline - time.monotonic()))

    def stats(self) -> ChannelStats:
        """Return the counters now; nothing is ever queued: only the newest sign of life is worth anything."""
        return ChannelStats(self.name, dict(self._sent), {}, 0)

    def _run(self) -> None:
        while not self._over.is_set():
            self._beat()
            self._over.wait(self._every)

    def _beat(self) -> None:
        why = self._well()
        if why:
            self._sent["withheld"] += 1
            self._say(f"no ping goes to {self.name}: {why}")
            return
        delivery = self._ping(self._timeout)
        self._sent["ok" if delivery.ok else "failed"] += 1
        self._say("" if delivery.ok else f"a ping to {self.name} failed: {delivery.detail}")

    def _say(self, words: str) -> None:
        """Log what is new only."""
        if words and words != self._said:
            log.warning("%s", words)
        elif self._said and not words:
            log.warning("pings to %s go out again", self.name)
        self._said = words


class AlertDispatcher:
    """Takes notices and has them delivered. Every method may be called from any thread.

    `still_open` is what an earlier process of this agent told and did not resolve.
    """

    def __init__(
        self,
        channels: Iterable[Channel],
        capacity: int = CAPACITY,
        first_wait_s: float = FIRST_WAIT_S,
        memory: Memory | None = None,
    ) -> None:
        channels = tuple(channels)
        self._capacity, self._first_wait_s = capacity, first_wait_s
        self._memory = memory or Memory()
        self._lock = threading.Lock()
        self._number = 0
        kept = self._memory.load()
        self._open = {notice.key: notice for notice in kept.still_open if notice.event in KINDS}
        self.still_open = tuple(self._open.values())
        self._workers = [self._worker(channel) for channel in channels]
        self._threads: tuple[Worker | DeadMan, ...] = tuple(self._workers)
        for worker in self._workers:
            worker.restore(self.still_open, kept.owed.get(worker.name, ()))
        self._memory.begin(self._kept)
        for each in self._threads:
            each.start()

    @property
    def least(self) -> str:
        """The least severity that any channel takes, empty without channels."""
        return min((worker.least for worker in self._workers), key=rank, default="")

    def _worker(self, channel: Channel) -> Worker:
        return Worker(channel, self._capacity, self._first_wait_s, lambda: self._memory.wait(self._number), self._touch)

    def change(
        self, keep: frozenset[str], channels: Iterable[Channel], pulses: Iterable[DeadMan], timeout_s: float
    ) -> None:
        """End all channels and heartbeats but those named in `keep`, within `timeout_s` seconds, and begin the others.

        What is open, and what a channel was not told yet, is told by the one that takes its name.
        """
        new, beats = [self._worker(channel) for channel in channels], tuple(pulses)
        deadline = time.monotonic() + timeout_s
        going = [each for each in self._threads if each.name not in keep]
        for each in going:
            each.end(deadline)
        for each in going:
            each.join(deadline)
        with self._lock:
            owed = {worker.name: worker.owed() for worker in self._workers if worker.name not in keep}
            for worker in new:
                worker.restore(tuple(self._open.values()), owed.get(worker.name, ()))
            self._workers = [*(each for each in self._workers if each.name in keep), *new]
            self._threads = (*(each for each in self._threads if each.name in keep), *new, *beats)
        begun: tuple[Worker | DeadMan, ...] = (*new, *beats)
        for each in begun:
            each.start()
        self._touch()

    def beat(self, pulses: Iterable[DeadMan]) -> None:
        """Have pings sent from now on."""
        more = tuple(pulses)
        self._threads += more
        for each in more:
            each.start()

    def tell(self, notice: Notice) -> None:
        """Queue a notice for each channel that wants it. Never blocks; a full queue drops the least severe, oldest."""
        with self._lock:
            if notice.resolved:
                self._open.pop(notice.key, None)
            elif notice.lasts:
                self._open[notice.key] = notice
        self._touch()  # before it can be sent: the worker waits for this number
        with self._lock:  # a channel that is being replaced hands over all that it was offered
            for worker in self._workers:
                worker.offer(notice)
        self._touch()

    def stats(self) -> tuple[ChannelStats, ...]:
        """Return the counters of all channels."""
        return tuple(each.stats() for each in self._threads)

    def close(self, timeout_s: float) -> None:
        """Give each notice that waits one last try, and end, within `timeout_s` seconds in all."""
        deadline = time.monotonic() + timeout_s
        for each in self._threads:
            each.end(deadline)
        for each in self._threads:
            each.join(deadline)
        self._touch()
        self._memory.close(max(0.1, deadline - time.monotonic()))

    def _touch(self) -> None:
        self._number = self._memory.touch()

    def _kept(self) -> Saved:
        """Collect what must survive, on the thread of the memory; whoever tells does not wait for it."""
        owed = {worker.name: worker.owed() for worker in self._workers}
        with self._lock:
            return Saved(tuple(self._open.values()), owed)


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
