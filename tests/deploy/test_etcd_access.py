"""deploy/etcd/access.sh and certificates.sh on a real etcd: agents can do their work with them, and nothing else."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from agent.core.model.keys import keys
from tests.lab.etcd import EtcdCluster, EtcdctlError
from tests.lab.lab import GROUP, Lab
from tests.lab.tls import Certificates
from tests.lab.wait import until

pytestmark = pytest.mark.real

SCRIPTS = Path(__file__).resolve().parents[2] / "deploy" / "etcd"
ROOT = f"/nodeos-failover/{GROUP}/"
TOKEN_TTL_S = 2
AGENT_KEYS = (
    "leader",
    "heartbeat",
    "switchover",
    "answer",
    "format",
    "peers-key",
    "members/bp-a",
    "history/7",
    "ledger/12",
)
OPERATOR_KEYS = ("override", "maintenance", "drain/bp-a")


@dataclass
class Guarded:
    """An etcd with the users of one group, on which authentication is on."""

    lab: Lab
    etcd: EtcdCluster
    passwords: Path

    def password(self, user: str) -> str:
        """Return the password that access.sh made."""
        return (self.passwords / user).read_text()

    def as_user(self, user: str, *arguments: str) -> str:
        """Run etcdctl as `user`. EtcdctlError with etcd's words when it is refused."""
        env = {"PATH": os.environ["PATH"], "ETCDCTL_API": "3", "ETCDCTL_ENDPOINTS": self.etcd.urls[0]}
        env |= {"ETCDCTL_USER": user, "ETCDCTL_PASSWORD": self.password(user)}
        done = subprocess.run(
            [self.etcd.binaries.etcdctl, *arguments], env=env, capture_output=True, text=True, timeout=10.0
        )
        if done.returncode:
            raise EtcdctlError(done.stderr)
        return done.stdout


def run_script(etcd: EtcdCluster, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Run access.sh as an operator does, with the etcdctl of this etcd on PATH."""
    env = {"PATH": f"{etcd.binaries.etcdctl.parent}:{os.environ['PATH']}", "ETCDCTL_ENDPOINTS": etcd.urls[0]}
    command = [SCRIPTS / "access.sh", *arguments]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=30.0)


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """Run an etcd that forgets idle tokens after TOKEN_TTL_S, with two agents and an operator of the lab's group."""
    root = tmp_path_factory.mktemp("access")
    with Lab(root) as lab:
        etcd = lab.etcd(1, more=(f"--auth-token-ttl={TOKEN_TTL_S}",))
        passwords = root / "passwords"
        names = ("--agent", "bp-a", "--agent", "bp-b", "--operator", "ops")
        for _ in range(2):  # the second run changes nothing
            done = run_script(etcd, GROUP, *names, "--password-dir", passwords)
            assert done.returncode == 0, done.stderr
        (passwords / "root").write_text("of-the-test")
        etcd.etcdctl("user", "add", "root", "--interactive=false", stdin="of-the-test\n")
        etcd.etcdctl("role", "add", "root")
        etcd.etcdctl("user", "grant-role", "root", "root")
        etcd.etcdctl("auth", "enable")
        etcd._root_password = "of-the-test"
        yield Guarded(lab, etcd, passwords)


def test_passwords_are_for_their_owner_alone(guarded: Guarded) -> None:
    """A password that access.sh makes is long, in a file of mode 0600, and differs from user to user."""
    made = {name: guarded.passwords / name for name in ("bp-a", "bp-b", "ops")}
    assert {path.stat().st_mode & 0o777 for path in made.values()} == {0o600}
    assert len({path.read_text() for path in made.values()}) == 3
    assert all(len(path.read_text()) == 48 for path in made.values())


def test_every_key_is_somebodys() -> None:
    """Each key that the program knows is written by agents or by operators: a new one has to be granted."""
    names = keys("/nodeos-failover", GROUP)
    given = {"member": "bp-a", "drain": "bp-a", "history": 7, "ledger": 12}
    found = set()
    for name in (name for name in dir(names) if not name.startswith("_") and name != "root"):
        value = getattr(names, name)
        found.add((value(given[name]) if callable(value) else value).removeprefix(names.root))
    assert found == {*AGENT_KEYS, *OPERATOR_KEYS}


@pytest.mark.parametrize("key", AGENT_KEYS)
def test_agent_writes_its_keys(guarded: Guarded, key: str) -> None:
    """An agent's user may put and delete what an agent writes."""
    guarded.as_user("bp-a", "put", ROOT + key, "x")
    assert guarded.as_user("bp-b", "get", ROOT + key, "--print-value-only").strip() == "x"
    guarded.as_user("bp-a", "del", ROOT + key)


@pytest.mark.parametrize("key", OPERATOR_KEYS)
def test_agent_only_reads_the_operators_words(guarded: Guarded, key: str) -> None:
    """A stolen agent's password does not override anything; an operator's does, and the agent reads it."""
    with pytest.raises(EtcdctlError, match="permission denied"):
        guarded.as_user("bp-a", "put", ROOT + key, "none")
    guarded.as_user("ops", "put", ROOT + key, "why")
    assert guarded.as_user("bp-a", "get", ROOT + key, "--print-value-only").strip() == "why"
    guarded.as_user("ops", "del", ROOT + key)


@pytest.mark.parametrize(
    "arguments",
    [
        ("get", "/nodeos-failover/other/leader"),
        ("put", "/nodeos-failover/other/leader", "bp-a"),
        ("put", f"/nodeos-failover/{GROUP}", "x"),
        ("get", "", "--from-key"),
        ("del", "--prefix", "/nodeos-failover/"),
        ("user", "list"),
        ("role", "grant-permission", f"nodeos-failover-{GROUP}-agent", "readwrite", "", "--prefix"),
        ("auth", "disable"),
    ],
)
@pytest.mark.parametrize("user", ["bp-a", "ops"])
def test_nothing_outside_the_group(guarded: Guarded, user: str, arguments: tuple[str, ...]) -> None:
    """Neither user reads or writes another group, nor anything of etcd's own."""
    with pytest.raises(EtcdctlError, match="permission denied"):
        guarded.as_user(user, *arguments)


def heartbeat(etcd: EtcdCluster) -> dict[str, Any]:
    """Return what stands in the key heartbeat."""
    found: dict[str, Any] = json.loads(etcd.etcdctl("get", ROOT + "heartbeat", "--print-value-only"))
    return found


def with_passwords(guarded: Guarded) -> list[dict[str, str]]:
    """Return what each agent shows to etcd."""
    return [{"user": user, "password_file": str(guarded.passwords / user)} for user in ("bp-a", "bp-b")]


def lead_without_a_loss(lab: Lab, etcd: EtcdCluster, shown: list[dict[str, str]], seconds: float) -> None:
    """Run two agents, each with its own user, until the leader has confirmed itself for `seconds` in one epoch."""
    chain = lab.chain(2, simulated=True)
    agents = [lab.agent(node, etcd, etcd=own) for own, node in zip(shown, chain.nodes.values(), strict=True)]
    for agent in agents:
        agent.start()
    leader = until(lambda: next((each for each in agents if each.leads), None), 30.0, "a leader")
    other = next(each for each in agents if each is not leader)
    until(lambda: other.phase == "standby", 20.0, "a standby")
    epoch = heartbeat(etcd)["epoch"]
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert leader.leads, leader.log_tail(30)
        time.sleep(0.25)
    assert heartbeat(etcd)["epoch"] == epoch
    leader.stop()
    until(lambda: other.leads, 20.0, "the other one to lead after a release")
    other.stop()


def test_agents_work_with_least_privilege_while_tokens_die(guarded: Guarded) -> None:
    """Two agents elect, confirm and hand over as their own users, while etcd forgets tokens every few seconds (P3)."""
    lead_without_a_loss(guarded.lab, guarded.etcd, with_passwords(guarded), 8 * TOKEN_TTL_S)


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_no_leadership_is_lost_to_tokens_in_five_minutes(guarded: Guarded) -> None:
    """The same for five minutes."""
    lead_without_a_loss(guarded.lab, guarded.etcd, with_passwords(guarded), 300.0)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "access.sh GROUP"),
        (("a/b",), "GROUP"),
        ((GROUP, "--agent", "bp a;x", "--no-password"), "NAME"),
        ((GROUP, "--agent", "bp-a"), "--password-dir"),
        ((GROUP, "--agent"), "needs a value"),
        ((GROUP, "--what"), "access.sh GROUP"),
    ],
)
def test_bad_arguments_change_nothing(guarded: Guarded, arguments: tuple[str, ...], said: str) -> None:
    """A wrong call is refused with exit code 2 and the remedy, before etcd is asked."""
    done = run_script(guarded.etcd, *arguments)
    assert done.returncode == 2
    assert said in done.stderr


def certificate(directory: Path, *arguments: str) -> None:
    """Run certificates.sh."""
    done = subprocess.run(
        [SCRIPTS / "certificates.sh", directory, *arguments], capture_output=True, text=True, timeout=30.0
    )
    assert done.returncode == 0, done.stderr


@contextmanager
def certified(tmp_path: Path, users: Sequence[str]) -> Iterator[tuple[Lab, EtcdCluster, list[dict[str, str]]]]:
    """Run an etcd that knows users by certificates of certificates.sh; yield what each of them shows to it."""
    directory = tmp_path / "pki"
    certificate(directory, "member", "etcd-1", "127.0.0.1,localhost,::1")
    for user in (*users, "root"):
        certificate(directory, "user", user)
    assert {(directory / f"{user}.key").stat().st_mode & 0o777 for user in users} == {0o600}
    ca, root, root_key = directory / "ca.crt", directory / "root.crt", directory / "root.key"
    files = Certificates(ca, directory / "etcd-1.crt", directory / "etcd-1.key", root, root_key)
    with Lab(tmp_path / "lab") as lab:
        etcd = lab.etcd(1, tls=True, certificates=files)
        env = {"PATH": f"{etcd.binaries.etcdctl.parent}:{os.environ['PATH']}", "ETCDCTL_ENDPOINTS": etcd.urls[0]}
        env |= {"ETCDCTL_CACERT": str(ca), "ETCDCTL_CERT": str(root), "ETCDCTL_KEY": str(root_key)}
        named = [part for user in users for part in ("--agent", user)]
        command: list[str | Path] = [SCRIPTS / "access.sh", GROUP, *named, "--no-password"]
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=30.0)
        assert done.returncode == 0, done.stderr
        etcd.etcdctl("user", "add", "root", "--no-password")
        etcd.etcdctl("role", "add", "root")
        etcd.etcdctl("user", "grant-role", "root", "root")
        etcd.etcdctl("auth", "enable")
        yield (
            lab,
            etcd,
            [{"cert_file": f"{directory}/{user}.crt", "key_file": f"{directory}/{user}.key"} for user in users],
        )


def test_client_certificates_are_users(tmp_path: Path) -> None:
    """With the certificates of certificates.sh an agent is known by its common name, and no password is needed."""
    with certified(tmp_path, ["bp-a"]) as (lab, etcd, (own,)):
        chain = lab.chain(1, simulated=True)
        agent = lab.agent(next(iter(chain.nodes.values())), etcd, etcd=own)
        agent.start()
        until(lambda: agent.leads, 30.0, "the agent to lead")
        assert etcd.etcdctl("get", ROOT + "leader", "--print-value-only").strip() == agent.node


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_no_leadership_is_lost_with_certificates_in_five_minutes(tmp_path: Path) -> None:
    """Two agents that are known by their certificates: the leader stays for five minutes, then hands over (P3)."""
    with certified(tmp_path, ["bp-a", "bp-b"]) as (lab, etcd, shown):
        lead_without_a_loss(lab, etcd, shown, 300.0)
