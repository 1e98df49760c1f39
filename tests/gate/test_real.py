"""The gate between a real nodeos and a real keosd: blocks are signed through it, and stop with the page."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from agent.host.clock import boot_ms
from tests.lab.binaries import find_nodeos
from tests.lab.gates import SigningGate
from tests.lab.lab import Lab
from tests.lab.measure.gate_speed import compare, table
from tests.lab.nodeos import PUBLIC_KEY
from tests.lab.ports import Ports
from tests.lab.wait import until
from tests.lab.wallet import Wallet
from tests.support.gate_bench import LIMIT_S, GateBench

pytestmark = pytest.mark.real
SLOT_S = 0.5


@pytest.fixture(scope="module")
def wallet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Wallet]:
    """A real keosd with the development key."""
    ports = Ports()
    found = Wallet(tmp_path_factory.mktemp("keosd") / "w", ports.take(), find_nodeos())
    found.start()
    yield found
    found.close()
    ports.close()


@pytest.fixture
def bench(wallet: Wallet, tmp_path: Path) -> Iterator[GateBench]:
    """A gate before it that may sign."""
    with closing(GateBench(tmp_path, wallet.url, password_file=str(wallet.password_file))) as found:
        found.start().open()
        yield found


def test_real_keosd_signs_through_the_gate(bench: GateBench) -> None:
    """A signature of a real keosd passes, and the gate knows that the key is there."""
    status, text = bench.ask()
    assert (status, text[:7]) == (201, "SIG_K1_")
    assert bench.hand.status(LIMIT_S).keosd == "ready"


def test_locked_wallet_is_unlocked_on_the_way(bench: GateBench, wallet: Wallet) -> None:
    """keosd says that it lacks the key when its wallet is locked: it is unlocked, and the same request is signed."""
    assert bench.ask()[0] == 201
    for _ in range(2):
        wallet.cleos("wallet", "lock_all")
        bench.wait(lambda: bench.ask()[0] == 201)
    assert bench.hand.status(LIMIT_S).keosd == "ready"


def test_restarted_keosd_is_unlocked_again(bench: GateBench, wallet: Wallet) -> None:
    """A keosd that was killed and started again knows no wallet: it is opened and unlocked without a word."""
    assert bench.ask()[0] == 201
    wallet.process.kill()
    assert bench.ask()[1].endswith("keosd_unreachable")
    wallet.again()
    bench.wait(lambda: bench.ask()[0] == 201)


def test_password_shows_nowhere(bench: GateBench, wallet: Wallet) -> None:
    """Neither arguments, environment, log nor status repeat the wallet's password."""
    password = wallet.password_file.read_text().strip()
    wallet.cleos("wallet", "lock_all")
    bench.wait(lambda: bench.ask()[0] == 201)
    proc = Path(f"/proc/{bench.process.pid}")
    seen = [proc / "cmdline", proc / "environ", bench.process.log]
    assert password
    for each in seen:
        assert password.encode() not in each.read_bytes()
    assert password not in str(bench.hand.status(LIMIT_S))


@contextmanager
def wrong_password(wallet: Wallet, root: Path) -> Iterator[GateBench]:
    """Run an open gate that has another password than the wallet's."""
    wrong = root / "wrong"
    wrong.touch(0o600)
    wrong.write_text("PW5wrong")
    with closing(GateBench(root, wallet.url, password_file=str(wrong))) as bench:
        bench.start().open()
        yield bench


def test_wrong_password_is_told_and_not_repeated(wallet: Wallet, tmp_path: Path) -> None:
    """A wallet that cannot be unlocked shows in the status, by keosd's word for it."""
    wallet.cleos("wallet", "lock_all")
    with wrong_password(wallet, tmp_path) as bench:
        bench.wait(lambda: "wallet_invalid_password_exception" in bench.hand.status(LIMIT_S).keosd)
        assert bench.ask()[1].endswith("keosd_error")
        assert b"PW5wrong" not in bench.process.log.read_bytes()


def test_locked_wallet_shows_with_the_first_signature_that_keosd_refuses(wallet: Wallet, tmp_path: Path) -> None:
    """A leader's agent hears of it at its next look, not after the gate's own look at a wallet that was well (P2)."""
    wallet.cleos("wallet", "lock_all")
    wallet.cleos("wallet", "unlock", "--password", wallet.password_file.read_text().strip())
    with wrong_password(wallet, tmp_path) as bench:
        assert bench.ask()[0] == 201
        assert bench.hand.status(LIMIT_S).keosd == "ready"
        wallet.cleos("wallet", "lock_all")
        assert bench.ask()[1].endswith("keosd_error")
        assert "wallet_invalid_password_exception" in bench.hand.status(LIMIT_S).keosd


def test_real_nodeos_stops_with_the_very_block(tmp_path: Path) -> None:
    """Blocks are signed through the gate; a closed page is the end of them, though nodeos is resumed (P1, R4)."""
    with Lab(tmp_path) as lab:
        chain = lab.chain(1, gate=True, load=False)
        node, gate = chain.nodes["bp-a"], chain.gates["bp-a"]
        chain.observer.wait_blocks(3)
        hand = gate.new_hand()
        proof = hand.close(LIMIT_S)
        assert proof.how == "the gate said so"
        signed = hand.status(LIMIT_S).signed
        head = node.head
        node.resume()
        until(lambda: hand.status(LIMIT_S).refused["closed"] > 3, LIMIT_S, "nodeos to ask in vain")
        time.sleep(2 * SLOT_S)  # two slots in which it would have produced
        assert (hand.status(LIMIT_S).signed, node.paused) == (signed, False)
        assert node.head <= head + 1, "at most the block whose signature had left already"
        hand.permit(2, boot_ms() + 60_000)
        chain.observer.wait_blocks(2)
        gate.process.kill()
        assert hand.close(LIMIT_S).how == "no gate runs"
        head = node.head
        time.sleep(2 * SLOT_S)
        assert node.head <= head + 1
        gate.begin()
        hand.permit(3, boot_ms() + 60_000)
        chain.observer.wait_blocks(1)
        hand.let_go()


def test_speed_is_measured(tmp_path: Path) -> None:
    """The command measures both ways on real parts, and the gate keeps what it is measured by in sight."""
    ports = Ports()
    gate = SigningGate(tmp_path / "gate", ("lab", "bp-a"), tmp_path / "run", ports, find_nodeos())
    try:
        gate.start()
        gate.open()
        found = compare(gate, "some host", 30)
    finally:
        gate.close()
        ports.close()
    assert "| some host | through the gate | 30 |" in table(found)
    assert statistics.median(found[1].milliseconds) < 100
    assert PUBLIC_KEY in gate.provider
