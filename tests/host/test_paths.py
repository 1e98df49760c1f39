"""Which files belong to a node: by the configuration, the environment, or what stands in the directory."""

from __future__ import annotations

import os
import stat
import threading
from datetime import datetime
from pathlib import Path

import pytest

from agent.errors import ConfigError
from agent.host.paths import Files, find, refusal, save_plan, save_refusal
from agent.host.stderr import Voice
from tests.support.children import wait_until


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A configuration of node n of group g."""
    path = tmp_path / "config.toml"
    path.write_text('group = "g"\nnode = "n"\n')
    return path


@pytest.mark.parametrize(
    ("environ", "found"),
    [
        ({}, "/run/nodeos-failover/g-n.json"),
        ({"NODEOS_FAILOVER_GROUP": "other"}, "/run/nodeos-failover/other-n.json"),
        ({"NODEOS_FAILOVER_NODE": "m"}, "/run/nodeos-failover/g-m.json"),
        ({"RUNTIME_DIRECTORY": "/run/a:/run/b"}, "/run/a/g-n.json"),
        ({"RUNTIME_DIRECTORY": "/run/a", "NODEOS_FAILOVER_RUNTIME__DIR": "/run/c"}, "/run/c/g-n.json"),
    ],
)
def test_the_environment_goes_before_the_file(environ: dict[str, str], found: str, file: Path) -> None:
    """As for the agent: else a fence would look for the tenure of another node."""
    (files,) = find(file, environ)
    assert str(files.runtime) == found
    plain = found.removesuffix(".json")
    assert [str(each) for each in (files.plan, files.stamp, files.alive, files.word)] == [
        f"{plain}.plan",
        f"{plain}.stamp",
        f"{plain}.alive",
        f"{plain}.word",
    ]


@pytest.mark.parametrize(
    ("table", "directory"),
    [
        ('[runtime]\ndir = "/run/own"\n', "/run/own"),
        ('[runtime]\ndir = ""\n', "/run/nodeos-failover"),
        ("[runtime]\ndir = 7\n", "/run/nodeos-failover"),
        ("runtime = 7\n", "/run/nodeos-failover"),
    ],
)
def test_the_directory_of_the_file_counts_if_it_is_one(table: str, directory: str, file: Path) -> None:
    """A configuration that was just spoilt is no reason for a fence to fail."""
    file.write_text(file.read_text() + table)
    assert find(file, {})[0].runtime == Path(directory) / "g-n.json"


@pytest.mark.parametrize(
    "spoilt", ['group = "g"\n', 'node = "n"\n', 'group = "../x"\nnode = "n"\n', "group = 7", "[", ""]
)
def test_without_a_name_all_that_stands_in_the_directory_is_meant(spoilt: str, file: Path, tmp_path: Path) -> None:
    """A fence that cannot tell which node it is for looks at each; with nothing there it says what to do."""
    file.write_text(spoilt)
    with pytest.raises(ConfigError, match="--config"):
        find(file, {})
    with pytest.raises(ConfigError):
        find(file, {"RUNTIME_DIRECTORY": str(tmp_path)})
    for name in ("h-2.plan", "g-1.plan", "g-1.json"):
        (tmp_path / name).write_text("{}")
    found = find(file, {"RUNTIME_DIRECTORY": str(tmp_path)})
    assert found == [Files(tmp_path / "g-1.json"), Files(tmp_path / "h-2.json")]


def test_a_refusal_stands_until_the_next_plan(tmp_path: Path) -> None:
    """Nobody else may read it, no half of it is ever there, and what is no refusal is none."""
    files = Files(tmp_path / "g-n.json")
    assert refusal(files) == ""
    save_refusal(files.runtime, "another group's")
    assert refusal(files) == "another group's"
    assert stat.S_IMODE(files.plan.stat().st_mode) == 0o600
    save_plan(files.runtime, {"guard": {}})
    assert refusal(files) == ""
    assert os.listdir(tmp_path) == ["g-n.plan"]  # noqa: PTH208 - only the names matter
    for text in ("[]", '{"refused": 7}', "{"):
        files.plan.write_text(text)
        assert refusal(files) == ""


def test_a_reader_that_hangs_holds_up_neither_a_word_nor_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes while a line is stuck is left out, the process can end, and a new line follows when it is free."""
    free, said = threading.Event(), list[bytes]()
    before = set(threading.enumerate())

    def write(number: int, text: bytes) -> int:
        assert number == 2
        free.wait(30)
        said.append(text)
        return len(text)

    monkeypatch.setattr("agent.host.stderr.os.write", write)
    voice = Voice("gate")
    voice.end()
    voice.say("one")
    voice.say("two")
    (writer,) = set(threading.enumerate()) - before
    assert writer.daemon, "the process could not end while its reader hangs"
    voice.end()
    free.set()
    wait_until(lambda: not writer.is_alive())
    voice.say("three")
    wait_until(lambda: len(said) == 2)
    times, words = zip(*(line.split(b" ", 1) for line in said), strict=True)
    assert words == (b"nodeos-failover gate: one\n", b"nodeos-failover gate: three\n")
    assert all(datetime.fromisoformat(each.decode()).tzinfo for each in times)
