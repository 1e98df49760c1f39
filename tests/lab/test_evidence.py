"""Evidence: a slot that was signed twice is seen, whoever signed it; a log that is not understood is no proof."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.lab import evidence
from tests.lab.errors import LabError
from tests.lab.evidence import Header, Signature
from tests.lab.lab import Lab
from tests.lab.wait import until

LINE = (
    "info  2026-11-23T10:48:49.950 nodeos    producer_plugin.cpp:2672      produce_block        ] "
    "Produced block 493515c3ddac1703... #3 @ 2026-11-23T10:48:50.000 signed by eosio "
    "[trxs: 0, lib: 2, confirmed: 0, net: 0, cpu: 100, elapsed: 16, time: 401]\n"
)
OTHER = LINE.replace("#3", "#4").replace("10:48:50.000", "10:48:50.500").replace("493515c3", "330549683")


def signature(node: str, slot: int, block: str, producer: str = "eosio") -> Signature:
    """Return a signature of which only these matter."""
    return Signature(node, producer, slot, 7, block, 0.0)


def test_a_log_is_read_as_nodeos_writes_it(tmp_path: Path) -> None:
    """A line of nodeos gives node, producer, slot, number, id and time; other lines and a half written one nothing."""
    (tmp_path / "log").write_text("warn  something else\n" + LINE + OTHER[:-5])
    slot = (1795430930000 - 946684800000) // 500
    expected = [Signature("bp-a", "eosio", slot, 3, "493515c3ddac1703", 1795430929.95)]
    assert evidence.read_log("bp-a", tmp_path / "log") == expected


def test_a_log_set_aside_is_read_too(tmp_path: Path) -> None:
    """What stands in the log of an earlier start counts, and comes first."""
    (tmp_path / "log.1").write_text(LINE)
    (tmp_path / "log").write_text(OTHER)
    assert [each.num for each in evidence.read_log("bp-a", tmp_path / "log")] == [3, 4]


def test_a_log_that_is_not_understood_is_an_error(tmp_path: Path) -> None:
    """A block in an unknown form is an error, because silence would read as innocence."""
    (tmp_path / "log").write_text(LINE.replace(" @ ", " at "))
    with pytest.raises(LabError, match="not known"):
        evidence.read_log("bp-a", tmp_path / "log")


def test_each_way_to_sign_twice_is_seen() -> None:
    """Two nodes with one block, two nodes with two, one node with two: all are doubles, for their slot only."""
    same = [signature("bp-a", 1, "x"), signature("bp-b", 1, "x")]
    different = [signature("bp-a", 2, "x"), signature("bp-b", 2, "y")]
    alone = [signature("bp-a", 3, "x"), signature("bp-a", 3, "y")]
    innocent = [signature("bp-a", 4, "x"), signature("bp-b", 4, "y", producer="other"), signature("bp-b", 5, "x")]
    expected = {("eosio", 1): same, ("eosio", 2): different, ("eosio", 3): alone}
    assert evidence.doubles([*same, *different, *alone, *innocent]) == expected
    assert evidence.forks([*same, *different, *alone, *innocent]) == [("eosio", 2), ("eosio", 3)]


def test_gaps_are_counted_in_slots() -> None:
    """A gap is named by the block before it and the number of slots without a block."""
    chain = [Header(num, "", 500 * slot, "eosio") for num, slot in ((5, 10), (6, 11), (7, 15), (8, 16), (9, 18))]
    assert evidence.gaps(chain) == [(6, 3), (8, 1)]


def test_first_block_after_a_moment() -> None:
    """The first block of one node from a moment on, and None when there is none."""
    found = [
        Signature(node, "eosio", 0, num, "", wall) for num, (node, wall) in enumerate([("a", 1), ("b", 2), ("b", 3)])
    ]
    assert evidence.first_after(found, "b", 1.5) == found[1]
    assert evidence.first_after(found, "b", 2.5) == found[2]
    assert evidence.first_after(found, "a", 1.5) is None


@pytest.mark.real
def test_a_doubled_history_is_caught(tmp_path: Path) -> None:
    """Two nodes that both produce are found out within a few slots, by node and by block (P1); logs do not flood."""
    with Lab(tmp_path) as lab:
        chain = lab.chain(2, alone=["bp-b"])
        chain.observer.wait_blocks(2)
        assert chain.doubles() == {}
        chain.nodes["bp-b"].resume()
        until(lambda: len(chain.doubles()) >= 4 and evidence.forks(chain.signed()), 30.0, "doubles, and unlike blocks")
        found = chain.doubles()
        for slot, twice in found.items():
            assert {each.node for each in twice} == {"bp-a", "bp-b"}, slot
        assert not any("recv_handshake" in node.log.read_text() for node in chain.all), "nodeos's chatter is logged"
