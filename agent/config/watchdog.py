"""[watchdog]: /dev/watchdog, and how its time-out fits the spans of the protocol."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from agent.config.base import AbsolutePath
from agent.config.section import Section
from agent.config.setting import Field
from agent.core.leadership.timing import LATE_PROMISE, PeersMode, Timing, seconds
from agent.core.model.store import Ms

FEED_MS = 150
"""How often a device is fed. It is below the least timing.slack: see `may_feed` in agent.runtime.liveness."""


class WatchdogSection(Section):
    """[watchdog]: a device that resets the host when a leader cannot be proven stopped in time."""

    mode: Literal["off", "automatic", "required"] = Field(
        default="off", description="off; automatic: used if it can be; required: no start without it"
    )
    device: AbsolutePath = Field(default=Path("/dev/watchdog"), description="the device")
    timeout: int = Field(
        default=4, ge=1, le=600, description="whole seconds from the last sign of life to the reset of the host"
    )

    @property
    def reset(self) -> Ms:
        """From the last feeding to the reset of the host, and a feeding more: so much each confirmation has to last."""
        return 0 if self.mode == "off" else self.timeout * 1000 + FEED_MS

    def problems(self, timing: Timing) -> list[str]:
        """Return what speaks against the time-out: a leader that is well must always be allowed to feed it (R3)."""
        most = timing.validity - timing.renew - timing.request - FEED_MS
        short = timing.peers_validity - timing.beat - LATE_PROMISE - FEED_MS
        if self.mode == "off":
            return []
        if timing.peers is not PeersMode.OFF and self.timeout * 1000 > short:
            fault = (
                f"watchdog.timeout is {self.timeout} s but must be at most {seconds(short)} = peers.validity "
                f"{seconds(timing.peers_validity)} - beat {seconds(timing.beat)} - {seconds(LATE_PROMISE)} - "
                f"{seconds(FEED_MS)}: leave peers.validity out, and it is as long as the watchdog needs"
            )
            return [fault]
        if self.timeout * 1000 <= most and timing.slack > FEED_MS:
            return []
        if timing.slack <= FEED_MS:
            least = f"set timing.slack above {seconds(FEED_MS)}, or a stop that goes well may reset the host"
            return [f'watchdog.mode is "{self.mode}": {least}; or set it to "off": a gate that is required needs none']
        return [
            f"watchdog.timeout is {self.timeout} s but must be at most {seconds(most)} = validity "
            f"{seconds(timing.validity)} - renew {seconds(timing.renew)} - request {seconds(timing.request)} - "
            f"{seconds(FEED_MS)}, because the host has to be reset by the end of the validity, and not while all is "
            f"well: set watchdog.timeout = {most // 1000}"
            + (", or raise timing.validity" if most < 1000 else " or less")
        ]
