"""Reading the configuration again on SIGHUP: what can change at once does, what can not is named. On its own thread."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

from agent.config import Config
from agent.config.show import as_data
from agent.errors import ConfigError
from agent.supervision.notify import Notifier

log = logging.getLogger(__name__)

AT_ONCE = frozenset({"log.level"})


class Reload:
    """`begin` may be called from a signal handler; a second one while the first is under way comes after it."""

    def __init__(
        self, config: Config, read: Callable[[], Config], notifier: Notifier, done: Callable[[], None]
    ) -> None:
        self._config = config
        self._read = read
        self._notifier = notifier
        self._done = done
        self._turn = threading.Lock()

    def begin(self) -> None:
        """Read it on a thread of its own: a file may lie on a disk that hangs."""
        threading.Thread(target=self._run, name="reload", daemon=True).start()

    def _run(self) -> None:
        with self._turn:
            self._notifier.reloading()
            try:
                self._take(self._read())
            except ConfigError as error:
                log.error("the configuration stays as it is: %s", "; ".join(error.problems))  # noqa: TRY400 - no defect
            finally:
                self._done()

    def _take(self, config: Config) -> None:
        changed = changes(as_data(self._config), as_data(config))
        logging.getLogger("agent").setLevel(config.log.level.upper())
        later = [name for name in changed if name not in AT_ONCE]
        if later:
            log.warning(
                "the configuration is read again; restart the agent for %s (a restart costs no block)", ", ".join(later)
            )
        else:
            log.info("the configuration is read again: %s", ", ".join(changed) or "nothing has changed")


def changes(old: dict[str, Any], new: dict[str, Any], above: str = "") -> list[str]:
    """Return the settings in which two trees differ. Secrets are masked in both, so a new one does not show."""
    found = []
    for key in sorted(old.keys() | new.keys()):
        was, now = old.get(key), new.get(key)
        if isinstance(was, dict) and isinstance(now, dict):
            found += changes(was, now, f"{above}{key}.")
        elif was != now:
            found.append(f"{above}{key}")
    return found
