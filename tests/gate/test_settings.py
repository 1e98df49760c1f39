"""The gate's settings: read quickly they are what the whole configuration says, and what is wrong is named."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from agent.config.gate import read_gate
from agent.config.load import load
from agent.config.model import Config
from agent.errors import ConfigError
from agent.gate import settings
from tests.lab.agents import to_toml
from tests.lab.nodeos import PUBLIC_KEY
from tests.lab.process import Process

BASE = {
    "group": "lab",
    "node": "bp-a",
    "producer": "eosio",
    "nodeos": {"url": "http://127.0.0.1:8888"},
    "etcd": {"endpoints": ["http://127.0.0.1:2379"]},
}


def write(root: Path, **gate: object) -> Path:
    """Write a configuration with a table [gate]."""
    path = root / "config.toml"
    path.write_text(to_toml({**BASE, "runtime": {"dir": str(root)}, "gate": gate}) + "\n")
    path.chmod(0o600)
    return path


def both(path: Path, environ: dict[str, str]) -> tuple[settings.Settings, Config]:
    """Read it both ways."""
    return read_gate(path, environ), load(path, environ)


def test_defaults_and_values_are_the_same_both_ways(tmp_path: Path) -> None:
    """The quick reading and the whole configuration agree on every setting, from file, environment and default."""
    password = tmp_path / "password"
    password.touch(0o600)
    password.write_text("PW5xyz\n")
    given = {
        "mode": "required",
        "public_key": PUBLIC_KEY,
        "keosd": "http://127.0.0.1:6666",
        "listen": "http://[::1]:6667",
        "control": str(tmp_path / "c.sock"),
        "wallet": "mine",
        "password_file": str(password),
        "agent_user": "root",
        "nodeos_user": "0",
    }
    environ = {"NODEOS_FAILOVER_GATE__WALLET": "other", "NODEOS_FAILOVER_RUNTIME__DIR": str(tmp_path / "r")}
    for table, env in (({"mode": "on", "public_key": PUBLIC_KEY}, {}), (given, {}), (given, environ)):
        quick, whole = both(write(tmp_path, **table), env)
        section = whole.gate
        assert quick.key == settings.key(section.public_key or "")
        assert (quick.keosd.text, quick.listen.text) == (section.keosd, section.listen)
        assert (quick.control, quick.wallet) == (str(section.control), section.wallet)
        assert quick.password_file == section.password_file
        assert quick.owner == settings.user(section.agent_user)
        assert quick.asker == (settings.user(section.nodeos_user) if section.nodeos_user else None)
        assert quick.page == whole.runtime.dir / "lab-bp-a.permit"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("public_key", "5KQwrPbwdL6PhXujxW37FSSQZ1JiwsST4cqQzDeyXtP79zkvFD3"),
        ("keosd", "http://10.0.0.1:6666"),
        ("keosd", "https://127.0.0.1:6666"),
        ("listen", "http://0.0.0.0:6666"),
        ("listen", "unix://relative"),
        ("listen", "unix:///run/nodeos-failover-gate/sign.sock"),
        ("control", "/" + "x" * 120),
        ("wallet", "../../etc/passwd"),
    ],
)
def test_bad_values_are_named_both_ways(tmp_path: Path, field: str, value: str) -> None:
    """Both readings refuse a value and name its setting; a private key is not repeated."""
    path = write(tmp_path, **{"mode": "on", "public_key": PUBLIC_KEY, field: value})
    for read in (read_gate, load):
        with pytest.raises(ConfigError) as caught:
            read(path, {})
        assert f"gate.{field}" in str(caught.value)
        assert "5KQwrPbwdL6P" not in str(caught.value)


def test_what_does_not_fit_together_is_refused(tmp_path: Path) -> None:
    """A gate needs a key, and three addresses."""
    with pytest.raises(ConfigError, match=r"gate\.public_key is missing"):
        load(write(tmp_path, mode="on"), {})
    with pytest.raises(ConfigError, match=r"gate\.public_key is missing"):
        read_gate(write(tmp_path, mode="on"), {})
    same = "http://127.0.0.1:6666"
    with pytest.raises(ConfigError, match=r"gate\.keosd and gate\.listen are the same"):
        load(write(tmp_path, mode="on", public_key=PUBLIC_KEY, keosd=same, listen=same), {})
    with pytest.raises(ConfigError, match=r"gate\.mode is off"):
        read_gate(write(tmp_path, public_key=PUBLIC_KEY), {})


def test_producer_key_stands_in_for_the_key(tmp_path: Path) -> None:
    """Who names the block-signing key for the health checks need not name it twice."""
    path = write(tmp_path, mode="on")
    environ = {"NODEOS_FAILOVER_NODEOS__PRODUCER_KEY": PUBLIC_KEY}
    assert read_gate(path, environ).key == settings.key(PUBLIC_KEY)
    assert load(path, environ).gate.mode == "on"


def test_password_is_read_from_a_private_file_or_a_credential(tmp_path: Path) -> None:
    """A password that everybody can read is refused, and is in no error."""
    password = tmp_path / "gate.password"
    password.write_text("PW5secret")
    password.chmod(0o644)
    path = write(tmp_path, mode="on", public_key=PUBLIC_KEY, password_file=str(password))
    with pytest.raises(ConfigError, match="chmod 0600") as caught:
        read_gate(path, {})
    assert "PW5secret" not in str(caught.value)
    password.chmod(0o600)
    path = write(tmp_path, mode="on", public_key=PUBLIC_KEY)
    assert read_gate(path, {"CREDENTIALS_DIRECTORY": str(tmp_path)}).password_file == password
    assert read_gate(path, {}).password_file is None


def test_gate_starts_with_few_imports(tmp_path: Path) -> None:
    """Nothing that is slow to import is part of the gate."""
    code = (
        "import sys; sys.argv[1:] = ['gate', '--config', '/nonexistent']\n"
        "from agent.main import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print(sorted({'pydantic', 'requests', 'etcd3', 'grpc', 'prometheus_client', 'click', 'http', 'ssl'} "
        "& set(sys.modules)))\n"
    )
    log = tmp_path / "log"
    process = Process("gate", [sys.executable, "-c", code], log, dict(os.environ))
    process.start()
    process.wait(20)
    *_, modules = log.read_text().splitlines()
    assert modules == "[]"
