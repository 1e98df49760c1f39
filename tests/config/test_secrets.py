"""Secrets: from files and credentials, each from one place, and nowhere shown."""

from __future__ import annotations

import json
import logging
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from agent.cli.main import main
from agent.config.load import load
from agent.config.model import Config
from agent.config.secrets import secret_texts
from agent.config.section import Section, section_of
from agent.config.show import as_json, as_toml, schema
from agent.errors import ConfigError
from agent.host.logs import LONGEST_LINE, MASK, ROTATED, LineFormatter

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


SECRETS = {
    "etcd.password": 'pass"wörd\\with all',
    "http.token": "t0ken-of-32-characters-or-more-0123456789",
    "alerts.url": 'http://user:pa55word@127.0.0.1:1/services/T0/B0/s3cret"path\\x',
    "alerts.secret": 'signing"key\\ß',
    "alerts.proxy": "http://joe:pr0xy-pass@127.0.0.1:1",
}
TOML = """
group = "eos"
node = "bp-a"
producer = "myproducer11"
nodeos.url = "http://127.0.0.1:1"
[etcd]
endpoints = ["127.0.0.1:1"]
user = "joe"
password = {etcd.password}
[http]
token = {http.token}
[[alerts]]
name = "ops"
type = "webhook"
url = {alerts.url}
secret = {alerts.secret}
proxy = {alerts.proxy}
timeout = 0.1
"""
PARTS = (*SECRETS.values(), "pa55word", "pr0xy-pass")


def secrets_of(kind: type[Section], prefix: str = "") -> Iterator[str]:
    """Yield the path of each secret of a section."""
    for name, setting in kind.fields().items():
        if setting.secret:
            yield f"{prefix}{name}"
        if (inner := section_of(setting.hint)) is not None:
            yield from secrets_of(inner, f"{prefix}{name}.")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Write a configuration with every secret."""
    text = TOML
    for name, value in SECRETS.items():
        text = text.replace(f"{{{name}}}", json.dumps(value, ensure_ascii=False))
    file = tmp_path / "agent.toml"
    file.write_text(text + f'[runtime]\ndir = "{tmp_path}"\n')
    file.chmod(0o600)
    return file


@pytest.fixture
def config(path: Path) -> Config:
    """Read it."""
    return load(path, {})


def shown(text: str) -> list[str]:
    """Return the secrets that stand in a text, as they are, or written as JSON, Python or TOML would."""
    return [part for part in PARTS if any(each in text for each in written(part))]


def written(text: str) -> set[str]:
    """Return the forms of a text."""
    return {text, json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1], repr(text)[1:-1]}


def test_every_secret_of_the_model_is_looked_at_here(config: Config) -> None:
    """A secret that is added to the model has to be added to what is masked, and to these tests."""
    assert set(secrets_of(Config)) == set(SECRETS)
    assert set(SECRETS.values()) <= set(secret_texts(config))


@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.parametrize("rotated", [False, True], ids=["at the start", "rotated"])
@pytest.mark.parametrize("part", PARTS)
def test_a_log_line_masks_it(config: Config, form: str, part: str, rotated: bool) -> None:
    """In the message, its arguments, a field, the key of a field and a traceback, whatever the form of the line."""
    formatter = LineFormatter(form, {"node": "bp-a"}, [] if rotated else secret_texts(config))
    if rotated:
        formatter.mask(part)
    error = ValueError(f"refused: {part}")
    made = logging.LogRecord("a", logging.ERROR, "f", 1, f"used {part} for %s", (part,), (type(error), error, None))
    made.__dict__.update({"why": part, "more": {"inner": [part]}, f"key {part}": 1})
    line = formatter.format(made)
    assert not shown(line), line
    assert line.count(MASK) >= 5
    assert form != "json" or json.loads(line)["why"] == MASK


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_line_that_is_cut_shows_no_part_of_it(config: Config, form: str) -> None:
    """A long line ends somewhere: not within a secret that is no secret any more once it is cut."""
    formatter = LineFormatter(form, {}, secret_texts(config))
    secret = SECRETS["alerts.url"]
    for ahead in range(LONGEST_LINE - 200, LONGEST_LINE, 7):
        made = logging.LogRecord("a", logging.ERROR, "f", 1, "x" * ahead + secret * 3, (), None)
        assert secret[:20] not in formatter.format(made)


def test_the_configuration_does_not_show_it(config: Config) -> None:
    """As TOML, JSON, and as Python writes it in a traceback."""
    for text in (as_toml(config), as_json(config), repr(config), str(config), repr(config.alerts), str(config.etcd)):
        assert not shown(text)
        assert "bp-a" in text or "ops" in text or "joe" in text


@pytest.mark.parametrize(
    "words",
    [
        "config validate",
        "config show",
        "config show --format json",
        "doctor --timeout 2",
        "doctor --timeout 2 --format json",
        "status --timeout 0.3",
        "check --timeout 0.3",
        "check --agent --timeout 0.3",
        "history --timeout 0.3",
        "alerts test",
        "switchover --yes --timeout 0.3",
        "drain --yes --timeout 0.3",
    ],
)
def test_no_command_shows_it(path: Path, words: str) -> None:
    """Whatever a command says of a configuration, or of an etcd, a nodeos and a channel that are not there."""
    result = CliRunner().invoke(main, words.split(), env={"NODEOS_FAILOVER_CONFIG": str(path)})
    assert result.output
    assert "Usage:" not in result.output
    assert not shown(result.output + repr(result.exception)), result.output


@pytest.mark.parametrize("name", [*SECRETS, "unknown"])
def test_no_error_of_a_configuration_shows_it(path: Path, name: str) -> None:
    """A secret that is of the wrong type or in the wrong place is named by its setting, not by its value."""
    for spoilt in ("[{}]", "{{x = {}}}", "[[{}]]"):
        text = path.read_text()
        if name != "unknown":
            value = json.dumps(SECRETS[name], ensure_ascii=False)
            text = text.replace(f"= {value}", f"= {spoilt.format(value)}")
        if name == "unknown":
            text = text.replace("password =", "passwort =").replace("token =", "tocken =").replace("url =", "uri =")
        path.with_name("bad.toml").write_text(text)
        path.with_name("bad.toml").chmod(0o600)
        result = CliRunner().invoke(main, ["config", "validate", "--config", str(path.with_name("bad.toml"))])
        assert result.exit_code == 3
        assert not shown(result.output), result.output


def test_of_rotated_secrets_the_newest_stay_masked() -> None:
    """A password that is renewed each day does not pile up; the oldest go, and none of the configuration."""
    formatter = LineFormatter("text", {}, ["secret-of-the-start"])
    for number in range(ROTATED + 2):
        formatter.mask(f"secret-number-{number:03d}")
        formatter.mask("secret-of-the-start")
    words = ["secret-of-the-start", *(f"secret-number-{number:03d}" for number in range(ROTATED + 2))]
    lines = {word: formatter.format(logging.LogRecord("a", logging.ERROR, "f", 1, word, (), None)) for word in words}
    assert [word for word, line in lines.items() if word in line] == words[1:3]
