"""Secrets: where they may come from, who may read them, and that they are never shown."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

from agent.config.load import load
from agent.config.model import Config
from agent.config.secrets import secret_texts
from agent.config.show import as_json, as_toml, schema
from agent.errors import ConfigError

SECRET = "correct-horse-battery"
BASE = """
group = "eos-mainnet"
node = "bp-a"
producer = "myproducer11"
nodeos.url = "http://127.0.0.1:8888"
"""
ETCD = '[etcd]\nendpoints = ["http://127.0.0.1:2379"]\nuser = "joe"\n'
SLACK = '[[alerts]]\nname = "ops"\ntype = "slack"\n'
HOOK = f"https://hooks.example/services/{SECRET}"


def write(path: Path, text: str, mode: int = 0o640) -> Path:
    """Write a file with these rights."""
    path.write_text(text)
    path.chmod(mode)
    return path


def problems(path: Path, environ: dict[str, str] | None = None) -> list[str]:
    """Return the problems of a configuration that must be refused; the secret is in none of them."""
    with pytest.raises(ConfigError) as caught:
        load(path, environ or {})
    assert SECRET not in str(caught.value)
    return caught.value.problems


def password(config: Config) -> str:
    """Return the password in the clear."""
    assert config.etcd.password is not None
    return config.etcd.password.get_secret_value()


def test_a_password_comes_from_a_file_without_its_newline(tmp_path: Path) -> None:
    """The usual newline at the end of a secret file is not part of the secret."""
    file = write(tmp_path / "password", f"{SECRET}\n")
    config = load(write(tmp_path / "c.toml", f'{BASE}{ETCD}password_file = "{file}"\n'), {})
    assert password(config) == SECRET
    assert config.etcd.password_file == file


def test_a_password_comes_from_the_environment(tmp_path: Path) -> None:
    """The variable of a secret works like any other."""
    path = write(tmp_path / "c.toml", BASE + ETCD)
    assert password(load(path, {"NODEOS_FAILOVER_ETCD__PASSWORD": SECRET})) == SECRET


def test_secrets_come_from_the_credentials_of_systemd(tmp_path: Path) -> None:
    """LoadCredential=etcd.password and alerts.NAME.url need no setting at all."""
    write(tmp_path / "etcd.password", SECRET, 0o400)
    write(tmp_path / "alerts.ops.url", HOOK, 0o400)
    path = write(tmp_path / "c.toml", BASE + ETCD + SLACK)
    found = problems(path)
    assert [problem.split(":")[0] for problem in found] == ["etcd.user is set without a password", "alerts[0]"]
    config = load(path, {"CREDENTIALS_DIRECTORY": str(tmp_path)})
    assert password(config) == SECRET
    assert config.alerts[0].url.get_secret_value() == HOOK


def test_a_secret_from_two_places_is_refused(tmp_path: Path) -> None:
    """A stale secret in one of two places would be a trap."""
    file = write(tmp_path / "etcd.password", SECRET)
    path = write(tmp_path / "c.toml", f'{BASE}{ETCD}password = "{SECRET}"\npassword_file = "{file}"\n')
    (problem,) = problems(path)
    assert problem.startswith("etcd.password is given twice (etcd.password and etcd.password_file)")
    path = write(tmp_path / "c.toml", f'{BASE}{ETCD}password_file = "{file}"\n')
    (problem,) = problems(path, {"CREDENTIALS_DIRECTORY": str(tmp_path)})
    assert "the credential etcd.password" in problem


@pytest.mark.parametrize("mode", [0o644, 0o602, 0o641])
def test_a_secret_file_for_everybody_is_refused(tmp_path: Path, mode: int) -> None:
    """Rights for others on a file with a secret are an error, with the command that mends it."""
    file = write(tmp_path / "url", HOOK, mode)
    path = write(tmp_path / "c.toml", f'{BASE}etcd.endpoints = ["a:1"]\n{SLACK}url_file = "{file}"\n')
    (problem,) = problems(path)
    assert problem.startswith("alerts[0].url: ")
    assert f"chmod 0640 {file}" in problem


def test_a_secret_inside_a_configuration_for_everybody_is_refused(tmp_path: Path) -> None:
    """0644 is fine for the file as long as no secret stands in it."""
    path = write(tmp_path / "c.toml", f'{BASE}{ETCD}password = "{SECRET}"\n', 0o644)
    (problem,) = problems(path)
    assert problem.startswith(f"etcd.password stands in {path}")
    assert f"chmod 0640 {path}" in problem
    assert load(write(path, f'{BASE}etcd.endpoints = ["a:1"]\n', 0o644), {}).node == "bp-a"


def test_a_private_tls_key_for_everybody_is_refused(tmp_path: Path) -> None:
    """The key of our client certificate is a secret, the certificates are not."""
    public = write(tmp_path / "public.pem", "x", 0o644)
    tls = f'[etcd]\nendpoints = ["https://a:1"]\nca_file = "{public}"\ncert_file = "{public}"\nkey_file = "{public}"\n'
    (problem,) = problems(write(tmp_path / "c.toml", BASE + tls))
    assert problem.startswith("etcd.key_file: ")
    public.chmod(0o600)
    assert load(tmp_path / "c.toml", {}).etcd.tls


@pytest.mark.parametrize("content", ["", "  \n", "x" * 70_000])
def test_a_file_that_holds_no_secret_is_refused(tmp_path: Path, content: str) -> None:
    """Empty, or far too much: it is the wrong file."""
    file = write(tmp_path / "password", content)
    (problem,) = problems(write(tmp_path / "c.toml", f'{BASE}{ETCD}password_file = "{file}"\n'))
    assert problem.startswith(f"etcd.password: {file}")


@pytest.mark.parametrize(
    "line",
    [
        f'passwrd = "{SECRET}"',
        f'password = ["{SECRET}"]',
        f'password = {{value = "{SECRET}"}}',
        f'[[alerts]]\nname = "a"\ntype = "slack"\nurl = "ftp://{SECRET}"',
        f'[[alerts]]\nname = "a"\ntype = "slack"\nurl = ["{SECRET}"]',
        f'[[alerts]]\nname = "a"\ntype = "slack"\nuri = "http://{SECRET}"',
        f'[http]\nlisten = "x"\n[alert]\nurl = "{SECRET}"',
    ],
)
def test_a_misplaced_secret_is_not_repeated_in_the_error(tmp_path: Path, line: str) -> None:
    """Wrong type, wrong name, wrong scheme: the message names the setting, never the value."""
    assert problems(write(tmp_path / "c.toml", f"{BASE}{ETCD}{line}\n"))


def test_nothing_that_shows_a_configuration_shows_a_secret(tmp_path: Path) -> None:
    """TOML, JSON, repr and str mask passwords and webhook URLs, wherever they came from."""
    text = f'{BASE}{ETCD}password = "{SECRET}"\n{SLACK}url = "{HOOK}"\n'
    config = load(write(tmp_path / "c.toml", text), {})
    for shown in (as_toml(config), as_json(config), repr(config), str(config)):
        assert "ops" in shown
        assert SECRET not in shown


def test_what_logs_must_mask_is_known(tmp_path: Path) -> None:
    """The password, the URL of a webhook, and the part of it that an HTTP library may log; not a short path."""
    text = f'{BASE}{ETCD}password = "{SECRET}"\n{SLACK}url = "{HOOK}"\n'
    texts = secret_texts(load(write(tmp_path / "c.toml", text), {}))
    assert texts == [SECRET, HOOK, f"/services/{SECRET}"]
    plain = text.replace(HOOK, "http://u:pass-word@127.0.0.1:9/x")
    assert secret_texts(load(write(tmp_path / "c.toml", plain), {}))[2:] == ["pass-word"]


def test_the_shown_values_are_toml_and_json_and_the_same(tmp_path: Path) -> None:
    """Both forms can be read again and agree; the TOML leaves out only what is not set."""
    text = f'{BASE}{ETCD}password = "{SECRET}"\n{SLACK}url = "{HOOK}"\n[timing]\nvalidity = 6.25\n'
    config = load(write(tmp_path / "c.toml", text), {})

    def without_nulls(value: object) -> object:
        if isinstance(value, dict):
            return {key: without_nulls(inner) for key, inner in value.items() if inner is not None}
        return [without_nulls(inner) for inner in value] if isinstance(value, list) else value

    assert tomllib.loads(as_toml(config)) == without_nulls(json.loads(as_json(config)))
    assert tomllib.loads(as_toml(config))["timing"]["validity"] == 6.25


def test_shown_values_without_secrets_load_again(tmp_path: Path) -> None:
    """`config show` of a configuration without secrets is a configuration."""
    config = load(write(tmp_path / "c.toml", f'{BASE}etcd.endpoints = ["a:1"]\n'), {})
    assert load(write(tmp_path / "again.toml", as_toml(config)), {}) == config


def test_the_schema_has_every_section_and_marks_secrets() -> None:
    """Editors can use the schema: it knows the sections, their descriptions, and which values are passwords."""
    data = json.loads(schema())
    assert set(data["required"]) == {"group", "node", "producer", "nodeos", "etcd"}
    assert data["$defs"]["AlertChannel"]["properties"]["url"]["format"] == "password"
    assert data["$defs"]["TimingSection"]["properties"]["validity"]["default"] == 6.0
    assert data["additionalProperties"] is False
