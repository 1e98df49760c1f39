"""Configurations and neighbours that are wrong: the agent says what is wrong, leads only if it may, and kills nothing.

One chain and one etcd serve the whole file; only one agent runs at a time, each in a group of its own.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.lab.agents import Agent, to_toml
from tests.lab.binaries import find_nodeos
from tests.lab.etcd import EtcdCluster, EtcdOptions
from tests.lab.lab import Lab
from tests.lab.nodeos import PLUGINS, Node, NodeSpec
from tests.lab.tls import make_certificates
from tests.lab.wait import until

pytestmark = pytest.mark.real

OTHER_CHAIN = "0123456789abcdef" * 4
Make = Callable[..., Agent]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A laboratory for the whole file."""
    with Lab(tmp_path_factory.mktemp("bad-input")) as found:
        yield found


@pytest.fixture(scope="module")
def node(lab: Lab) -> Node:
    """A producing nodeos with a peer."""
    (found,) = lab.chain(1, load=False).nodes.values()
    return found


@pytest.fixture(scope="module")
def etcd(lab: Lab) -> EtcdCluster:
    """An etcd that lets everybody in."""
    return lab.etcd(1)


@pytest.fixture(scope="module")
def locked(lab: Lab) -> Iterator[EtcdCluster]:
    """An etcd that asks for TLS, a client certificate, a user and a password."""
    cluster = EtcdCluster(lab.root / "locked", lab.ports, EtcdOptions(size=1, tls=True, user="agent"))
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.close()


@pytest.fixture
def make(lab: Lab, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Make]:
    """Start an agent in a group of its own; it ends with the test, by SIGTERM, and must end well."""
    group = re.sub(r"[^a-z0-9]+", "-", request.node.name)[-40:].strip("-")
    with ExitStack() as closing:

        def start(node: Node, etcd: dict[str, Any], **settings: Any) -> Agent:
            whole: dict[str, Any] = {"group": group, "node": "bp-a", "producer": "eosio", "etcd": etcd}
            whole["nodeos"] = {"url": node.http_url, **settings.pop("nodeos", {})}
            agent = Agent({**whole, **settings}, tmp_path / "agent", lab.ports.take())
            closing.callback(agent.close)
            agent.start()
            return agent

        yield start


def end(agent: Agent) -> None:
    """End an agent as a supervisor does."""
    agent.terminate()
    assert agent.wait(15.0) == 0, agent.log_tail()


def wait(agent: Agent, what: str, check: Callable[[dict[str, Any]], object], limit: float = 25.0) -> dict[str, Any]:
    """Return the agent's status once it is as wanted."""

    def found() -> dict[str, Any] | None:
        status = agent.status()
        return status if status and check(status) else None

    try:
        return until(found, limit, what)
    except Exception as error:
        raise AssertionError(f"{error}\n{json.dumps(agent.status(), indent=1)}\n{agent.log_tail(40)}") from error


def test_an_etcd_that_is_not_there(make: Make, lab: Lab, node: Node) -> None:
    """Without etcd an agent starts, pauses its nodeos, says why, never leads, and ends on SIGTERM (R1, R4)."""
    node.resume()
    agent = make(node, {"endpoints": [f"http://127.0.0.1:{lab.ports.take()}"]})
    status = wait(
        agent, "the reason", lambda found: not found["etcd_up"] and "cannot read the group" in found["why_not"]
    )
    assert node.paused
    assert (status["phase"], status["nodeos_production"], status["leads"]) == ("standby", "stopped", False)
    until(lambda: "etcd does not answer as it should" in agent.log.read_text(), 10, "the reason in the log")
    assert agent.get("/livez")[0] == 200, "a restart would not mend it"
    assert agent.get("/readyz")[0] == 503
    end(agent)
    assert node.running
    assert node.paused


def test_an_etcd_whose_certificate_is_signed_by_somebody_else(
    make: Make, locked: EtcdCluster, node: Node, tmp_path: Path
) -> None:
    """With the wrong CA an agent never leads, and the log names the certificate and the setting."""
    files = make_certificates(tmp_path / "other")
    wrong = {"ca_file": str(files.ca), "cert_file": str(files.client), "key_file": str(files.client_key)}
    agent = make(node, {"endpoints": locked.urls, **wrong})
    until(lambda: "etcd does not answer as it should" in agent.log.read_text(), 20, "the reason in the log")
    said = next(line for line in agent.log.read_text().splitlines() if "etcd does not answer" in line)
    assert "certificate" in said.lower()
    assert "ca_file" in said
    assert agent.status()["phase"] != "leading"
    end(agent)


def test_an_etcd_with_certificates_user_and_password(
    make: Make, locked: EtcdCluster, node: Node, tmp_path: Path
) -> None:
    """With TLS, a client certificate, a user and a password an agent leads, and the password is in no log."""
    files = locked.certificates
    assert files is not None
    assert locked.password is not None
    secret = tmp_path / "password"
    secret.touch(mode=0o600)
    secret.write_text(locked.password + "\n")
    own = {"ca_file": str(files.ca), "cert_file": str(files.client), "key_file": str(files.client_key)}
    agent = make(node, {"endpoints": locked.urls, "user": "agent", "password_file": str(secret), **own})
    wait(agent, "the lead", lambda found: found["leads"])
    until(lambda: not node.paused, 5, "production")
    end(agent)
    assert node.paused
    assert locked.password not in agent.log.read_text()


def test_a_password_that_is_rotated_costs_no_lead(make: Make, lab: Lab, node: Node, tmp_path: Path) -> None:
    """`etcdctl user passwd`, then the file, as an operator does it: the same tenure goes on, without a restart (P3)."""
    cluster = EtcdCluster(lab.root / "rotated", lab.ports, EtcdOptions(size=1, user="agent"))
    try:
        cluster.start()
        secret = tmp_path / "password"
        secret.touch(mode=0o600)
        secret.write_text(str(cluster.password))
        agent = make(node, {"endpoints": cluster.urls, "user": "agent", "password_file": str(secret)})
        epoch = wait(agent, "the lead", lambda found: found["leads"])["epoch"]
        cluster.etcdctl("user", "passwd", "agent", "--interactive=false", stdin="another-word\n")
        until(lambda: "authentication failed" in agent.log.read_text(), 10, "a refused login")
        secret.write_text("another-word\n")
        revision = _revision(cluster)
        until(lambda: _revision(cluster) > revision + 20, 30, "confirmations for longer than E")
        status = agent.status()
        assert (status["leads"], status["epoch"]) == (True, epoch)
        end(agent)
        assert "another-word" not in agent.log.read_text()
    finally:
        cluster.close()


def _revision(cluster: EtcdCluster) -> int:
    found = json.loads(cluster.etcdctl("get", "/nodeos-failover/", "--prefix", "--limit=1", "-w", "json"))
    return int(found["header"]["revision"])


def test_a_nodeos_without_the_producer_api(make: Make, lab: Lab, etcd: EtcdCluster, node: Node, tmp_path: Path) -> None:
    """Without producer_api_plugin nothing can be proven: no lead, nodeos stays alive, and the plugin is named (R4)."""
    plugins = [name for name in PLUGINS if name != "producer_api_plugin"]
    spec = NodeSpec("bare", lab.ports.take(), lab.ports.take(), peers=[node.spec.p2p], plugins=plugins)
    bare = Node(spec, tmp_path / "bare", find_nodeos())
    try:
        bare.launch()
        agent = make(bare, {"endpoints": etcd.urls})
        until(lambda: "producer_api_plugin" in agent.log.read_text(), 20, "the plugin's name in the log")
        named = "producer_api_plugin"
        status = wait(agent, "a judgement", lambda found: named in found["checks"]["main_thread"]["reason"])
        assert not status["checks"]["main_thread"]["ok"]
        assert (status["phase"], status["leads"], status["me"]["able"]) == ("starting", False, False)
        agent.terminate()
        agent.wait(20.0)
        assert bare.running, "a nodeos that cannot be paused is not killed for it"
        assert agent.log.read_text().count("nodeos refuses to pause") < 6
    finally:
        bare.close()


def test_a_nodeos_of_another_chain(make: Make, etcd: EtcdCluster, node: Node) -> None:
    """On another chain than the configured one an agent is unhealthy, names both, and never leads."""
    node.pause()  # else the agent adopts what signs already (R19): no slot is lost for a mistake in the configuration
    agent = make(node, {"endpoints": etcd.urls}, nodeos={"chain_id": OTHER_CHAIN})
    status = wait(agent, "a judgement", lambda found: OTHER_CHAIN in found["checks"]["chain_id"]["reason"])
    assert node.info()["chain_id"] in status["checks"]["chain_id"]["reason"]
    wait(agent, "all else", lambda found: found["phase"] == "standby" and found["checks"]["schedule"]["ok"])
    time.sleep(1)  # what must not happen, a campaign for the free seat, is given the time of several
    status = agent.status()
    assert (status["phase"], status["fit"], status["me"]["able"]) == ("standby", False, False)
    assert status["why_not"].startswith("chain_id: ")
    log = agent.log.read_text()
    assert "the seat is free" not in log
    assert f"check chain_id fails: nodeos is on chain {node.info()['chain_id']}, not {OTHER_CHAIN}" in log
    end(agent)


def test_a_producer_that_is_not_scheduled(make: Make, etcd: EtcdCluster, node: Node) -> None:
    """A producer that is not in the schedule is noted; it may be voted in at any time, so its node leads."""
    agent = make(node, {"endpoints": etcd.urls}, producer="notelected12")
    status = wait(agent, "the lead", lambda found: found["leads"])
    assert status["checks"]["schedule"] == {"ok": True, "reason": "producer notelected12 is not in the schedule now"}
    end(agent)


def test_a_value_of_the_wrong_type_and_one_that_cannot_work(tmp_path: Path, lab: Lab) -> None:
    """The real command refuses a bad configuration with code 3, and names every problem at once with its remedy."""
    path = tmp_path / "config.toml"
    bad: dict[str, Any] = {
        "group": "Not A Name",
        "node": "none",
        "nodeos": {"url": "ftp://127.0.0.1", "chainid": "f" * 64},
        "etcd": {"endpoints": [], "prefix": "no/slash"},
        "timing": {"validity": 2.0, "renew": "often"},
        "health": {"peers": {"min": True}},
        "runtime": {"dir": str(tmp_path / "run")},
        "colour": "blue",
    }
    path.write_text(to_toml(bad))
    found = refused(path)
    for name in ("group", "node", "producer", "nodeos.url", "nodeos.chainid", "etcd.endpoints", "etcd.prefix"):
        assert re.search(rf"(?m)^  {re.escape(name)}\b", found), (name, found)
    for name in ("timing.renew", "health.peers.min", "colour"):
        assert re.search(rf"(?m)^  {re.escape(name)}\b", found), (name, found)
    assert "did you mean nodeos.chain_id?" in found
    assert not (tmp_path / "run").exists(), "nothing is touched before the configuration is right"


@pytest.mark.parametrize(
    ("content", "said"),
    [(b"group = ", "not valid TOML"), (b"\xff\xfe", "UTF-8"), (None, "cannot read"), (b"", "is missing")],
)
def test_a_file_that_is_none(tmp_path: Path, content: bytes | None, said: str) -> None:
    """A file that is broken, empty or not there is refused with code 3 and the path or the fields."""
    path = tmp_path / "config.toml"
    if content is not None:
        path.write_bytes(content)
    assert said in refused(path)


def refused(path: Path) -> str:
    """Run the command as an operator does; return what it says once it has refused."""
    command = [sys.executable, "-m", "agent", "run", "--config", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 3, done.stderr
    assert "Traceback" not in done.stderr
    assert re.search(r"\d+ problems? in the configuration", done.stderr)
    return done.stderr
