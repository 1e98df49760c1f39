"""The wallet in keosd: what is asked of it, and how it is opened and unlocked. No socket lives here."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator
from pathlib import Path

from agent.gate import settings
from agent.gate.control import READY
from agent.gate.keosd import Done, Keosd
from agent.gate.wire import SIGN, KeosdAnswer, is_signature

SIGN_S = 0.5
"""For one signature in all; nodeos waits for 5 to 100 ms (keosd-provider-timeout)."""
UNLOCK_AGAIN_S = 1.0
"""The least between two tries to unlock the wallet."""
LOOK_AGAIN_S = 5.0
"""Between two looks whether the wallet has the key, while it has."""
LOCKED = 3120003
NO_KEY = 3120004
"""Codes of keosd: no wallet is unlocked; no unlocked wallet has the key, which is what it says of a locked one, too."""
UNLOCKED_ALREADY = 3120007
NO_WALLET = "no unlocked wallet has the key"

_Ask = tuple[str, bytes]
_Found = tuple[KeosdAnswer | None, str]
_Talk = Generator[_Ask, _Found, _Found]
"""Questions to keosd one after another; what is sent in is the answer, what it returns is the last one."""


class Wallet:
    """Signs with keosd's wallet, and unlocks it if need be. `state` is `ready`, or says what is wrong, for people."""

    def __init__(
        self, keosd: Keosd, name: str, password_file: Path | None, key: tuple[str, bytes], now: Callable[[], float]
    ) -> None:
        self._keosd = keosd
        self._name = name
        self._password_file = password_file
        self._key = key
        self._now = now
        self._unlock_from = self._look_from = 0.0
        self._looking = self._unlocking_now = False
        self._ours = ""  # as it was written last
        self.state = "not asked yet"

    def sign(self, digest: str, key: str, done: Done) -> None:
        """Have a digest signed; `done` hears keosd's answer, or why there is none."""
        self._drive(self._signing(json.dumps([digest, key]).encode()), self._now() + SIGN_S, done)

    def look(self) -> None:
        """See now and then whether the wallet has the key, and unlock it if not."""
        if self._looking or self._now() < self._look_from:
            return
        self._looking = True
        self._drive(self._having(), self._now() + SIGN_S, self._looked)

    def _looked(self, _answer: KeosdAnswer | None, why: str) -> None:
        self._looking = False
        if why:
            self.state = f"keosd gives no answer ({why})"
        self._look_from = self._now() + (LOOK_AGAIN_S if self.state == READY else UNLOCK_AGAIN_S)

    def _drive(self, talk: _Talk, due: float, done: Done) -> None:
        """Ask question after question until the talk is over; all of it within one deadline."""

        def go(answer: KeosdAnswer | None, why: str) -> None:
            try:
                target, body = talk.send((answer, why))
            except StopIteration as end:
                done(*end.value)
                return
            self._keosd.ask(target, body, max(0.0, due - self._now()), go)

        target, body = next(talk)
        self._keosd.ask(target, body, max(0.0, due - self._now()), go)

    def _signing(self, body: bytes) -> _Talk:
        found = yield SIGN, body
        unlock = None
        if _code(found[0]) in (LOCKED, NO_KEY) and self._may_unlock():
            unlock, _ = yield from self._unlocking()
            found = yield SIGN, body
        answer = found[0]
        if answer is not None and is_signature(answer):
            self.state = READY
            self._look_from = self._now() + LOOK_AGAIN_S
        elif answer is None:
            if self.state == READY:
                self._look_from = 0.0  # the agent of a leader has to hear of it now
        elif not self._unlocking_now:  # else another request is about to unlock the wallet, and tells
            self._refused(answer, unlock)
        return found

    def _refused(self, answer: KeosdAnswer, unlock: KeosdAnswer | None) -> None:
        """Note at once that keosd said no to a signature: a leader must not wait for the next look to hear of it.

        Where keosd has the key and yet signs nothing, a list of keys proves nothing, so the next look comes later.
        """
        was, locked = self.state, _code(answer) in (LOCKED, NO_KEY)
        if _code(unlock):
            self.state = f"keosd does not unlock wallet {self._name}: {_name(unlock)}"
        elif was == READY:
            self.state = NO_WALLET if locked else f"keosd refuses to sign: {_name(answer)}"
        if was == READY:
            self._look_from = self._now() + (UNLOCK_AGAIN_S if locked else LOOK_AGAIN_S)

    def _having(self) -> _Talk:
        found = yield "/v1/wallet/get_public_keys", b""
        if not self._in(found[0]) and self._may_unlock():
            last = yield from self._unlocking()
            found = yield "/v1/wallet/get_public_keys", b""
            if _code(last[0]) and not self._in(found[0]):
                self.state = f"keosd does not unlock wallet {self._name}: {_name(last[0])}"
                return found
        if found[0] is None:
            return found
        self.state = READY if self._in(found[0]) else "no unlocked wallet has the key"
        return found

    def _may_unlock(self) -> bool:
        if self._password_file is None or self._unlocking_now or self._now() < self._unlock_from:
            return False
        self._unlock_from = self._now() + UNLOCK_AGAIN_S
        return True

    def _unlocking(self) -> _Talk:
        """Open and unlock the wallet, one request at a time; none before `UNLOCK_AGAIN_S` since the last began."""
        self._unlocking_now = True
        found = yield from self._unlocked()
        self._unlocking_now = False
        return found

    def _unlocked(self) -> _Talk:
        """Open and unlock the wallet. The password is read each time, and is in no state, log or error."""
        found = yield "/v1/wallet/open", json.dumps(self._name).encode()
        if self._password_file is None or _code(found[0]):
            return found
        try:
            password = settings.password(self._password_file)
        except ValueError:
            return KeosdAnswer(500, b'{"error":{"code":1,"name":"the password file cannot be used"}}', keep=True), ""
        found = yield "/v1/wallet/unlock", json.dumps([self._name, password]).encode()
        return found

    def _in(self, answer: KeosdAnswer | None) -> bool:
        """Tell whether a list of public keys has ours, in either form."""
        try:
            listed = json.loads(answer.body) if answer is not None and answer.status == 200 else []
        except (ValueError, RecursionError):
            return False
        return isinstance(listed, list) and any(self.is_ours(each) for each in listed if isinstance(each, str))

    def is_ours(self, text: str) -> bool:
        """Tell whether a public key is the one that may sign, in whichever form it is written."""
        if text == self._ours:
            return True
        try:
            same = settings.key(text) == self._key
        except ValueError:
            return False
        if same:
            self._ours = text
        return same


def _error(answer: KeosdAnswer | None) -> dict[str, object]:
    """Return keosd's error in an answer, empty when there is none."""
    if answer is None or answer.status < 400:
        return {}
    try:
        found = json.loads(answer.body)
        error = found["error"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return {"code": 1, "name": f"status {answer.status}"}
    return error if isinstance(error, dict) else {"code": 1, "name": f"status {answer.status}"}


def _code(answer: KeosdAnswer | None) -> int:
    """Return the code of keosd's error, 0 when it is none; a wallet that is unlocked already is none."""
    code = _error(answer).get("code", 0)
    return code if isinstance(code, int) and code != UNLOCKED_ALREADY else 0


def _name(answer: KeosdAnswer | None) -> str:
    """Return the name of keosd's error, fit for a log; its details may repeat paths and are left out."""
    return "".join(each for each in str(_error(answer).get("name", ""))[:80] if each.isprintable())
