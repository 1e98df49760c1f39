"""Running hooks: real commands that work, fail, hang, fork, flood and do not exist."""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path

import pytest

from agent.config.section import Invalid
from agent.config.sections import HooksSection
from agent.core.node.state import HookDone, RunHook
from agent.runtime.hooks import Hooks, environment
from tests.support.children import await_end, wait_until

pytestmark = pytest.mark.usefixtures("no_leaks")

SECRET = "hunter2-in-the-agents-environment"


def run(*command: str, within: int = 3000, reason: str = "why", **more: str) -> HookDone:
    """Run a command as a hook."""
    action = RunHook("after_promote", 7, reason, "bp-a", "bp-b", within)
    return Hooks({"after_promote": command}, "eos", "bp-b").run(action)


def shell(script: str, within: int = 3000) -> HookDone:
    """Run a script of the shell as a hook."""
    return run("/bin/sh", "-c", script, within=within)


def test_a_hook_gets_its_words_and_nothing_of_the_agents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment has group, node, epoch, reason, from and to; secrets of the agent's are not in it."""
    monkeypatch.setenv("NODEOS_FAILOVER_ETCD__PASSWORD", SECRET)
    out = tmp_path / "env"
    assert shell(f"env > {out}").result == "ok"
    text = out.read_text()
    for line in ("GROUP=eos", "NODE=bp-b", "EPOCH=7", "REASON=why", "FROM=bp-a", "TO=bp-b", "HOOK=after_promote"):
        assert f"NODEOS_FAILOVER_{line}\n" in text
    assert SECRET not in text
    odd = environment(RunHook("after_promote", 1, "a\0b\nc", "", "", 1), "g", "n", {"PATH": "/bin", "X": "y"}, {})
    assert odd["NODEOS_FAILOVER_REASON"].isprintable()
    assert "X" not in odd


def test_a_failing_hook_tells_its_code_and_its_last_words() -> None:
    """A code that is not 0, and a signal, are failures with the end of what was said."""
    done = shell("echo first; echo 'no such key' >&2; exit 3")
    assert (done.result, done.hook, done.epoch) == ("failed", "after_promote", 7)
    assert done.detail == "exit code 3; it said: first no such key"
    assert shell("kill -TERM $$").detail == "ended by signal 15"
    assert shell("true").detail == ""


@pytest.mark.parametrize("command", ["/nonexistent/hook", "/etc/hostname", "/"])
def test_a_hook_that_cannot_be_started_is_an_error(command: str) -> None:
    """Whatever stands there in place of a program is told, and nothing is raised."""
    done = run(command)
    assert done.result == "error"
    assert done.detail.startswith("not started")


def test_a_hanging_hook_is_killed_with_its_children(tmp_path: Path) -> None:
    """After its deadline the whole group is gone, also of one that ignores SIGTERM and has children."""
    pids = tmp_path / "pids"
    begun = time.monotonic()
    done = shell(f"trap '' TERM; sleep 60 & echo $! > {pids}; sleep 61 & echo $! >> {pids}; wait", within=600)
    assert done.result == "timeout"
    assert "killed after 0.6 s" in done.detail
    assert time.monotonic() - begun < 3
    for pid in pids.read_text().split():
        await_end(pid)


def test_a_child_that_keeps_the_output_open_holds_nothing_up(tmp_path: Path) -> None:
    """A hook that ends well leaves nobody behind, and is not waited for beyond its end."""
    pid = tmp_path / "pid"
    begun = time.monotonic()
    done = shell(f"sleep 60 & echo $! > {pid}; exit 0", within=30_000)
    assert done.result == "ok"
    assert time.monotonic() - begun < 5
    await_end(pid.read_text())


@pytest.mark.parametrize("part", [64 * 1024, 50_000, 4096])
def test_a_flood_of_output_costs_little_and_ends_in_time(part: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that writes without end is read slowly, kept in a few bytes, and killed at its deadline.

    Also when a reading takes less than the whole pipe, as it does from a hook that is still writing.
    """
    reads, read = [0], os.read

    def counted(fd: int, size: int) -> bytes:
        reads[0] += 1
        return read(fd, min(size, part))

    monkeypatch.setattr("agent.runtime.hooks.os.read", counted)
    begun = time.monotonic()
    done = run("/usr/bin/yes", "x" * 1000, within=1000)
    assert done.result == "timeout"
    assert len(done.detail) < 500
    assert time.monotonic() - begun < 4
    assert 5 < reads[0] <= 60, "fifty readings a second at the most"


def test_a_hook_that_closes_its_output_is_still_waited_for() -> None:
    """The end of its output is not its end."""
    done = shell("exec >&- 2>&-; sleep 0.4; exit 5")
    assert (done.result, done.detail) == ("failed", "exit code 5")
    assert done.took >= 400


def test_the_end_of_the_agent_ends_its_hooks(tmp_path: Path) -> None:
    """Nobody would keep a deadline any more: what still runs is killed at once."""
    pid = tmp_path / "pid"
    hooks = Hooks({"after_demote": ("/bin/sh", "-c", f"echo $$ > {pid}; sleep 60")}, "eos", "bp-a")
    found: list[HookDone] = []
    action = RunHook("after_demote", 1, "", "", "", 30_000)
    thread = threading.Thread(target=lambda: found.append(hooks.run(action)))
    thread.start()
    wait_until(lambda: pid.exists() and pid.read_text())
    hooks.close()
    thread.join(5)
    assert [each.result for each in found] == ["failed"]
    await_end(pid.read_text())


def test_a_hook_that_starts_while_the_agent_ends_is_ended_too(tmp_path: Path) -> None:
    """It may have been started already when `close` looked for those that run: it does not outlive the agent."""
    pid = tmp_path / "pid"
    hooks = Hooks({"after_demote": ("/bin/sh", "-c", f"echo $$ > {pid}; sleep 60")}, "eos", "bp-a")
    hooks.close()
    done = hooks.run(RunHook("after_demote", 1, "", "", "", 30_000))
    assert (done.result, done.detail) == ("failed", "ended by signal 9")
    if pid.exists() and pid.read_text():
        await_end(pid.read_text())


def test_only_programs_that_can_be_run_are_configured(tmp_path: Path) -> None:
    """A relative path, a file that cannot be executed and a directory are refused, each by its name."""
    plain = tmp_path / "plain"
    plain.write_text("#!/bin/sh\n")
    for command in (["hook"], [str(plain)], [str(tmp_path)], ["/nonexistent"]):
        with pytest.raises(Invalid, match=r"hooks\.after_promote: "):
            HooksSection.model_validate({"after_promote": command})
    section = HooksSection.model_validate({"before_promote": [sys.executable, "-V"]})
    assert section.commands == {"before_promote": (sys.executable, "-V")}
    assert os.access(sys.executable, os.X_OK)
