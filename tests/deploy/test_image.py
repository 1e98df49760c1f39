"""The container image, built by buildah on a Debian of our own, and its commands as its user. Slow: all is fetched."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.booted import make_root, missing

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = ROOT / "deploy" / "container" / "Dockerfile"
TOOLS = ("buildah", "mmdebstrap")
LACKS = [name for name in TOOLS if shutil.which(name) is None] or ([missing()] if os.geteuid() else [])
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")


CONFIG = """\
group = "g"
node = "bp-a"
producer = "bp"
nodeos.url = "http://127.0.0.1:1"
etcd.endpoints = ["http://127.0.0.1:1"]
fence.method = "none"
http.listen = "127.0.0.1:29877"
"""
START = """\
{first} 2>&1 & first=$!
for i in $(seq 30); do {check} 2>&1 && well=1 && break; sleep 1; done
kill $first; wait $first; [ -n "$well" ] && echo "healthy, then ended" || true
"""


ENTER = """\
mkdir -p "$0/run/nodeos-failover"
mount --rbind /dev "$0/dev" && mount --rbind /proc "$0/proc" && mount --bind "$1" "$0/run/nodeos-failover" || exit
exec chroot --userspec=10001:10001 "$0" /bin/sh -c "$2"
"""


class Buildah:
    """buildah with a store of its own. `base`: what the Dockerfile builds upon, here made of Debian's Python."""

    def __init__(self, store: Path) -> None:
        self._options = ["--root", str(store / "root"), "--runroot", str(store / "run"), "--storage-driver", "vfs"]

    def __call__(self, *words: str | Path, limit: float = 120.0) -> str:
        """Run a command; return what it printed."""
        command = ["buildah", *self._options, *map(str, words)]
        environment = {**os.environ, "BUILDAH_ISOLATION": "chroot"}
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=limit)
        assert done.returncode == 0, f"{words}: {done.stdout[-3000:]}{done.stderr[-3000:]}"
        return done.stdout.strip()


@pytest.fixture(scope="module")
def buildah(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Buildah]:
    """Return buildah, with an image that stands for the official one of Python."""
    directory = tmp_path_factory.mktemp("image")
    root, run = directory / "debian", Buildah(directory / "store")
    make_root(root, packages="python3.11,python3-pip,python3-venv,ca-certificates")
    (root / "usr/bin/python").symlink_to("python3.11")
    (root / "etc/pip.conf").write_text("[global]\nbreak-system-packages = true\n")
    shutil.copy(CERTIFICATES, root / "etc/ssl/certs/ca-certificates.crt")
    base = run("from", "scratch")
    run("copy", base, root, "/", limit=300)
    run("commit", base, "docker.io/library/python:3.11-slim-bookworm", limit=300)
    shutil.rmtree(root)
    yield run
    run("rm", "--all")
    run("rmi", "--all", "--force")


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.skipif(bool(LACKS), reason=f"needs {', '.join(LACKS)}")
def test_the_image_is_built_and_its_agent_is_healthy(buildah: Buildah, tmp_path: Path) -> None:
    """By the Dockerfile as it is: a numeric user, a health check in Docker's format, which its first process passes."""
    buildah("build", "--pull-never", "--format", "docker", "-f", DOCKERFILE, "-t", "agent", ".", limit=1200)
    made = json.loads(buildah("inspect", "--type", "image", "agent"))["Docker"]["config"]
    assert made["User"] == "10001:10001"
    assert made["Healthcheck"]["Test"] == ["CMD", "nodeos-failover", "check", "--agent"]
    assert made["Entrypoint"] == ["nodeos-failover", "guard", "--restart", "--"]

    container = buildah("from", "--pull-never", "agent")
    assert buildah("run", container, "--", "id", "-u") == "10001"
    assert "nodeos-failover" in buildah("run", container, "--", "nodeos-failover", "version")
    assert "validity" in buildah("run", container, "--", "nodeos-failover", "config", "schema")
    run_dir = tmp_path / "run"
    run_dir.mkdir()
    os.chown(run_dir, 10001, 10001)
    (tmp_path / "config.toml").write_text(CONFIG)
    owned = ("--chown", "10001:10001", "--chmod", "0640")
    buildah("copy", *owned, container, tmp_path / "config.toml", "/etc/nodeos-failover/config.toml")
    first, check = " ".join([*made["Entrypoint"], *made["Cmd"]]), " ".join(made["Healthcheck"]["Test"][1:])
    script = START.format(first=first, check=check)
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", ENTER, buildah("mount", container), run_dir, script],
        env={"PATH": f"/app/bin:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.stdout.endswith("healthy, then ended\n"), done.stdout + done.stderr


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
