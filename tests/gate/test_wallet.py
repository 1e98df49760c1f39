"""The gate's wallet: when it notices that keosd gives no signature any more."""

from __future__ import annotations

import json
import selectors
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent.gate import settings
from agent.gate.keosd import Done, Keosd
from agent.gate.wallet import UNLOCK_AGAIN_S, Wallet
from agent.gate.wire import SIGN, KeosdAnswer
from tests.lab.nodeos import PUBLIC_KEY
from tests.support.gate_bench import SIGNATURE


class Frozen(Keosd):
    """A keosd that answers until it is frozen; then every question ends without an answer."""

    frozen = False

    def ask(self, target: str, body: bytes, within_s: float, done: Done) -> None:
        """Answer at once."""
        keys = KeosdAnswer(200, f'["{PUBLIC_KEY}"]'.encode(), keep=True)
        done(None, "keosd_timeout") if self.frozen else done(keys, "")


def test_a_keosd_that_gives_no_signature_is_looked_at_at_once() -> None:
    """A leader whose keosd hangs is to hear of it with the first signature that fails, not with the next look (P2)."""
    now = [100.0]
    with selectors.DefaultSelector() as selector:
        keosd = Frozen(selector, settings.address("http://127.0.0.1:1"), lambda: now[0])
        wallet = Wallet(keosd, "default", None, settings.key(PUBLIC_KEY), lambda: now[0])
        wallet.look()
        assert wallet.state == "ready"
        keosd.frozen = True
        now[0] += 0.5
        wallet.look()
        assert wallet.state == "ready", "nothing tells yet"
        wallet.sign("00" * 32, PUBLIC_KEY, lambda _answer, _why: None)
        wallet.look()
        assert wallet.state == "keosd gives no answer (keosd_timeout)"


def refusal(code: int, name: str) -> KeosdAnswer:
    """Return a no as keosd words it."""
    return KeosdAnswer(500, json.dumps({"error": {"code": code, "name": name}}).encode(), keep=True)


class Locked(Keosd):
    """A keosd whose wallet is locked and whose password is another one; `held` answers come when they are let go."""

    locked, hold = True, False
    takes: Callable[[], None] = staticmethod(lambda: None)
    asked: tuple[str, ...] = ()
    spans: tuple[float, ...] = ()
    later: Callable[[], None]

    def ask(self, target: str, body: bytes, within_s: float, done: Done) -> None:
        """Answer at once, or when the test says so."""
        self.asked, self.spans = (*self.asked, target), (*self.spans, within_s)
        self.takes()
        found = KeosdAnswer(200, b"{}", keep=True)
        if target.endswith("/unlock") and self.locked:
            found = refusal(3120005, "wallet_invalid_password_exception")
        elif target == SIGN or target.endswith("keys"):
            keys = f'["{PUBLIC_KEY}"]'.encode()
            well = KeosdAnswer(201, SIGNATURE, keep=True) if target == SIGN else KeosdAnswer(200, keys, keep=True)
            found = refusal(3120003, "wallet_locked_exception") if self.locked else well
        if self.hold and target.endswith("/unlock"):
            self.later = lambda: done(found, "")
        else:
            done(found, "")


@pytest.fixture
def locked(tmp_path: Path) -> Iterator[tuple[Wallet, Locked, list[float]]]:
    """A wallet that was ready when keosd locked it, with a password that is wrong now."""
    now = [100.0]
    password = tmp_path / "password"
    password.touch(0o600)
    password.write_text("PW5wrong")
    with selectors.DefaultSelector() as selector:
        keosd = Locked(selector, settings.address("http://127.0.0.1:1"), lambda: now[0])
        wallet = Wallet(keosd, "default", password, settings.key(PUBLIC_KEY), lambda: now[0])
        keosd.locked = False
        wallet.look()
        assert wallet.state == "ready"
        keosd.locked = True
        yield wallet, keosd, now


def test_a_no_is_known_with_the_signature_it_was_said_to(locked: tuple[Wallet, Locked, list[float]]) -> None:
    """A wallet that cannot be unlocked shows as such with the first refused signature, not with the next look (P2)."""
    wallet, _keosd, _now = locked
    wallet.sign("00" * 32, PUBLIC_KEY, lambda _answer, _why: None)
    assert wallet.state == "keosd does not unlock wallet default: wallet_invalid_password_exception"


def test_ten_refused_requests_in_a_second_give_one_unlock(locked: tuple[Wallet, Locked, list[float]]) -> None:
    """Unlocking is dear for keosd and is bounded, whoever asks how often; it goes on being tried."""
    wallet, keosd, now = locked
    for number in range(10):
        now[0] = 100.0 + number * UNLOCK_AGAIN_S / 10
        wallet.sign("00" * 32, PUBLIC_KEY, lambda _answer, _why: None)
        wallet.look()
    assert sum(each.endswith("/unlock") for each in keosd.asked) == 1
    now[0] = 100.0 + UNLOCK_AGAIN_S
    keosd.locked = False
    wallet.look()
    assert wallet.state == "ready"


def test_a_mended_wallet_signs_again_within_a_second(locked: tuple[Wallet, Locked, list[float]]) -> None:
    """A password that was corrected is used at the next try, a second after the last one, and not in two (P2)."""
    wallet, keosd, now = locked
    wallet.sign("00" * 32, PUBLIC_KEY, lambda _answer, _why: None)
    keosd.locked = False
    for tenths in range(1, 11):
        now[0] = 100.0 + tenths / 10
        wallet.look()
    assert wallet.state == "ready"


def test_a_wallet_that_is_ready_is_looked_at_every_five_seconds(locked: tuple[Wallet, Locked, list[float]]) -> None:
    """One that somebody else locks is noticed by then, and keosd is not asked ten times a second."""
    wallet, keosd, now = locked
    keosd.locked, keosd.asked = False, ()
    for tenths in range(1, 200):
        now[0] = 100.0 + tenths / 10
        wallet.look()
    assert len(keosd.asked) == 3


def test_all_questions_for_a_signature_have_one_deadline(locked: tuple[Wallet, Locked, list[float]]) -> None:
    """The request, open, unlock, and the second try: each is given what those before it have left of 0.5 s."""
    wallet, keosd, now = locked

    def takes() -> None:
        now[0] += 0.15

    keosd.takes = takes

    def sign() -> None:
        wallet.sign("00" * 32, PUBLIC_KEY, lambda _answer, _why: None)

    for call in (sign, wallet.look):
        before = len(keosd.asked)
        call()
        assert keosd.asked[before + 1 : before + 3] == ("/v1/wallet/open", "/v1/wallet/unlock")
        assert list(keosd.spans[before:]) == [pytest.approx(each) for each in (0.5, 0.35, 0.2, 0.05)]
        now[0] += 10 * UNLOCK_AGAIN_S


def test_a_request_beside_an_unlock_tells_no_fault(locked: tuple[Wallet, Locked, list[float]]) -> None:
    """While one request unlocks the wallet another is refused, and that is no sign of a wallet that stays locked."""
    wallet, keosd, now = locked
    keosd.hold = True
    wallet.sign("00" * 32, PUBLIC_KEY, lambda _answer, _why: None)
    now[0] += 2 * UNLOCK_AGAIN_S
    wallet.sign("00" * 32, PUBLIC_KEY, lambda _answer, _why: None)
    assert wallet.state == "ready"
    assert sum(each.endswith("/unlock") for each in keosd.asked) == 1
    keosd.later()
    assert wallet.state == "keosd does not unlock wallet default: wallet_invalid_password_exception"


def test_a_refusal_of_a_wallet_with_the_key_is_not_undone_by_a_list_of_keys(tmp_path: Path) -> None:
    """keosd that has the key and yet signs nothing is no wallet that is ready."""
    now = [100.0]
    with selectors.DefaultSelector() as selector:
        keosd = Broken(selector, settings.address("http://127.0.0.1:1"), lambda: now[0])
        wallet = Wallet(keosd, "default", None, settings.key(PUBLIC_KEY), lambda: now[0])
        wallet.look()
        wallet.sign("00" * 32, PUBLIC_KEY, lambda _answer, _why: None)
        for _ in range(10):
            now[0] += 0.1
            wallet.look()
        assert wallet.state == "keosd refuses to sign: disk_full"


class Broken(Frozen):
    """A keosd that lists its keys and signs nothing."""

    def ask(self, target: str, body: bytes, within_s: float, done: Done) -> None:
        """Refuse each signature."""
        if target == SIGN:
            done(refusal(3120099, "disk_full"), "")
        else:
            super().ask(target, body, within_s, done)


@pytest.mark.parametrize(
    "keys",
    [
        KeosdAnswer(200, b"{", keep=True),
        KeosdAnswer(200, b'{"keys":[]}', keep=True),
        KeosdAnswer(200, b"[1,null]", keep=True),
        KeosdAnswer(200, b'["EOS7nonsense"]', keep=True),
        KeosdAnswer(404, f'["{PUBLIC_KEY}"]'.encode(), keep=True),
    ],
)
def test_a_list_that_does_not_have_the_key_for_sure_is_no_ready_wallet(keys: KeosdAnswer) -> None:
    """Whatever else keosd says to the question for its keys."""
    with selectors.DefaultSelector() as selector:
        keosd = Saying(selector, settings.address("http://127.0.0.1:1"), lambda: 100.0)
        keosd.says = keys
        wallet = Wallet(keosd, "default", None, settings.key(PUBLIC_KEY), lambda: 100.0)
        wallet.look()
        assert wallet.state == "no unlocked wallet has the key"


class Saying(Keosd):
    """A keosd that says one thing."""

    says: KeosdAnswer

    def ask(self, target: str, body: bytes, within_s: float, done: Done) -> None:
        """Say it."""
        done(self.says, "")


def test_a_wallet_that_is_unlocked_already_is_no_failure(locked: tuple[Wallet, Locked, list[float]]) -> None:
    """Another program may have unlocked it: then what is wrong is that the key is not in it, and that is told."""
    wallet, keosd, _now = locked
    talk = keosd.ask

    def ask(target: str, body: bytes, within_s: float, done: Done) -> None:
        if target.endswith("/unlock"):
            done(refusal(3120007, "wallet_unlocked_exception"), "")
        else:
            talk(target, body, within_s, done)

    keosd.ask = ask  # type: ignore[method-assign] # another answer
    wallet.sign("00" * 32, PUBLIC_KEY, lambda _answer, _why: None)
    assert wallet.state == "no unlocked wallet has the key"
