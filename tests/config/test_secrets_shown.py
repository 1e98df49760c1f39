"""No secret of the configuration is shown by anything that prints: each one of the model, in each place."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from agent.cli.main import main
from agent.config.load import load
from agent.config.model import Config
from agent.config.secrets import secret_texts
from agent.config.section import Section, section_of
from agent.config.show import as_json, as_toml
from agent.host.logs import LONGEST_LINE, MASK, ROTATED, LineFormatter

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
