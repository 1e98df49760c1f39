"""Chaos with signing gates: what its judge catches besides, what its plan has, and the proxy that swallows a pause."""

from __future__ import annotations

import http.client
import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.chaos.checker import check
from tests.lab.chaos.histories import at, change, done, history, signature
from tests.lab.chaos.history import History, Span
from tests.lab.chaos.kinds import GATED, PLAIN, TOGETHER
from tests.lab.chaos.late import APPLIED
from tests.lab.chaos.liar import IS_PAUSED, PAUSE, Liar
from tests.lab.chaos.plan import Plan, make_plan
from tests.lab.chaos.report import report
from tests.lab.errors import LabError
from tests.lab.gates import refusals
from tests.lab.nodeos import ApiError, Node, NodeSpec
from tests.lab.ports import Ports

HOSTS = ("bp-a", "bp-b", "bp-c")


def plan(seed: int, faults: int = 300) -> Plan:
    """Return a plan for three hosts whose nodes sign through gates."""
    return make_plan(seed, faults, HOSTS, gate=True)


def changed_hands() -> History:
    """Return a history of nodes with gates in which bp-a signs 20 slots, then bp-b is elected and signs the rest."""
    found = history()
    found.gate = True
    found.signatures = [signature("bp-a" if slot < 20 else "bp-b", slot) for slot in range(40)]
    found.changes = [
        change("bp-a", -2, "elected", "elected", 1),
        change("bp-a", -1, "leading", "leads", 1),
        change("bp-b", 19.5, "elected", "elected", 2),
        change("bp-b", 19.6, "leading", "leads", 2),
    ]
    return found


# --- the judge ---


def test_a_change_of_leader_is_nothing_to_tell() -> None:
    """Who signs after his own election signs rightly, also when he is elected again."""
    found = changed_hands()
    assert check(found).violations == ()
    found.changes.append(change("bp-a", 39.2, "elected", "elected", 3))
    found.signatures.append(signature("bp-a", 40))
    assert check(found).late == ()


def test_with_gates_nobody_is_excused_by_not_being_governed() -> None:
    """P1: what a nodeos signs that was resumed by hand counts as anybody's, for its gate had to refuse it."""
    found = changed_hands()
    found.signatures.append(signature("bp-a", 25, "ff"))
    found.ungoverned.append(Span("bp-a", at(24), at(27)))
    assert any("was signed twice" in each for each in check(found).violations)


def test_a_stale_block_is_caught_though_nobody_else_has_its_slot() -> None:
    """P1: a nodeos that thaws and signs the block that it had open breaks the promise of its gate."""
    found = changed_hands()
    found.signatures = [each for each in found.signatures if each != signature("bp-a", 19)]
    stale = signature("bp-a", 19)
    found.signatures.append(type(stale)(stale.node, stale.producer, stale.slot, stale.num, stale.id, at(30)))
    found.done.append(done("parts-frozen", "bp-a", 18.5, 30))
    object.__setattr__(found.done[0].fault, "choice", "nodeos+agent+guard")
    verdict = check(found)
    assert [violation.startswith("STALE: bp-a signed block 119") for violation in verdict.violations] == [True]
    assert [(thaw.node, thaw.stale) for thaw in verdict.thaws] == [("bp-a", 1)]
    assert "blocks that it signed when it thawed: 1" in report(plan(7, 1), found, verdict)


def test_a_nodeos_that_thaws_and_signs_nothing_is_counted_as_such() -> None:
    """It was frozen while it signed, another one was elected, and it signed nothing: so many, with no stale block."""
    found = changed_hands()
    found.done += [done("nodeos-frozen", "bp-a", 19.4, 30), done("nodeos-frozen", "bp-b", 19.4, 30, 2)]
    found.done.append(done("parts-frozen", "bp-a", 19.4, 30, 3))
    assert [(thaw.number, thaw.stale) for thaw in check(found).thaws] == [(1, 0)]


@pytest.mark.parametrize(("seconds", "broken"), [(APPLIED - 0.2, 0), (APPLIED + 0.2, 1)])
def test_a_signature_that_left_before_may_still_become_a_block(seconds: float, broken: int) -> None:
    """nodeos takes a moment to apply and log a block whose signature left the gate before it was closed."""
    found = changed_hands()
    last = found.signatures.pop(19)
    elected = at(0) + 19.5 / 2
    found.signatures.append(type(last)(last.node, last.producer, last.slot, last.num, last.id, elected + seconds))
    verdict = check(found)
    assert len(verdict.violations) == broken
    assert [each.seconds for each in verdict.late] == [pytest.approx(seconds, abs=0.001)]


def test_without_gates_a_late_signature_is_not_judged() -> None:
    """Without a gate nothing keeps a frozen nodeos from its open block: the slots alone are judged there."""
    found = changed_hands()
    found.gate = False
    found.signatures.append(signature("bp-a", 41))
    assert check(found).late == ()


# --- the plan ---


def test_plan_with_gates_has_every_kind_and_every_combination() -> None:
    """Eight hundred faults freeze and kill each part of a host, and all that stand together in TOGETHER."""
    faults = list(itertools.chain(*plan(7, 800).rounds))
    assert {fault.kind for fault in faults} >= set(GATED) - set(PLAIN)
    assert {fault.choice for fault in faults if fault.kind.startswith("parts-")} == set(TOGETHER)


# --- the parts of the lab ---


class Quiet(Node):
    """A node that notes what it is asked, without a process."""

    def __init__(self, root: Path) -> None:
        super().__init__(NodeSpec("bp-a", 1, 2), root, None)
        self.asked: list[str] = []

    def ask(self, path: str, body: bytes = b"", limit: float = 5.0) -> tuple[int, bytes]:
        """Answer everything but get_info."""
        self.asked.append(path)
        if path.endswith("get_info"):
            raise ApiError("gone")
        return 201, b"false"


@pytest.fixture
def liar(tmp_path: Path) -> Iterator[Liar]:
    """A proxy before a node."""
    ports = Ports()
    found = Liar(Quiet(tmp_path), ports.take())
    yield found
    found.close()
    ports.close()


def ask(liar: Liar, path: str) -> tuple[int, str, bytes]:
    """Return status, who answers, and what."""
    connection = http.client.HTTPConnection(liar.url.removeprefix("http://"), timeout=5)
    try:
        connection.request("POST", path, b"{}")
        answer = connection.getresponse()
        return answer.status, answer.getheader("Server", ""), answer.read()
    finally:
        connection.close()


def test_a_swallowed_pause_is_answered_and_says_by_whom(liar: Liar, tmp_path: Path) -> None:
    """A lie reaches no nodeos, and names the proxy; before and after it everything is passed on."""
    assert ask(liar, PAUSE)[2] == b"false"
    liar.lie("unpaused")
    status, server, body = ask(liar, PAUSE)
    assert (status, body) == (201, b'{"result": "ok"}')
    assert "lab" in server
    assert ask(liar, IS_PAUSED)[2] == b"false"
    liar.lie("paused")
    assert ask(liar, IS_PAUSED)[2] == b"true"
    liar.lie("")
    assert ask(liar, IS_PAUSED)[2] == b"false"
    assert liar.swallowed == 1
    with pytest.raises(LabError, match="sometimes"):
        liar.lie("sometimes")


def test_refusals_are_counted_from_the_log(tmp_path: Path) -> None:
    """Counts of one reason are summed, whatever else stands in the line."""
    log = tmp_path / "gate.log"
    assert not refusals(log)
    log.write_text("gate: refused 1 x closed\ngate: keosd: ready; refused 3 x closed; refused 2 x key: more\n")
    assert refusals(log) == {"closed": 4, "key": 2}
