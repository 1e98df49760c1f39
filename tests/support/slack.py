"""How long a call may go on above its deadline. Only that lives here.

What a deadline is tried on goes on for much longer, or for ever: the slack is for a machine that is held up.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager

SLACK_S = 1.0


@contextmanager
def within(seconds: float, least: float = 0.0) -> Iterator[None]:
    """Fail when the block goes on for longer than a deadline and the slack, or is over before `least` seconds."""
    begun = time.monotonic()
    yield
    assert least <= time.monotonic() - begun < seconds + SLACK_S
