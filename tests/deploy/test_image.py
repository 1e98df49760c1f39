"""The container image, built by buildah on a Debian of our own, and its commands as its user. Slow: all is fetched."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.booted import make_root, missing

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = ROOT / "deploy" / "container" / "Dockerfile"
TOOLS = ("buildah", "mmdebstrap")
LACKS = [name for name in TOOLS if shutil.which(name) is None] or ([missing()] if os.geteuid() else [])
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(bool(LACKS), reason=f"needs {', '.join(LACKS)}"),
]


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
