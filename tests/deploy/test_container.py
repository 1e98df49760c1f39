"""deploy/container: the Dockerfile by hadolint, and what the compose lab has to arrange. No engine runs here."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
CONTAINER = ROOT / "deploy" / "container"


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    """Read the compose file."""
    found: dict[str, Any] = yaml.safe_load((CONTAINER / "compose.yaml").read_text())
    return found


def test_dockerfile_is_clean() -> None:
    """Hadolint, which runs shellcheck on each RUN, finds nothing."""
    hadolint = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([hadolint, CONTAINER / "Dockerfile"], capture_output=True, text=True, timeout=60.0)
    assert done.returncode == 0, done.stdout + done.stderr


def test_image_runs_as_a_number() -> None:
    """The user is numeric and not root, so that an orchestrator can see it."""
    users = [line.split()[1] for line in (CONTAINER / "Dockerfile").read_text().splitlines() if line.startswith("USER")]
    assert users
    assert all(part.isdigit() and int(part) > 0 for part in users[-1].split(":"))


@pytest.mark.parametrize("letter", "abc")
def test_agents_stand_beside_their_nodeos(compose: dict[str, Any], letter: str) -> None:
    """Each agent shares network, processes and user with its nodeos, and writes to volumes of its own alone."""
    agent, nodeos = compose["services"][f"agent-{letter}"], compose["services"][f"nodeos-{letter}"]
    assert agent["network_mode"] == agent["pid"] == f"service:nodeos-{letter}"
    assert agent["user"] == nodeos["user"] != "0:0"
    assert agent["read_only"] is True
    assert agent["cap_drop"] == ["ALL"]
    assert f"CMD {json.dumps(agent['healthcheck']['test'][1:])}" in (CONTAINER / "Dockerfile").read_text()
    run, state = agent["volumes"]
    assert run == f"run-{letter}:/run/nodeos-failover"
    assert state == f"state-{letter}:/var/lib/nodeos-failover"
    assert compose["volumes"][f"state-{letter}"] == {}
    assert compose["volumes"][f"run-{letter}"]["driver_opts"]["type"] == "tmpfs"


def test_only_the_first_node_starts_the_chain(compose: dict[str, Any]) -> None:
    """Of the three nodes one may produce from an old head; the others start paused."""
    commands = {name: service["command"] for name, service in compose["services"].items() if name.startswith("nodeos-")}
    assert len(commands) == 3
    assert [name for name, each in commands.items() if "--enable-stale-production" in each] == ["nodeos-a"]
    assert [name for name, each in commands.items() if "--pause-on-startup" in each] == ["nodeos-b", "nodeos-c"]


def test_every_name_in_it_exists(compose: dict[str, Any]) -> None:
    """Configs, files, endpoints and scrape targets name things that are there."""
    services, configs = compose["services"], compose["configs"]
    for service in services.values():
        assert {each["source"] for each in service.get("configs", ())} <= configs.keys()
        for volume in service.get("volumes", ()):
            if volume.startswith("."):
                assert (CONTAINER / volume.split(":")[0]).resolve().exists(), volume
    settings = tomllib.loads(configs["agent"]["content"])
    hosts = {endpoint.split("/")[2].split(":")[0] for endpoint in settings["etcd"]["endpoints"]}
    assert hosts == {"etcd-1", "etcd-2", "etcd-3"} <= services.keys()
    scraped = yaml.safe_load(configs["prometheus"]["content"])["scrape_configs"][0]["static_configs"][0]["targets"]
    assert {target.split(":")[0] for target in scraped} == {f"nodeos-{letter}" for letter in "abc"}
    assert {target.split(":")[1] for target in scraped} == {settings["http"]["listen"].split(":")[1]}
