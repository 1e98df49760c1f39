"""Files are looked at as the user that the agent runs as: what root reads proves nothing."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from agent.cli.main import main
from agent.config.load import load
from agent.doctor import files
from agent.doctor.finding import Grade
from agent.errors import ConfigError

UNIT = "LoadState=loaded\nUser=nobody\nGroup=\nSupplementaryGroups=\nProtectHome=yes\n"
CONFIG = """
group = "eos"
node = "bp-a"
producer = "myproducer11"
nodeos.url = "http://127.0.0.1:8888"
nodeos.config_file = "{there}/config.ini"
etcd.endpoints = ["https://127.0.0.1:2379"]
etcd.ca_file = "{there}/ca.pem"
"""


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a directory with a configuration and its files, on a host whose systemctl tells of a unit of `nobody`."""
    for each in (tmp_path, *tmp_path.parents[:3]):  # pytest's own, a worker's too, are for their owner alone
        each.chmod(0o755)
    (tmp_path / "bin").mkdir()
    systemctl = tmp_path / "bin/systemctl"
    systemctl.write_text(f"#!/bin/sh\necho \"$@\" >{tmp_path}/asked\nprintf '{UNIT}'\n".replace("\n'", "'"))
    systemctl.chmod(0o755)
    monkeypatch.setattr(files, "UNITS_READ", tmp_path)
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{os.environ['PATH']}")
    for name in ("config.ini", "ca.pem"):
        (tmp_path / name).write_text("x = 1\n")
        (tmp_path / name).chmod(0o644)
    (tmp_path / "config.toml").write_text(CONFIG.format(there=tmp_path))
    return tmp_path


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may look as another user")


@needs_root
def test_files_are_judged_as_the_units_user(host: Path) -> None:
    """As root: all is well only if the user of the unit can read each file; the unit is that of the configuration."""
    path = host / "config.toml"
    config = load(path, {})
    (found,) = files.check(files.gather(config, path))
    assert (found.verdict, found.seen) == (
        Grade.OK,
        "the agent's user nobody (nodeos-failover.service) can read all 3",
    )
    (host / "ca.pem").chmod(0o600)
    (host / "config.ini").chmod(0o600)
    needed, advice = files.check(files.gather(config, path))
    assert needed.verdict is Grade.FAULT
    assert f"etcd.ca_file: {host}/ca.pem (Permission denied)" in needed.seen
    assert "setfacl -m u:nobody:r" in needed.remedy
    assert advice.verdict is Grade.WARN
    assert "nodeos.config_file" in advice.seen
    assert "the agent runs without it" in advice.seen
    files.gather(config, host / "wax.toml")
    assert "nodeos-failover@wax.service" in (host / "asked").read_text()


@needs_root
def test_validate_judges_as_the_units_user_and_says_which(host: Path) -> None:
    """A file that only root can read makes it fail; advice that cannot be read is told, and no fault."""
    arguments = ("config", "validate", "--config", str(host / "config.toml"))
    assert "the agent's user nobody (nodeos-failover.service)" in CliRunner().invoke(main, arguments).stderr
    (host / "config.ini").chmod(0o600)
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0
    assert "warn: the agent's user nobody" in result.stderr
    (host / "config.toml").chmod(0o600)
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 3
    assert f"the configuration: {host}/config.toml" in result.stderr


@needs_root
@pytest.mark.parametrize(
    ("unit", "said"),
    [
        (UNIT.replace("nobody", "nosuch"), "nobody could look as nosuch"),
        ("LoadState=not-found\n", "root, who runs this command, can read all 3"),
        (UNIT.replace("nobody", ""), "the agent's user root (nodeos-failover.service) can read all 3"),
    ],
)
def test_without_a_unit_or_its_user_that_is_said(host: Path, unit: str, said: str) -> None:
    """A unit that is not there, one of root, and one whose user is missing."""
    (host / "bin/systemctl").write_text(f"#!/bin/sh\ncat <<X\n{unit}X\n")
    path = host / "config.toml"
    (found,) = files.check(files.gather(load(path, {}), path))
    assert said in found.seen


@needs_root
def test_a_draft_elsewhere_is_judged_as_its_writer(host: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No unit reads a file in a home directory: that the agent could not read it is no fault of it."""
    monkeypatch.setattr(files, "UNITS_READ", Path("/etc/nodeos-failover"))
    (host / "config.toml").chmod(0o600)
    result = CliRunner().invoke(main, ("config", "validate", "--config", str(host / "config.toml")))
    assert result.exit_code == 0
    assert "ok: root, who runs this command, can read all 3" in result.stderr


@needs_root
def test_what_the_unit_hides_cannot_be_read(host: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """ProtectHome=yes: a readable file below a home directory is not there for the agent."""
    monkeypatch.setattr(files, "HIDDEN", (f"{host}/ca",))
    path = host / "config.toml"
    (found,) = files.check(files.gather(load(path, {}), path))
    assert "hidden by ProtectHome=yes" in found.seen


def test_who_is_neither_root_nor_the_units_user_is_told_so(host: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An ordinary user sees what they can read, and that this is not what the agent can."""
    monkeypatch.setattr(os, "geteuid", lambda: 65533)
    path = host / "config.toml"
    found = files.check(files.gather(load(path, {}), path))
    assert found[0].seen == "judged as 65533, but the agent runs as nobody"


@pytest.mark.parametrize("kind", ["missing", "denied", "pipe", "directory"])
def test_an_unreadable_config_ini_is_advice_that_is_missed(host: Path, kind: str) -> None:
    """nodeos's own configuration is for its user alone by default: ours is valid all the same, and nobody waits."""
    from agent.config.shared import nodeos_options, settings_of

    ini = host / "config.ini"
    ini.unlink()
    match kind:
        case "pipe":
            os.mkfifo(ini)
        case "directory":
            ini.mkdir()
        case "denied":
            ini.symlink_to("/proc/1/mem/x")
    config = load(host / "config.toml", {})
    options, why = nodeos_options(config)
    assert options == []
    assert why.startswith("nodeos.config_file: ")
    assert settings_of(config)
    with pytest.raises(ConfigError, match=r"nodeos\.config_file .*: a relative path"):
        load(host / "config.toml", {"NODEOS_FAILOVER_NODEOS__CONFIG_FILE": "config.ini"})
