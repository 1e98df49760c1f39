"""The command line: exit codes, messages without tracebacks, and commands that need no group."""

from __future__ import annotations

import json
import sys
import tomllib
import types
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from agent import __version__, errors
from agent.cli.main import main
from agent.cli.options import Commands
from agent.config.model import Config, settings
from tests.support.alert_channel import SECRET
from tests.support.slow_server import Serve, Server, answer

MINIMAL = """
group = "eos-mainnet"
node = "bp-a"
producer = "myproducer11"
nodeos.url = "http://127.0.0.1:8888"
etcd.endpoints = ["http://127.0.0.1:2379"]
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a file with the least configuration, in an environment without settings."""
    for name in ("NODEOS_FAILOVER_CONFIG", "RUNTIME_DIRECTORY", "CREDENTIALS_DIRECTORY"):
        monkeypatch.delenv(name, raising=False)
    path = tmp_path / "config.toml"
    path.write_text(MINIMAL)
    return path


def invoke(*arguments: str, env: dict[str, str] | None = None) -> Result:
    """Run a command."""
    return CliRunner().invoke(main, arguments, env=env)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.FailoverError("message"), 1),
        (errors.FenceError("message"), 1),
        (errors.ConfigError(["message", "another"]), 3),
        (errors.StoreUnavailable("message"), 4),
        (errors.StoreRejected("slug", "message"), 4),
        (errors.NodeosTimeout("message"), 5),
        (errors.NodeosAnswer(500, 0, "message"), 5),
        (errors.RefusedError("message"), 6),
        (errors.WaitTimeout("message"), 7),
    ],
)
def test_each_error_has_its_exit_code_and_no_traceback(error: errors.FailoverError, code: int) -> None:
    """Whatever the product raises on purpose ends a command with its own code and a message on stderr."""

    @click.group(cls=Commands)
    def group() -> None:
        """Test."""

    @group.command()
    def fail() -> None:
        raise error

    result = CliRunner().invoke(group, ["fail"], prog_name="nodeos-failover")
    assert result.exit_code == code
    assert "message" in result.stderr
    assert "Traceback" not in result.output


def test_a_programming_error_is_not_hidden() -> None:
    """What is not raised on purpose keeps its traceback."""

    @click.group(cls=Commands)
    def group() -> None:
        """Test."""

    @group.command()
    def fail() -> None:
        raise KeyError("bug")

    assert isinstance(CliRunner().invoke(group, ["fail"]).exception, KeyError)


def test_validate_says_what_is_fine_or_every_problem(file: Path) -> None:
    """Exit code 0 with the spans that follow, or 3 with a line for each problem."""
    result = invoke("config", "validate", "--config", str(file))
    assert result.exit_code == 0
    assert "production stops 1.1 s before it runs out" in result.stdout
    file.write_text(MINIMAL.replace("bp-a", "none") + "timing.lease_ttl = 6\nx = 1")
    result = invoke("config", "validate", "--config", str(file))
    assert result.exit_code == 3
    assert "3 problems in the configuration" in result.stderr
    assert len(result.stderr.splitlines()) == 4


def test_the_configuration_may_be_named_by_a_variable(file: Path) -> None:
    """NODEOS_FAILOVER_CONFIG stands in for --config, and other variables override the file."""
    env = {"NODEOS_FAILOVER_CONFIG": str(file), "NODEOS_FAILOVER_NODE": "bp-z"}
    assert "node bp-z" in invoke("config", "validate", env=env).stdout


def test_show_prints_effective_values_without_secrets(file: Path) -> None:
    """TOML and JSON can be read by machines; a password from the environment is masked."""
    env = {"NODEOS_FAILOVER_ETCD__USER": "joe", "NODEOS_FAILOVER_ETCD__PASSWORD": "hunter2"}
    toml = invoke("config", "show", "-c", str(file), env=env)
    assert tomllib.loads(toml.stdout)["etcd"]["user"] == "joe"
    data = json.loads(invoke("config", "show", "-c", str(file), "-f", "json", env=env).stdout)
    assert data["etcd"]["password"] == "**********"
    assert "hunter2" not in toml.output


def test_schema_is_a_json_schema() -> None:
    """The schema needs no configuration."""
    assert "etcd" in json.loads(invoke("config", "schema").stdout)["properties"]


def test_the_reference_has_a_row_for_every_setting() -> None:
    """The table for people is made from the same models: path, default, meaning."""
    rows = invoke("config", "schema", "-f", "markdown").stdout.splitlines()
    assert rows[0] == "| setting | default | meaning |"
    assert "| `group` | required | name of the group: the nodes that share one producer |" in rows
    assert '| `http.listen` | `"127.0.0.1:9877"` | HOST:PORT to listen on, an empty text to listen nowhere |' in rows
    assert any(row.startswith("| `timing.validity` | `6.0` | E: seconds") for row in rows)
    assert any(row.startswith("| `alerts[].url` |  |") for row in rows)
    assert any(row.startswith('| `runtime.dir` | `"/run/nodeos-failover"` |') for row in rows)
    assert len(rows) == 2 + len(list(settings()))


@pytest.mark.parametrize(("form", "start"), [("mermaid", "stateDiagram"), ("dot", "digraph"), ("table", "key ")])
def test_show_states_prints_the_diagram_of_the_core(form: str, start: str) -> None:
    """The diagram is made from the table that the core runs on."""
    result = invoke("show-states", "-f", form)
    assert result.exit_code == 0
    assert result.stdout.startswith(start)
    assert "leading" in result.stdout


def test_versions() -> None:
    """`version` and `--version` agree."""
    assert __version__ in invoke("version").stdout
    assert __version__ in invoke("--version").stdout


def test_usage_errors_exit_with_2() -> None:
    """An unknown command or option is the caller's mistake."""
    assert invoke("fly").exit_code == 2
    assert invoke("status", "--nope").exit_code == 2


def test_help_tells_the_exit_codes() -> None:
    """The codes that scripts rely on stand in --help."""
    text = invoke("--help").stdout
    for part in ("4 etcd", "5 nodeos", "6 refused", "8 group unhealthy"):
        assert part in text


def test_run_loads_the_configuration_and_hands_it_to_the_app(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`run` starts the app with what was loaded, and with nothing when that cannot be used."""
    seen: list[Config] = []
    app = types.ModuleType("agent.app")
    app.run = lambda config, _again: seen.append(config)  # type: ignore[attr-defined] # a stand-in for the app
    monkeypatch.setitem(sys.modules, "agent.app", app)
    monkeypatch.setattr("agent.app", app, raising=False)
    assert invoke("run", "--config", str(file)).exit_code == 0
    assert [config.node for config in seen] == ["bp-a"]
    file.write_text("node = 3")
    assert invoke("run", "--config", str(file)).exit_code == 3
    assert len(seen) == 1


BASE = """
group = "lab"
node = "bp-a"
producer = "eosio"
nodeos.url = "http://127.0.0.1:1"
etcd.endpoints = ["http://127.0.0.1:2"]
"""


@pytest.fixture
def servers(serve: Serve) -> dict[str, Server]:
    """A channel that works and one that does not."""
    return {"chat": serve(answer("200 OK", b"ok")), "hook": serve(answer("404 No", SECRET.encode()))}


def run(tmp_path: Path, servers: dict[str, Server], *arguments: str) -> Result:
    """Run `alerts test` with these channels."""
    tables = [
        f'[[alerts]]\nname = "{name}"\ntype = "{kind}"\nurl = "http://127.0.0.1:{servers[name].port}/{SECRET}"\n'
        for name, kind in (("chat", "slack"), ("hook", "webhook"))
        if name in servers
    ]
    path = tmp_path / "config.toml"
    path.write_text("\n".join([BASE, *tables]))
    path.chmod(0o600)
    return CliRunner().invoke(main, ["alerts", "test", "--config", str(path), *arguments])


def test_each_channel_is_tried_and_its_answer_shown(tmp_path: Path, servers: dict[str, Server]) -> None:
    """One line a channel, what came back below it; exit code 1 when one of them fails."""
    done = run(tmp_path, servers)
    assert done.exit_code == 1
    assert "chat (slack): delivered (" in done.output
    assert "    HTTP 200 ok" in done.output
    assert "hook (webhook): not delivered: HTTP 404 (" in done.output
    assert "1 of 2 channels do not deliver" in done.output
    assert SECRET not in done.output
    assert servers["chat"].connections == 2, "the test and its end"


def test_one_channel_can_be_named(tmp_path: Path, servers: dict[str, Server]) -> None:
    """Only the named one is tried; a name that there is not is refused with those that there are."""
    assert run(tmp_path, servers, "--channel", "chat").exit_code == 0
    assert servers["hook"].connections == 0
    done = run(tmp_path, servers, "--channel", "chatt")
    assert done.exit_code == 3
    assert "no channel is named chatt: there are chat, hook" in done.output


def test_without_channels_it_says_so(tmp_path: Path) -> None:
    """A configuration without channels has nothing to test."""
    assert "no channel to test: there are none" in run(tmp_path, {}).output
