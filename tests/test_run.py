"""`run` without the command line: the same words, the same errors, and little in memory."""

from __future__ import annotations

import gc
import subprocess
import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import pytest

import agent
from agent import app, main, run
from agent.config.model import Config
from agent.core.health.hysteresis import CheckState
from agent.core.model.copying import replace
from agent.errors import ConfigError, FailoverError, StoreUnavailable
from agent.host.paths import DEFAULT_CONFIG
from agent.ports import Delivery
from tests.doctor.parts import config


@pytest.mark.parametrize(
    ("words", "path"),
    [
        (["-c", "/a.toml"], "/a.toml"),
        (["--config", "/a.toml"], "/a.toml"),
        (["--config=/a.toml"], "/a.toml"),
        (["--help"], None),
        (["-c"], None),
        (["--config="], None),
        (["-c", "--help"], None),
        (["/a.toml"], None),
        (["-c", "/a.toml", "more"], None),
    ],
)
def test_words_that_are_not_plain_go_to_the_command_line(words: list[str], path: str | None) -> None:
    """Only what names a configuration file is taken; help and mistakes are the command line's to answer."""
    assert run.path_of(words) == path
    assert (main.quick(["run", *words]) is None) == (path is None)


def test_the_file_may_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a word it is the variable's, and without that the default."""
    monkeypatch.setenv("NODEOS_FAILOVER_CONFIG", "/b.toml")
    assert run.path_of([]) == "/b.toml"
    monkeypatch.delenv("NODEOS_FAILOVER_CONFIG")
    assert run.path_of([]) == DEFAULT_CONFIG


def test_a_reload_that_is_asked_for_at_the_start_does_not_end_it() -> None:
    """A parent guard hands SIGHUP on to an agent that has just been started, and would take its end for a crash."""
    program = """
import os, signal
from agent.main import quick
quick(["run"])
os.kill(os.getpid(), signal.SIGHUP)
"""
    assert subprocess.run([sys.executable, "-c", program], timeout=60, check=False).returncode == 0


def test_errors_are_told_alike_by_both_ways(tmp_path: Path) -> None:
    """A configuration that is refused ends both ways of starting with the same words and the same code."""
    broken = tmp_path / "agent.toml"
    broken.write_text('group = "g"\nnonsense = 1\n')
    whole = "from agent.cli.main import main; main(prog_name='nodeos-failover')"
    ways = [
        subprocess.run(command, capture_output=True, text=True, timeout=60)
        for command in (
            [sys.executable, "-m", "agent", "run", "--config", str(broken)],
            [sys.executable, "-c", whole, "run", "--config", str(broken)],
        )
    ]
    assert ways[0].returncode == ways[1].returncode == 3
    assert ways[0].stderr == ways[1].stderr
    assert "nonsense" in ways[0].stderr


def test_a_configuration_is_read_anew_from_the_same_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On SIGHUP the agent reads the file that it was started with, and 0 is the code of an end that was asked for."""
    file = tmp_path / "agent.toml"
    lines = 'group = "g"\nnode = "{node}"\nproducer = "eosio"\n[nodeos]\nurl = "http://127.0.0.1:1"\n'
    lines += '[etcd]\nendpoints = ["http://127.0.0.1:1"]\n'
    file.write_text(lines.format(node="one"))
    read: list[str] = []

    def agent(config: Config, reread: Callable[[], Config]) -> None:
        read.append(config.node)
        file.write_text(lines.format(node="two"))
        read.append(reread().node)

    monkeypatch.setattr(app, "run", agent)
    assert run.main(["-c", str(file)]) == 0
    assert read == ["one", "two"]


def test_garbage_is_collected_from_the_moment_that_an_agent_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only imports go without: an agent that never collected would grow for as long as it runs."""
    monkeypatch.setattr(app, "open_logs", lambda *_: None)
    monkeypatch.setattr(app, "secret_texts", lambda _: [])
    monkeypatch.setattr(gc, "freeze", lambda: None)
    seen: list[bool] = []

    def agent(*_: object) -> None:
        seen.append(gc.isenabled())
        raise StoreUnavailable("it ends here")

    monkeypatch.setattr(app, "Agent", agent)
    monkeypatch.setattr(run, "read_config", lambda _: config())
    assert run.main([]) == StoreUnavailable.exit_code
    assert seen == [True]
    assert gc.isenabled()


@pytest.mark.parametrize("error", [StoreUnavailable("no etcd"), ConfigError(["a", "b"])])
def test_an_agent_that_cannot_go_on_ends_with_the_code_of_its_error(
    error: FailoverError, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And its words go to standard error, each problem on a line of its own."""

    def refuse(_path: Path) -> Config:
        raise error

    monkeypatch.setattr(run, "read_config", refuse)
    assert run.main([]) == error.exit_code != 0
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == (
        ["nodeos-failover: 2 problems in the configuration", "  a", "  b"]
        if isinstance(error, ConfigError)
        else ["nodeos-failover: no etcd"]
    )
    assert run.told("x", ConfigError(["a"])).splitlines()[0] == "x: 1 problem in the configuration"


def test_a_delivery_tells_no_secret_and_no_more_than_is_known() -> None:
    """A failure is tried again only where a channel says so; what came back may repeat secrets and is not shown."""
    failed = Delivery(ok=False)
    assert not failed.retry
    assert failed.retry_after_s is None
    assert "secret" not in repr(Delivery(ok=True, answer="secret"))
    assert Delivery(ok=True, answer="one") == Delivery(ok=True, answer="two")


def test_an_agent_does_not_carry_what_only_commands_need() -> None:
    """Each of these is some MB that would stay for as long as the agent runs."""
    code = "import sys, agent.run, agent.app; print(*{name.split('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    heavy = {"click", "rich", "pydantic", "dotenv", "apprise"}
    assert not heavy & set(done.stdout.split())


def test_what_does_not_change_is_not_copied() -> None:
    """A record with the values that it has is itself, another is a new one, and the old one stays as it was."""
    check = CheckState(ok=True)
    assert replace(check, ok=True) is check
    changed = replace(check, ok=False)
    assert (check.ok, changed.ok) == (True, False)
    assert replace(changed, ok=True) == check


ROOT = Path(__file__).parents[1]
OURS = f'DISTRIBUTION = "{agent.DISTRIBUTION}"\n'


def start(*path: Path) -> subprocess.CompletedProcess[str]:
    """Run `nodeos-failover version` where Python looks at these directories first."""
    command = [sys.executable, "-c", "import nodeos_failover; nodeos_failover.main()", "version"]
    environment = {"PYTHONPATH": ":".join(map(str, path)), "PATH": "/usr/bin"}
    return subprocess.run(command, cwd="/", env=environment, capture_output=True, text=True, timeout=60)


def test_ours_starts() -> None:
    """With nothing in the way the command runs, and tells the version of the installed package."""
    done = start(ROOT)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"nodeos-failover {agent.__version__} " in done.stdout


def test_the_version_is_that_of_the_installed_package() -> None:
    """It is found by a name beside the packages, as importlib.metadata finds it, only sooner."""
    assert agent.__version__ == metadata.version(agent.DISTRIBUTION)


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ({"__init__.py": "VERSION = 3\n", "main.py": "def main(): print('other')\n"}, "of another program"),
        ({"__init__.py": OURS, "main.py": "import agent.nothing\n"}, "mixed with another's (No module named"),
        ({"__init__.py": OURS, "main.py": "run = 1\n"}, "mixed with another's (module 'agent.main' has no attribute"),
    ],
)
def test_anothers_is_told(tmp_path: Path, files: dict[str, str], told: str) -> None:
    """Another distribution's `agent`, or one that was written over ours."""
    (tmp_path / "agent").mkdir()
    for name, text in files.items():
        (tmp_path / "agent" / name).write_text(text)
    done = start(tmp_path, ROOT)
    assert done.returncode == 1
    assert done.stdout == ""
    assert told in done.stderr
    assert "virtual environment of its own" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_sources_alone_have_no_version_but_start(tmp_path: Path) -> None:
    """Without metadata of an installed package the version is unknown, and everything else works."""
    (tmp_path / "agent").symlink_to(ROOT / "agent")
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import agent; print(agent.__version__)"
    command = [sys.executable, "-I", "-S", "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.stdout == "0+unknown\n", done.stderr


LATE = ("prometheus_client", "agent.telemetry.http_server", "http.server", "agent.alerts.sinks", "requests", "dns")
"""What a leader that was restarted has no use for before its first confirmation (E_s - A may be 0.9 s)."""


def test_what_a_confirmation_does_not_need_is_imported_later() -> None:
    """All that is imported until the loop runs; metrics and the HTTP server come when somebody waits for them."""
    code = f"import agent.run, agent.app, sys; print(*[each for each in {LATE} if each in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, cwd=ROOT)
    assert done.stdout.split() == [], done.stderr
