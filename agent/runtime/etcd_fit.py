"""Asking the running etcd, once at the start, whether it can carry the profile that was chosen. One look lives here."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from agent.config.model import Config
from agent.core.leadership.etcd_fit import too_slow_answers, too_slow_elections
from agent.core.leadership.timing import Timing
from agent.core.model.keys import keys
from agent.errors import RefusedError, StoreError
from agent.ports import Store

READS = 5
Look = Callable[[Store], None]


def look_for(config: Config) -> Look | None:
    """Return what is to be looked at: nothing with the default profile, of which `doctor` judges."""
    if config.timing.profile == "default":
        return None
    return partial(see, config.timing.profile, config.spans, keys(config.etcd.prefix, config.group).leader)


def see(profile: str, timing: Timing, key: str, store: Store) -> None:
    """Raise RefusedError when etcd is too slow for the profile; StoreError when it does not answer.

    It takes one lease that is given back and a few reads, each with the deadline of one request.
    """
    within, spans = timing.request / 1000, []
    lease = store.grant(1, within)
    with suppress(StoreError):  # it ends by itself
        store.revoke(lease.id, within)
    for _ in range(READS):
        begun = time.monotonic()
        store.range(key, within)
        spans.append(time.monotonic() - begun)
    if why := too_slow_elections(timing, lease.ttl) or too_slow_answers(timing, spans):
        raise RefusedError(
            f'timing.profile "{profile}" is more than this etcd can carry: {why}; tune etcd (deploy/etcd), or take '
            'timing.profile = "default"'
        )
