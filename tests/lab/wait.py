"""Waiting for a condition with a limit, instead of sleeping for luck. Nothing else lives here."""

import time
from collections.abc import Callable
from typing import TypeVar

from tests.lab.errors import LabTimeout

T = TypeVar("T")
INTERVAL = 0.02  # seconds between two looks at first
SELDOM = 0.1  # seconds between two at most: a look makes those who are asked work


def until(
    check: Callable[[], T | None],
    limit: float,
    what: str | Callable[[], str],
    retry_on: tuple[type[Exception], ...] = (),
    interval: float = INTERVAL,
) -> T:
    """Return the first truthy result of `check`, asked every `interval` seconds for at most `limit` seconds.

    The longer it takes the more seldom it is asked: the result is known late by a twentieth, SELDOM at most.

    An exception of a type in `retry_on` means "not yet"; any other passes through. Raises LabTimeout, naming `what`
    (asked only then, where it is a function: the end of a log, say) and the last such exception. `check` itself must
    be bounded.
    """
    begun = time.monotonic()
    last: Exception | None = None
    while True:
        try:
            result = check()
        except retry_on as error:
            last = error
        else:
            if result:
                return result
            last = None
        waited = time.monotonic() - begun
        if waited >= limit:
            told = what if isinstance(what, str) else what()
            raise LabTimeout(f"{told}: not within {limit:g} s" + (f" (last: {last})" if last else "")) from last
        time.sleep(max(interval, min(SELDOM, waited / 20)))
