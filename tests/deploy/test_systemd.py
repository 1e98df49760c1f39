"""The units as systemd's own tools see them, what must stand in them, and the install script on another root."""

from __future__ import annotations

import configparser
import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from agent.config.load import load
from agent.core.leadership.timing import Timing
from agent.gate import settings
from agent.gate.main import ALIVE_S
from agent.guard.fence import arguments
from agent.host.paths import DEFAULT_DIR

SYSTEMD = Path(__file__).parents[2] / "deploy" / "systemd"
UNITS = ["nodeos-failover.service", "nodeos-failover@.service"]
GATES = ["nodeos-failover-gate.service", "nodeos-failover-gate@.service"]
KEOSDS = ["nodeos-failover-keosd.service", "nodeos-failover-keosd@.service"]
EXPOSURE = 2.0
needs_systemd = pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not installed")


class Unit(configparser.RawConfigParser):
    """A unit file; of a setting that stands there twice all values are kept, with blanks between them."""

    def __init__(self, name: str) -> None:
        super().__init__(strict=False, dict_type=dict, comment_prefixes=("#",), delimiters=("=",))
        self.optionxform = str  # type: ignore[assignment,method-assign] # systemd's names have capitals
        self.text = (SYSTEMD / name).read_text()
        self.read_string(self.text)

    def __getattr__(self, name: str) -> str:
        return str(self["Service"][name])


def analyze(*words: str) -> str:
    """Run systemd-analyze; return what it says."""
    done = subprocess.run(["systemd-analyze", *words], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@needs_systemd
@pytest.mark.parametrize("name", UNITS + GATES + KEOSDS)
def test_systemd_finds_no_fault(tmp_path: Path, name: str) -> None:
    """`systemd-analyze verify` accepts each unit, without a single remark, the program being there."""
    program = shutil.which("true") or "/bin/true"
    text = (SYSTEMD / name).read_text().replace("/usr/bin/nodeos-failover", program)
    text = text.replace("/usr/bin/keosd", program)
    path = tmp_path / name.replace("@.", "@wax.")
    path.write_text(text)
    assert analyze("verify", "--man=no", str(path)).strip() == ""


@needs_systemd
@pytest.mark.parametrize("name", UNITS + GATES + KEOSDS)
def test_a_unit_is_hardened(name: str) -> None:
    """`systemd-analyze security` rates its exposure at 2.0 or less."""
    said = analyze("security", "--offline=true", "--no-pager", str(SYSTEMD / name))
    rated = re.search(r"exposure level for \S+: ([0-9.]+)", said)
    assert rated is not None, said
    assert float(rated[1]) <= EXPOSURE


@pytest.mark.parametrize("name", UNITS)
def test_the_guard_outlives_the_agent(name: str) -> None:
    """What the proof of a stop needs of systemd stands in the unit (R3)."""
    unit = Unit(name)
    assert unit.KillMode == "process"
    assert unit.RuntimeDirectoryPreserve == "yes"
    assert unit.StateDirectory.startswith("nodeos-failover")
    assert (unit.Restart, unit["Unit"]["StartLimitIntervalSec"]) == ("always", "0")
    assert (unit.KillSignal, unit.RestartKillSignal) == ("SIGTERM", "SIGUSR2")
    assert unit.Type == "notify"
    stop_s = Timing().validity / 1000 + Timing().margin / 1000
    assert float(unit.TimeoutStopSec) > 2 * stop_s, "an agent that stops nodeos is not cut short"
    assert 2.5 <= float(unit.WatchdogSec) < (Timing().validity - Timing().margin) / 1000


@pytest.mark.parametrize("name", UNITS)
def test_each_end_is_followed_by_a_fence(name: str) -> None:
    """ExecStopPost is a fence for the very configuration that the agent runs with, and our command line takes it."""
    unit = Unit(name)
    program, command, *words = unit.ExecStopPost.split()
    given = arguments(words)
    assert (program, command, given.local, given.restart) == ("/usr/bin/nodeos-failover", "fence", True, True)
    assert unit.ExecStart.endswith(f"run --config {given.config}")


@pytest.mark.parametrize("name", UNITS)
def test_a_reload_waits_for_its_result(name: str) -> None:
    """ExecReload is our command for the very configuration: a signal alone would say that all is well."""
    unit = Unit(name)
    program, command, *words = unit.ExecReload.split()
    assert (program, command) == ("/usr/bin/nodeos-failover", "reload")
    assert unit.ExecStart.endswith(f"run {' '.join(words)}")


def test_instances_differ_in_nothing_but_their_name() -> None:
    """The unit for several producers is the unit for one, with %i in each path."""
    one, many = (Unit(name).text for name in UNITS)
    many = many.replace("/etc/nodeos-failover/%i.toml", "/etc/nodeos-failover/config.toml")
    many = many.replace("nodeos-failover/%i", "nodeos-failover").replace(" for %i:", ":")
    assert one.splitlines()[1:] == many.splitlines()[1:]


def test_instances_of_the_gate_differ_in_nothing_but_their_name() -> None:
    """The same holds for the gate, and for its keosd."""
    for names in (GATES, KEOSDS):
        one, many = (Unit(name).text for name in names)
        many = many.replace("%i.toml", "config.toml").replace("@%i.service", ".service").replace(" for %i", "")
        many = many.replace("/%i", "")
        assert one.splitlines()[2:] == many.splitlines()[2:]


def test_gate_and_keosd_are_where_the_defaults_look() -> None:
    """The units make the sockets that the settings name, and the gate reads the agent's configuration."""
    gate, keosd, agent_ = Unit(GATES[0]), Unit(KEOSDS[0]), Unit(UNITS[0])
    assert f"/run/{gate.RuntimeDirectory}/control.sock" == settings.CONTROL
    assert f"unix:///run/{keosd.RuntimeDirectory}/keosd.sock" == settings.KEOSD
    assert settings.KEOSD.removeprefix("unix://") in keosd.ExecStart
    assert f"/run/{agent_.RuntimeDirectory}" == DEFAULT_DIR
    assert gate.ExecStart.split()[-1] == agent_.ExecStart.split()[-1]
    assert gate.LoadCredential.split(":")[0] == settings.CREDENTIAL


def test_only_the_gate_reaches_keosd_and_only_the_agent_writes_permits() -> None:
    """Three users; each reads of the next what it needs, and nobody of the group may write a permit."""
    gate, keosd, agent_ = Unit(GATES[0]), Unit(KEOSDS[0]), Unit(UNITS[0])
    assert len({gate.User, keosd.User, agent_.User}) == 3
    assert (gate.RuntimeDirectoryMode, keosd.RuntimeDirectoryMode, agent_.RuntimeDirectoryMode) == ("0750",) * 3
    assert (keosd.StateDirectoryMode, keosd.UMask, keosd.PrivateNetwork) == ("0700", "0007", "yes")
    members = re.findall(r"(?m)^m (\S+) (\S+)$", (SYSTEMD / "sysusers.d" / "nodeos-failover.conf").read_text())
    assert set(members) == {(gate.User, agent_.User), (agent_.User, gate.User), (gate.User, keosd.User)}
    assert (gate.Restart, gate["Unit"]["StartLimitIntervalSec"], gate.Type) == ("always", "0", "notify")
    assert float(gate.WatchdogSec) > 4 * ALIVE_S


def test_credentials_have_the_names_that_the_configuration_reads(tmp_path: Path) -> None:
    """What LoadCredential puts into $CREDENTIALS_DIRECTORY is found under the same names."""
    names = re.findall(r"^#LoadCredential=([^:]+):", Unit(UNITS[0]).text, re.MULTILINE)
    for name in names:
        (tmp_path / name).write_text("https://hooks.example.org/services/secret")
        (tmp_path / name).chmod(0o600)
    config = tmp_path / "config.toml"
    channel = '[[alerts]]\nname = "ops"\ntype = "webhook"\n'
    config.write_text(
        (SYSTEMD / "config.example.toml").read_text().replace("[etcd]", '[etcd]\nuser = "agent"') + channel
    )
    config.chmod(0o640)
    loaded = load(config, {"CREDENTIALS_DIRECTORY": str(tmp_path)})
    assert loaded.etcd.password is not None
    assert loaded.alerts[0].url.get_secret_value().startswith("https://hooks")
    assert names == ["etcd.password", "alerts.ops.url"]


def test_the_example_is_a_configuration() -> None:
    """What `install.sh` leaves can be edited and used."""
    assert load(SYSTEMD / "config.example.toml", {}).node == "bp-a"


# --- the install script ----------------------------------------------------------------------------------------------


def run(root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run the script on another root."""
    (root / "etc").mkdir(parents=True, exist_ok=True)
    command = [str(SYSTEMD / "install.sh"), *words]
    environ = {**os.environ, "DESTDIR": str(root)}
    return subprocess.run(command, env=environ, capture_output=True, text=True, check=False, timeout=60)


def tree(root: Path) -> dict[str, tuple[int, bytes]]:
    """Return mode and content of each file that is ours."""
    files = [path for path in root.rglob("*") if path.is_file() and "nodeos-failover" in str(path.relative_to(root))]
    return {str(path.relative_to(root)): (stat.S_IMODE(path.stat().st_mode), path.read_bytes()) for path in files}


def test_it_installs_once_however_often_it_runs(tmp_path: Path) -> None:
    """A second run changes nothing, and what an administrator changed in the configuration stays."""
    first = run(tmp_path, "--program", sys.executable)
    assert first.returncode == 0, first.stderr
    before = tree(tmp_path)
    assert set(before) == {
        *(f"etc/systemd/system/{name}" for name in UNITS + GATES + KEOSDS),
        "etc/sysusers.d/nodeos-failover.conf",
        "etc/nodeos-failover/config.toml",
    }
    assert f"ExecStart={sys.executable} run" in before["etc/systemd/system/nodeos-failover.service"][1].decode()
    assert before["etc/nodeos-failover/config.toml"][0] == 0o640
    (tmp_path / "etc/nodeos-failover/config.toml").write_text('group = "mine"\n')
    second = run(tmp_path, "--program", sys.executable)
    assert second.returncode == 0
    assert "installed" not in second.stdout
    after = tree(tmp_path)
    assert after.pop("etc/nodeos-failover/config.toml")[1] == b'group = "mine"\n'
    assert after == {name: each for name, each in before.items() if not name.endswith("config.toml")}


def test_it_brings_an_old_unit_up_to_date(tmp_path: Path) -> None:
    """A unit of an older version is replaced as a whole."""
    run(tmp_path, "--program", sys.executable)
    unit = tmp_path / "etc/systemd/system/nodeos-failover.service"
    unit.write_text("old\n")
    assert f"installed {unit}" in run(tmp_path, "--program", sys.executable).stdout
    assert "KillMode=process" in unit.read_text()


@pytest.mark.parametrize("purge", [False, True])
def test_it_uninstalls(tmp_path: Path, purge: bool) -> None:
    """Nothing of ours stays but the configuration, and with --purge not that either; twice is as good as once."""
    run(tmp_path, "--program", sys.executable)
    for _ in range(2):
        done = run(tmp_path, "--uninstall", *(["--purge"] if purge else []))
        assert done.returncode == 0, done.stderr
        assert set(tree(tmp_path)) == (set() if purge else {"etc/nodeos-failover/config.toml"})
    passwd = tmp_path / "etc/passwd"
    if purge and passwd.exists():
        assert "nodeos-failover" not in passwd.read_text()


@pytest.mark.parametrize(
    ("words", "wrong"),
    [
        (["--fly"], "unknown option"),
        (["--purge"], "goes with --uninstall"),
        (["--program", "bin/x"], "whole path"),
        (["--program", "/nowhere/x"], "cannot be executed"),
        (["--program"], "needs a path"),
    ],
)
def test_it_refuses_what_it_does_not_understand(tmp_path: Path, words: list[str], wrong: str) -> None:
    """A wrong call ends with a reason, and changes nothing."""
    done = run(tmp_path, *words)
    assert done.returncode != 0
    assert wrong in done.stderr
    assert tree(tmp_path) == {}


@pytest.mark.skipif(not shutil.which("shellcheck"), reason="shellcheck is not installed")
def test_the_script_is_clean() -> None:
    """Shellcheck has nothing to say."""
    done = subprocess.run(["shellcheck", str(SYSTEMD / "install.sh")], capture_output=True, text=True, check=False)
    assert done.stdout == ""
