"""What `doctor` says of the peers: the way between members is really tried, and nothing of it is a fault (R17)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent.doctor.finding import Grade
from agent.doctor.peers import PeerFacts, check
from tests.doctor.parts import WELL as EVERYTHING
from tests.doctor.parts import config

WELL = EVERYTHING.peers


def said(facts: PeerFacts) -> dict[str, tuple[Grade, str]]:
    """Return grade and text by the name of the check."""
    return {each.name: (each.verdict, each.seen) for each in check(facts, config())}


def test_a_group_whose_datagrams_arrive_is_well() -> None:
    """Key, id, way and etcd's leader: all ok."""
    assert {grade for grade, _ in said(WELL).values()} == {Grade.OK}
    assert said(WELL).keys() == {"peers_host_id", "peers_key", "peers_path", "peers_etcd_leader"}


@pytest.mark.parametrize(
    ("facts", "name", "grade", "words"),
    [
        (replace(WELL, reached={"bp-b": False}), "peers_path", Grade.WARN, "bp-b (10.0.0.2:9878)"),
        (replace(WELL, members={"bp-a": "", "bp-b": "x"}), "peers_path", Grade.WARN, "bp-a told no address"),
        (replace(WELL, reached={}), "peers_path", Grade.UNKNOWN, "no other member"),
        (replace(WELL, key_good=False), "peers_key", Grade.WARN, "holds no key"),
        (replace(WELL, key_there=False), "peers_key", Grade.UNKNOWN, "no key yet"),
        (replace(WELL, beside=("bp-b",)), "peers_etcd_leader", Grade.WARN, "beside bp-b"),
        (replace(WELL, beside=("bp-a",)), "peers_etcd_leader", Grade.OK, "no other member"),
        (replace(WELL, no_host_id="read-only"), "peers_host_id", Grade.WARN, "read-only"),
        (replace(WELL, error="no quorum"), "peers", Grade.UNKNOWN, "no quorum"),
    ],
)
def test_what_is_not_well_is_told_by_name(facts: PeerFacts, name: str, grade: Grade, words: str) -> None:
    """Each names the member or the setting; none makes the command fail."""
    found = said(facts)
    assert found[name][0] is grade
    assert words in found[name][1]
    assert Grade.FAULT not in {each for each, _ in found.values()}


def test_without_peers_nothing_is_tried() -> None:
    """Off is a choice."""
    (found,) = check(PeerFacts(), config(peers={"mode": "off"}))
    assert found.verdict is Grade.SKIPPED
