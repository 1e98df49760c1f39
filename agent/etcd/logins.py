"""When to log in again with a password that etcd refused: not at once, for a login is dear. No request lives here."""

from __future__ import annotations

import threading
from collections.abc import Callable

from agent.core.model.backoff import longer
from agent.core.model.store import Ms
from agent.errors import StoreRejected
from agent.host.clock import boot_ms

PATIENT_MS: Ms = 10_000
"""For so long a refused login is tried again within R: a leader's confirmation may last that long meanwhile."""
LONGEST_MS: Ms = 30_000
"""Between two logins with a password that stays refused: each costs etcd 50 ms of a core (bcrypt)."""
ONE_MS: Ms = 500
"""For so long at most others wait for a login that is under way."""


class Logins:
    """What became of the logins with one password. Safe from several threads.

    All stores that share their options share it, for etcd would say the same to each: while a password stands refused,
    one of them tries it at a time. Pauses double up to `most_ms`, and after PATIENT_MS up to LONGEST_MS. Another
    password is tried at once.
    """

    def __init__(self, clock: Callable[[], Ms] = boot_ms) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._secret = ""
        self._said: StoreRejected | None = None
        self._since = self._pause = self._until = 0

    def wait_s(self, secret: str) -> float:
        """Return for how many seconds not to log in with this password; 0: the caller does it now."""
        with self._lock:
            now = self._clock()
            if self._said is None or secret != self._secret:
                return 0.0
            if now < self._until:
                return (self._until - now) / 1000
            self._until = now + min(self._pause, ONE_MS)
            return 0.0

    def last_refusal(self) -> StoreRejected:
        """Return what etcd said, as an error of its own for each caller."""
        said = self._said
        return StoreRejected(said.reason, str(said)) if said else StoreRejected("auth", "etcd refused the login")

    def accepted(self) -> None:
        """Note that etcd gave a token."""
        with self._lock:
            self._said = None

    def refused(self, secret: str, said: StoreRejected, most_ms: Ms) -> None:
        """Note that etcd refused this password, or a token that it gave for it."""
        with self._lock:
            now = self._clock()
            if secret != self._secret or now > self._until + LONGEST_MS:
                self._since, self._pause = now, 0
            most = most_ms if now - self._since < PATIENT_MS else LONGEST_MS
            self._pause = longer(self._pause, most, 0)
            self._said = StoreRejected(said.reason, str(said))  # without its traceback, which would keep a connection
            self._secret, self._until = secret, now + self._pause
