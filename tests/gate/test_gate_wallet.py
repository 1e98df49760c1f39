"""The gate's wallet: when it notices that keosd gives no signature any more."""

from __future__ import annotations

import selectors

from agent.gate import settings
from agent.gate.keosd import Done, Keosd
from agent.gate.wallet import Wallet
from agent.gate.wire import Answer
from agent.lab.nodeos import PUBLIC_KEY


class Frozen(Keosd):
    """A keosd that answers until it is frozen; then every question ends without an answer."""

    frozen = False

    def ask(self, target: str, body: bytes, within_s: float, done: Done) -> None:
        """Answer at once."""
        keys = Answer(200, f'["{PUBLIC_KEY}"]'.encode(), keep=True)
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
