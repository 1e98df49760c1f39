"""Waiting for a condition with a limit, instead of sleeping for luck. Nothing else lives here."""

import time
from collections.abc import Callable
from typing import TypeVar

from tests.lab.errors import LabTimeout

T = TypeVar("T")
INTERVAL = 0.02  # seconds between two looks


def until(
    check: Callable[[], T | None],
    limit: float,
    what: str,
    retry_on: tuple[type[Exception], ...] = (),
    interval: float = INTERVAL,
) -> T:
    """Return the first truthy result of `check`, asked every `interval` seconds for at most `limit` seconds.

    An exception of a type in `retry_on` means "not yet"; any other passes through. Raises LabTimeout, naming `what`
    and the last such exception. `check` itself must be bounded.
    """
    end = time.monotonic() + limit
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
        if time.monotonic() >= end:
            raise LabTimeout(f"{what}: not within {limit:g} s" + (f" (last: {last})" if last else "")) from last
        time.sleep(interval)
