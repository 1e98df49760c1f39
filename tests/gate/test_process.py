"""The gate as a process, before a FAKE keosd: what it refuses, and what a closing proves (P1, R4)."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from agent.errors import GateError
from agent.gate.client import look
from agent.gate.wire import SIGN
from agent.host import page as pages
from agent.host.clock import boot_id, boot_ms
from agent.host.page import Page, Sign, identity
from agent.host.page_file import PageFile
from tests.support.gate_bench import LIMIT_S, OTHER_KEY, SIGNATURE, FakeKeosd, GateBench, answer, gate_on_fake

Pair = tuple[GateBench, FakeKeosd]
SIGNED = (201, SIGNATURE.decode().strip('"'))
WHO = identity("lab", "bp-a")


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    """A gate that runs, its page closed, and a FAKE keosd behind it."""
    with gate_on_fake(tmp_path) as both:
        yield both


def write(bench: GateBench, page: Page) -> None:
    """Put a page in place of what stands there, in the same file."""
    with bench.page.open("r+b") as file:
        file.write(pages.pack(page))


def open_page(**other: object) -> Page:
    """Return a page that permits, but for what is `other`."""
    good = Page(boot_id(), WHO, 1, Sign.OPEN, boot_ms() + 60_000, 1, 2)
    return replace(good, **other)  # type: ignore[arg-type] # the fields of a page, by name


def test_signs_while_the_permit_holds_and_not_before(pair: Pair) -> None:
    """Closed, then open, then expired: only in between a signature passes."""
    bench, _ = pair
    assert bench.ask() == (500, "the signing gate refused: closed")
    bench.open()
    assert bench.ask() == SIGNED
    bench.open(0)
    assert bench.ask() == (500, "the signing gate refused: expired")
    found = bench.hand.status(LIMIT_S)
    assert (found.signed, sum(found.latency)) == (1, 1)
    assert found.last_signature is not None
    assert found.refused["closed"] == found.refused["expired"] == 1


@pytest.mark.parametrize(
    ("reason", "page"),
    [
        ("other_boot", open_page(boot_id="01234567-89ab-cdef-0123-456789abcdef")),
        ("other_node", open_page(identity=identity("lab", "bp-b"))),
        ("torn", open_page(sequence=3)),
        ("damaged", open_page(until=boot_ms() + 10**9)),
    ],
)
def test_page_that_is_not_for_us_is_refused(pair: Pair, reason: str, page: Page) -> None:
    """A page of another boot or node, one that is being written, or one without an end permits nothing."""
    bench, keosd = pair
    write(bench, open_page())
    assert bench.ask() == SIGNED
    write(bench, page)
    assert bench.ask() == (500, f"the signing gate refused: {reason}")
    assert keosd.asked.count("/v1/wallet/sign_digest") == 1


def test_page_cut_short_is_refused(pair: Pair) -> None:
    """A file that is too short is no permit."""
    bench, _ = pair
    write(bench, open_page())
    os.truncate(bench.page, 40)
    assert bench.ask()[1].endswith("damaged")
    os.truncate(bench.page, pages.SIZE)  # for the hand, which has it mapped


def test_gate_lets_go_of_a_page_that_is_gone(pair: Pair) -> None:
    """Without a file there is no permit, and the gate says that it holds none; a new agent's page is locked (R4)."""
    bench, _ = pair
    bench.open()
    assert bench.ask() == SIGNED
    bench.page.unlink()
    assert bench.ask()[1].endswith("no_page")
    found = look(bench.control, LIMIT_S)
    assert (found.holds, found.refuses) == (False, "no_page")
    new = bench.new_hand()
    new.permit(2, boot_ms() + 60_000)
    bench.wait(lambda: bench.ask() == SIGNED)
    new.let_go()


def test_gate_lets_go_of_a_gone_page_though_nobody_asks_for_a_signature(pair: Pair) -> None:
    """An agent that starts beside such a gate is held by it: nobody has to start the gate again."""
    bench, _ = pair
    bench.page.unlink()
    new = bench.new_hand()
    bench.wait(lambda: new.status(LIMIT_S).holds)
    new.let_go()


@pytest.mark.parametrize("harm", ["unlink", "copy", "public", "truncate", "foreign"])
def test_agent_mends_a_page_that_was_taken_away_or_changed(pair: Pair, harm: str) -> None:
    """The agent's look at the gate makes the page anew with what it said, and signatures go on (P2)."""
    bench, _ = pair
    bench.open()
    assert bench.ask() == SIGNED
    match harm:
        case "unlink":
            bench.page.unlink()
        case "copy":
            copy = bench.page.with_suffix(".copy")
            copy.write_bytes(bench.page.read_bytes())
            copy.replace(bench.page)
        case "public":
            bench.page.chmod(0o666)
            assert bench.ask()[1].endswith("other_owner")
        case "truncate":
            os.truncate(bench.page, 0)
            bench.open()  # the next confirmation
        case "foreign":
            bench.page.unlink()
            bench.page.symlink_to("/dev/null")
    bench.wait(lambda: bench.hand.status(LIMIT_S).holds and not bench.hand.status(LIMIT_S).refuses)
    bench.wait(lambda: bench.ask() == SIGNED)
    assert bench.hand.close(LIMIT_S).how == "the gate said so"
    assert bench.ask()[1].endswith("closed")


def test_frozen_gate_with_a_former_page_is_no_proof(pair: Pair) -> None:
    """A gate that still holds the page which was taken away may hand out one more signature, so it is no proof (R4)."""
    bench, _ = pair
    bench.open()
    assert bench.ask() == SIGNED
    bench.process.freeze()
    bench.page.unlink()
    with pytest.raises(GateError, match="does not answer"):
        bench.hand.status(0.1)
    assert bench.page.exists()
    with pytest.raises(GateError, match="not proven closed"):
        bench.hand.close(0.2)
    bench.process.thaw()
    bench.wait(lambda: bench.hand.close(LIMIT_S).how == "the gate said so")


def test_page_that_cannot_be_made_anew_fails_the_look(pair: Pair) -> None:
    """Where something stands in the page's place the agent says so, instead of believing the gate."""
    bench, _ = pair
    bench.page.unlink()
    bench.page.mkdir()
    (bench.page / "x").touch()
    with pytest.raises(GateError, match="cannot be made anew"):
        bench.hand.status(LIMIT_S)
    (bench.page / "x").unlink()
    bench.page.rmdir()
    bench.wait(lambda: bench.hand.status(LIMIT_S).holds)


def test_page_that_others_may_write_is_refused(pair: Pair) -> None:
    """Only the agent's user writes permits."""
    bench, _ = pair
    bench.open()
    bench.page.chmod(0o660)
    assert bench.ask()[1].endswith("other_owner")


def test_page_of_another_user_is_refused(tmp_path: Path) -> None:
    """A page that another user than the agent's owns permits nothing, however good it looks."""
    with gate_on_fake(tmp_path, started=False, agent_user=str(os.geteuid() + 1)) as (bench, _):
        bench.open()
        bench.process.start()
        bench.wait(lambda: look(bench.control, 1.0))
        assert bench.ask()[1].endswith("other_owner")


def test_other_requests_are_refused_and_counted(pair: Pair) -> None:
    """Only POST sign_digest with our key passes; nothing else reaches keosd."""
    bench, keosd = pair
    bench.open()
    before = len(keosd.asked)
    line = bench.connect()
    assert bench.ask(OTHER_KEY, line)[1].endswith("key")
    for method, path, body, reason in (
        ("GET", "/v1/wallet/sign_digest", "", "method"),
        ("POST", "/v1/wallet/list_keys", '["default","x"]', "path"),
        ("POST", "/v1/wallet/sign_digest?", "", "path"),
        ("POST", "/v1/wallet/sign_digest", '{"a":1}', "body"),
        ("POST", "/v1/wallet/sign_digest", '["00","EOS"]', "body"),
        ("POST", "/v1/wallet/sign_digest", "[" * 900, "body"),
    ):
        line.request(method, path, body)
        found = line.getresponse()
        assert (found.status, reason in found.read().decode()) == (500, True)
    assert bench.refused("path") == 2
    assert bench.refused("body") == 3
    assert [each for each in keosd.asked[before:] if each != "/v1/wallet/get_public_keys"] == []
    assert bench.ask(connection=line) == SIGNED, "the connection is kept, also over refusals"
    line.close()


def test_connections_are_kept_on_both_sides(pair: Pair) -> None:
    """A signature costs no new connection, neither to the gate nor to keosd."""
    bench, keosd = pair
    bench.open()
    line = bench.connect()
    for _ in range(20):
        assert bench.ask(connection=line) == SIGNED
    assert keosd.connections <= 2
    line.close()


@contextmanager
def asked_meanwhile(bench: GateBench, keosd: FakeKeosd) -> Iterator[list[tuple[int, str]]]:
    """Have a signature asked for, which keosd has and gives after the block; yield where the answer comes."""
    found: list[tuple[int, str]] = []
    before = keosd.asked.count(SIGN)
    keosd.held.clear()
    asking = threading.Thread(target=lambda: found.append(bench.ask()))
    asking.start()
    bench.wait(lambda: keosd.asked.count(SIGN) > before)
    yield found
    keosd.held.set()
    asking.join(LIMIT_S)


def test_permit_that_ends_while_keosd_works_lets_no_signature_pass(pair: Pair) -> None:
    """The second check: what keosd signed meanwhile does not leave (P1)."""
    bench, keosd = pair
    bench.open(300)
    with asked_meanwhile(bench, keosd) as found:
        end = bench.hand.page.until
        bench.wait(lambda: boot_ms() > end)
    assert found == [(500, "the signing gate refused: expired")]
    assert bench.hand.status(LIMIT_S).signed == 0


def test_closing_is_proven_at_once_though_keosd_hangs(pair: Pair) -> None:
    """A request under way does not hold up the proof, and gets no signature after it (R4)."""
    bench, keosd = pair
    bench.open()
    assert bench.ask() == SIGNED
    with asked_meanwhile(bench, keosd) as found:
        proof = bench.hand.close(LIMIT_S)
        assert proof.how == "the gate said so"
        assert proof.quiet_since == bench.hand.status(LIMIT_S).last_signature
    assert found == [(500, "the signing gate refused: closed")]


def test_frozen_gate_proves_nothing(pair: Pair) -> None:
    """A gate that is stopped keeps its lock and gives no answer: an error in time, never a proof (R4)."""
    bench, _ = pair
    bench.open()
    bench.process.freeze()
    start = time.monotonic()
    with pytest.raises(GateError, match="not proven closed"):
        bench.hand.close(0.3)
    assert time.monotonic() - start < 5.0
    bench.process.thaw()
    assert bench.hand.close(LIMIT_S).how == "the gate said so"
    assert bench.ask()[1].endswith("closed")


def test_killed_gate_is_a_proof(pair: Pair) -> None:
    """When the lock is free no gate signs (R4), and one that starts later reads the closed page."""
    bench, _ = pair
    bench.open()
    bench.process.kill()
    assert bench.hand.close(LIMIT_S).how == "no gate runs"
    bench.start()
    assert bench.ask()[1].endswith("closed")
    bench.open(epoch=2)
    assert bench.ask() == SIGNED


def test_restarted_agent_costs_no_signature(pair: Pair) -> None:
    """The page stays while the agent is away, until its permit ends; the next one goes on with it."""
    bench, _ = pair
    bench.open()
    bench.hand.let_go()
    assert bench.ask() == SIGNED
    bench.hand = bench.new_hand()
    assert bench.ask() == SIGNED
    bench.open()
    assert bench.ask() == SIGNED


def test_second_gate_has_no_lock_and_signs_nothing(pair: Pair, tmp_path: Path) -> None:
    """Two gates of one page: the second refuses while the first lives."""
    bench, keosd = pair
    bench.open()
    other = tmp_path / "other"
    other.mkdir()
    second = GateBench(other, keosd.url)
    text = (other / "gate.toml").read_text().replace(f'dir = "{other}"', f'dir = "{tmp_path}"')
    (other / "gate.toml").write_text(text)
    try:
        second.process.start()
        second.wait(lambda: look(second.control, 1.0))
        assert second.ask()[1].endswith("no_lock")
        bench.process.kill()
        second.wait(lambda: second.ask() == SIGNED)
    finally:
        second.close()


def test_signature_that_is_none_is_not_handed_on(pair: Pair) -> None:
    """Of keosd's words only a signature passes."""
    bench, keosd = pair
    bench.open()
    for raw in (answer(201, b'{"keys":"5K"}'), answer(500, SIGNATURE), answer(201, b'"SIG_K1_0"')):
        keosd.raw = raw
        assert bench.ask()[1].endswith("keosd_error")
    for raw in (
        b"HTTP/1.1 201 Created\r\n\r\n",
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 201 X\r\nContent-Length: 999999\r\n\r\n",
    ):
        keosd.raw = raw
        assert bench.ask()[1].endswith("keosd_malformed")


def test_dead_and_hung_keosd_are_told_apart(pair: Pair) -> None:
    """Neither holds up the gate."""
    bench, keosd = pair
    bench.open()
    keosd.held.clear()
    assert bench.ask()[1].endswith("keosd_timeout")
    keosd.close()
    assert bench.ask()[1].endswith("keosd_unreachable")


def test_foreign_page_file_is_not_followed(tmp_path: Path) -> None:
    """A gate reads no page through a link."""
    with gate_on_fake(tmp_path, started=False) as (bench, _):
        bench.open()
        bench.page.rename(tmp_path / "real")
        bench.page.symlink_to(tmp_path / "real")
        bench.process.start()
        bench.wait(lambda: look(bench.control, 1.0))
        assert bench.ask()[1].endswith("no_page")


def test_page_of_a_former_agent_is_kept(tmp_path: Path) -> None:
    """An agent that starts reads what stands in the page, and writes nothing by it."""
    path = tmp_path / "a.permit"
    first = PageFile(path, boot_id(), WHO)
    first.write(open_page())
    before = path.read_bytes()
    again = PageFile(path, boot_id(), WHO)
    assert path.read_bytes() == before
    again.close()
    first.close()
