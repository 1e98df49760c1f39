"""What the tests of nodeos clients share: every call, and that each ends in time."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from agent.errors import NodeosError
from agent.nodeos.client import HttpNodeos
from tests.support.slack import SLACK_S

LIMIT_S = 2.0
SHORT_S = 0.3
CALLS: dict[str, Callable[[HttpNodeos, float], object]] = {
    "pause": HttpNodeos.pause,
    "resume": HttpNodeos.resume,
    "paused": HttpNodeos.paused,
    "info": HttpNodeos.info,
    "peers": HttpNodeos.peers,
    "schedule": HttpNodeos.schedule,
    "block": lambda nodeos, timeout_s: nodeos.block(1, timeout_s),
}


def in_time(
    call: Callable[[HttpNodeos, float], object], nodeos: HttpNodeos, expected: type[NodeosError], what: str
) -> None:
    """Make a call that must fail as expected, within its deadline and a little slack."""
    begin = time.monotonic()
    with pytest.raises(expected):
        call(nodeos, SHORT_S)
    assert time.monotonic() - begin < SHORT_S + SLACK_S, what
