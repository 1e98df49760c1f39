"""`make package`: wheel, sdist and .deb work where nothing else of ours is. Slow: every dependency is fetched anew."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.deploy.conftest import CLEAN, ROOT, run


def version_of(dist: Path) -> str:
    """Return the version that was built."""
    (wheel,) = dist.glob("*.whl")
    return wheel.name.split("-")[1]


def python(version: str) -> str:
    """Return the interpreter of a version that works here (one on PATH may be a shim without anything behind it)."""
    for found in (sys.executable, shutil.which(f"python{version}")):
        if (
            found
            and subprocess.run(
                [found, "-c", f"import sys; sys.exit('%d.%d' % sys.version_info[:2] != '{version}')"], timeout=30.0
            ).returncode
            == 0
        ):
            return found
    pytest.skip(f"there is no Python {version} here")


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13"])
@pytest.mark.parametrize("pattern", ["*.whl", "*.tar.gz"])
def test_installs_in_an_empty_environment(dist: Path, tmp_path: Path, pattern: str, version: str) -> None:
    """Wheel and sdist install with pip alone, and the command works outside of the sources."""
    (package,) = dist.glob(pattern)
    run([python(version), "-m", "venv", tmp_path / "venv"], tmp_path)
    run([tmp_path / "venv/bin/python", "-m", "pip", "install", "--quiet", package], tmp_path, 600.0)
    command = tmp_path / "venv/bin/nodeos-failover"
    said = run([command, "version"], tmp_path)
    assert version_of(dist) in said
    assert f"Python {version}." in said
    assert "validity" in run([command, "config", "schema"], tmp_path)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_all_that_was_built_is_summed(dist: Path) -> None:
    """Wheel, sdist and SBOM are there with or without debhelper, the .deb with it, and the sums name each."""
    named = {line.split()[1] for line in (dist / "SHA256SUMS").read_text().splitlines()}
    built = {each.name for each in dist.iterdir() if each.name.endswith((".whl", ".tar.gz", ".deb", ".cdx.json"))}
    assert named == built
    assert len(built) == 3 + (shutil.which("dh") is not None)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="dpkg-deb is Debian's")
def test_deb_holds_all_but_python(dist: Path, tmp_path: Path) -> None:
    """The .deb is unpacked anywhere and works with the host's Python; no file of it names where it was built."""
    (package,) = dist.glob("*.deb")
    run(["dpkg-deb", "-x", package, tmp_path], tmp_path)
    python = tmp_path / "opt/nodeos-failover/bin/python3"
    assert version_of(dist) in run([python, "-P", "-m", "agent", "version"], tmp_path)
    assert "validity" in run([python, "-P", "-m", "agent", "config", "schema"], tmp_path)
    assert "/opt/nodeos-failover/bin/python3" in (tmp_path / "usr/bin/nodeos-failover").read_text()
    configuration = (tmp_path / "opt/nodeos-failover/pyvenv.cfg").read_text()
    assert "home = /usr/bin" in configuration
    assert "/tmp" not in configuration


def git(directory: Path, *words: str) -> None:
    """Run git as a person who has a name."""
    run(["git", "-c", "user.name=x", "-c", "user.email=x@y", *words], directory)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_tag_is_the_version(tmp_path: Path) -> None:
    """Of a tagged commit; a clone without tags, and sources without git, build all the same."""
    copy = tmp_path / "source"
    shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns(".venv", ".git", ".*_cache", "dist", "tests"))
    found = {}
    for state in ("no git", "no tag", "tagged"):
        if state == "no tag":
            git(copy, "init", "--quiet")
            git(copy, "add", "--all")
            git(copy, "commit", "--quiet", "--message=x")
        if state == "tagged":
            git(copy, "tag", "v7.1.2")
        out = tmp_path / state
        run([sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", out, copy], tmp_path, 300.0)
        found[state] = version_of(out)
    assert found["no git"] == "0.1.0"
    assert ".dev" in found["no tag"]
    assert found["tagged"] == "7.1.2"


@pytest.mark.skipif(shutil.which("gpg") is None, reason="needs gpg")
def test_the_sums_are_signed_and_checked_as_documented(tmp_path: Path) -> None:
    """`make sign`, and the two commands of CONTRIBUTING.md: they hold for what was signed, and for nothing else."""
    (tmp_path / "dist").mkdir()
    (tmp_path / "dist" / "a.whl").write_text("a")
    home = tempfile.mkdtemp(prefix="keys-")  # a short path: gpg's agent has its socket there
    environment = {**CLEAN, "GNUPGHOME": home}

    def sh(words: str, cwd: Path = tmp_path / "dist") -> int:
        done = subprocess.run(["sh", "-c", words], cwd=cwd, env=environment, capture_output=True, timeout=60.0)
        return done.returncode

    try:
        assert sh("gpg --batch --passphrase '' --quick-generate-key release@example ed25519") == 0
        assert sh("sha256sum *.whl >SHA256SUMS") == 0
        assert sh(f"make -f {ROOT / 'Makefile'} sign ARGS='--batch --local-user release@example'", tmp_path) == 0
        (check,) = re.findall(r"`(gpg --verify [^`]*)`", (ROOT / "CONTRIBUTING.md").read_text())
        assert sh(check) == 0
        (tmp_path / "dist" / "a.whl").write_text("b")
        assert sh(check) != 0
        assert sh("sha256sum *.whl >SHA256SUMS") == 0
        assert sh(check) != 0
    finally:
        sh("gpgconf --kill all")
        shutil.rmtree(home, ignore_errors=True)
