"""Leaders that sign nothing, on real parts: nodeos signs by a keosd that dies, or somebody pauses it (P2).

Without a gate nothing tells but the chain: nodeos answers as ever, and says that it is not paused. At the end of each
group no slot may have been signed twice (P1).
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agent.gate.wire import SIGN
from tests.e2e.test_switchover import away, history, wait_away
from tests.lab import evidence
from tests.lab.binaries import find_nodeos
from tests.lab.errors import LabError
from tests.lab.group import Group
from tests.lab.nodeos import PUBLIC_KEY
from tests.lab.wait import until
from tests.lab.wallet import Wallet

pytestmark = pytest.mark.real

KEOSD_S = 20.0
SHARED_S = 15.0
"""A lead that went round came to forty epochs in 60 s."""
IN_VAIN_S = 45.0
"""A round of four producers, until the verdict, and what a busy machine takes longer."""


@contextmanager
def by_keosd(root: Path, producers: int) -> Iterator[tuple[Group, dict[str, Wallet]]]:
    """Yield a settled group whose nodes each sign by a keosd of their own, without a gate."""
    with Group(root, producers=producers) as group:
        wallets: dict[str, Wallet] = {}
        try:
            for agent in group.agents.values():
                node = group.nodeos(agent)
                wallets[node.name] = wallet = Wallet(root / f"keosd-{node.name}", group.lab.ports.take(), find_nodeos())
                wallet.start()
                right = f"{PUBLIC_KEY}=KEY:"
                provider = f"{PUBLIC_KEY}=KEOSD:{wallet.url}{SIGN}"
                node.command = [provider if part.startswith(right) else part for part in node.command]
                node.command += ["--keosd-provider-timeout", "100"]
                group.chain.revive(node)  # with one producer the chain stands while its node is away
            group.start()
            yield group, wallets
        finally:
            for wallet in wallets.values():
                wallet.close()


def unlock(wallet: Wallet) -> None:
    """Bring a keosd back that was killed, as an operator does."""
    wallet.again()
    until(lambda: _unlocked(wallet), KEOSD_S, "keosd to be unlocked")


def _unlocked(wallet: Wallet) -> bool:
    try:
        return "nlocked" in wallet.cleos("wallet", "unlock", "--password", wallet.password_file.read_text())
    except LabError as error:
        return "Already unlocked" in str(error)  # an answer before was lost


def test_a_leader_that_signs_nothing_is_replaced(tmp_path: Path) -> None:
    """Four producers, no gate: one window is lost at most, the next is signed by the standby, and it is told."""
    with by_keosd(tmp_path, 4) as (group, wallets):
        leader, standby = group.leader, group.standby
        wait_away(group, 4.0, 60.0)
        head = group.chain.observer.head
        wallets[leader.node].process.kill()
        group.wait(f"{standby.node} to lead", lambda: standby.leads, IN_VAIN_S)
        assert away(group) > 1, "before the next window"
        group.wait_leads(standby, IN_VAIN_S)
        wait_away(group, 4.0, 60.0)
        assert evidence.slots_missed(group.chain.observer, head) <= 12
        assert "its blocks do not appear on the chain: none of its last 6 slots" in str(history(group)[-1]["reason"])
        assert "leader_in_vain" in leader.log.read_text()


def test_on_a_chain_of_one_producer_the_standby_leads_and_a_leader_alone_begins_anew(tmp_path: Path) -> None:
    """Six slots are enough there. Without a standby the leader tries again and says so, until keosd is back."""
    with by_keosd(tmp_path, 1) as (group, wallets):
        leader, standby = group.leader, group.standby
        head = group.chain.observer.head
        wallets[leader.node].process.kill()
        group.wait_leads(standby, IN_VAIN_S)
        assert evidence.slots_missed(group.chain.observer, head) <= 30
        leader.stop()
        wallets[standby.node].process.kill()
        group.wait("it to begin anew", lambda: "begins anew" in str(history(group)[-1]["reason"]), IN_VAIN_S)
        group.wait(
            "it to say so",
            lambda: any(key.startswith("in_vain/") for key in standby.status()["open_alerts"]),
        )
        group.wait("the check to fail", lambda: not standby.status()["checks"]["producing"]["ok"])
        unlock(wallets[standby.node])
        group.wait_leads(standby, IN_VAIN_S)
        group.wait("the check to pass", lambda: standby.status()["checks"]["producing"]["ok"])


def test_a_leader_alone_whose_nodeos_somebody_paused_resumes_it(group: Group) -> None:
    """With no standby nobody else would: it stops, releases, and leads again in an epoch of its own (P2)."""
    leader, epoch = group.leader, int(group.heartbeat()["epoch"])
    group.standby.stop()
    group.nodeos(leader).pause()
    group.wait("an epoch more", lambda: int(group.heartbeat()["epoch"]) > epoch)
    group.wait_leads(leader)
    assert "it signs nothing, and begins anew: nodeos is paused though this node leads" in str(
        history(group)[-1]["reason"]
    )


def test_a_fault_that_both_nodes_share_moves_the_lead_a_few_times_only(group: Group) -> None:
    """Both nodeos are paused again and again: the lead does not go round, and it is there when that ends (P2, P3)."""
    epoch = int(group.heartbeat()["epoch"])
    ends = time.monotonic() + SHARED_S
    while time.monotonic() < ends:  # the fault lasts so long; each tenure that the agents try meets it
        for agent in group.agents.values():
            group.nodeos(agent).pause()
        time.sleep(0.3)
    assert int(group.heartbeat()["epoch"]) - epoch <= 6
    group.wait("a leader that signs", lambda: any(agent.leads for agent in group.agents.values()), IN_VAIN_S)
