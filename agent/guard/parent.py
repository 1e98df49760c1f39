"""`nodeos-failover guard -- run …`: a parent for the agent where there is no systemd, such as PID 1 of a container.

It starts the agent, hands signals on to it, takes its sign of life over a pipe, and reaps whatever is left to it. When
the agent ends, or its loop gives no sign for too long (then it is killed first), nodeos is fenced; with --restart it is
not fenced while the agent's confirmation holds, and a new agent is started at once, which goes on without a lost block.
All the while it does what the guard beside each agent does: at V - A it stops nodeos (R3). Standard library only.
"""

from __future__ import annotations

import argparse
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from agent.errors import ConfigError, RefusedError
from agent.guard import fence
from agent.guard.guard import Guard
from agent.host.clock import boot_ms
from agent.host.paths import DEFAULT_CONFIG, PULSE_FD, Files, find
from agent.host.stderr import Voice

FORWARDED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)
ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)
LEAST_S = 2.0
"""The loop gives a sign about once a second when nothing happens."""
SILENCE_S = 3.0
START_S = 60.0
"""How long an agent may take until its first sign: it imports much, and the machine may be busy."""
END_S = 20.0
"""How long an agent may take to end: it stops nodeos within E, and closes what it has within some seconds."""
AGAIN_S = (0.1, 10.0)
"""The least and the longest pause before an agent is started again; it doubles while agents end before `STEADY_S`."""
STEADY_S = 30.0
HOPELESS = (2, ConfigError.exit_code, RefusedError.exit_code)
"""Exit codes that the next agent would end with as well."""


class Parent:
    """The agent as our child. `run` returns the exit code of the last one."""

    def __init__(self, command: list[str], files: Files, slow: fence.Slow, silence_s: float, *, restart: bool) -> None:
        self._command = command
        self._files = files
        self._slow = slow
        self._silence_s = silence_s
        self._restart = restart
        self._guard = Guard(files.runtime, 0)
        self._voice = Voice()
        self._pulse, self._child_end = os.pipe()
        self._wake, wake = os.pipe()
        for each in (self._pulse, self._wake, wake):
            os.set_blocking(each, False)
        os.set_inheritable(self._child_end, True)
        os.set_blocking(self._child_end, False)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        for number in (*FORWARDED, signal.SIGCHLD):
            signal.signal(number, lambda *_: None)  # the wake-up pipe carries it
        self._agent: subprocess.Popen[bytes] | None = None
        self._since = 0.0
        self._due = 0.0  # when the agent is ended if no sign comes
        self._ending = False
        self._pause_s = AGAIN_S[0]

    def run(self) -> int:
        """Go on until the agent has ended and is not to be started again, and nodeos is fenced."""
        self._start()
        while True:
            code = self._reap()
            if code is not None:
                again = self._restart and not self._ending and code not in HOPELESS
                self._fence(code, again)
                if again:
                    self._rest()
                if not again or self._ending:
                    return self._last(code)
                self._start()
            self._wait(self._look())

    def _last(self, code: int) -> int:
        """Return with the exit code when nodeos is fenced, or cannot be."""
        end = time.monotonic() + END_S
        while (
            not fence.fence(self._files, restart=False, slow=self._slow, supervised=True).proven
            and time.monotonic() < end
        ):
            self._wait(AGAIN_S[0])
        self._voice.end()
        return code

    def _start(self) -> None:
        environ = {**os.environ, PULSE_FD: str(self._child_end)}
        self._agent = subprocess.Popen(self._command, pass_fds=(self._child_end,), env=environ)
        self._since = time.monotonic()
        self._due = self._since + START_S

    def _look(self) -> float:
        """Do what the guard does, end an agent that gives no sign, and return how long to wait."""
        wait = self._guard.look()
        left = self._due - time.monotonic()
        if left <= 0 and self._agent is not None:
            self._voice.say("the agent gives no sign of life: it is killed")
            self._kill(signal.SIGKILL)
            self._due = time.monotonic() + self._silence_s
        return max(0.0, min(wait if wait is not None else left, left))

    def _wait(self, wait_s: float) -> None:
        """Wait for a sign or a signal, at most so long."""
        readable = select.select([self._pulse, self._wake], [], [], wait_s)[0]
        if self._pulse in readable and os.read(self._pulse, 4096) and not self._ending:
            self._due = time.monotonic() + self._silence_s
        if self._wake in readable:
            for number in os.read(self._wake, 64):
                self._take(signal.Signals(number))

    def _take(self, number: signal.Signals) -> None:
        if number not in FORWARDED:
            return
        if number in ENDING and not self._ending:
            self._ending = True
            self._due = time.monotonic() + END_S
        self._kill(number)

    def _kill(self, number: signal.Signals) -> None:
        if self._agent is not None:  # not reaped yet: its pid is still its own
            with suppress(ProcessLookupError):
                os.kill(self._agent.pid, number)

    def _reap(self) -> int | None:
        """Reap whatever has ended; return the agent's exit code (128 + the signal) if it is among them."""
        code = None
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return code
            if not pid:
                return code
            if self._agent is not None and pid == self._agent.pid:
                ended = os.waitstatus_to_exitcode(status)
                self._agent.returncode = ended  # reaped here, and nobody else is to try
                self._agent, code = None, 128 - ended if ended < 0 else ended

    def _fence(self, code: int, again: bool) -> None:
        """Fence now; but while the next agent may go on leave that to the guard that we are."""
        pending = fence.read_file(self._files.runtime)[0].armed
        left_ms = pending.left_ms(boot_ms()) if pending is not None and again else 0
        if left_ms:
            how = f"starting it again, nodeos may go on for {left_ms / 1000:.1f} s"
        else:
            how = fence.fence(self._files, restart=False, slow=self._slow, supervised=True).text
        self._voice.say(f"the agent ended with {code}: {how}")

    def _rest(self) -> None:
        """Pause before the next agent, the longer the sooner the one before ended; the guard looks meanwhile."""
        if time.monotonic() - self._since > STEADY_S:
            self._pause_s = AGAIN_S[0]
        end = time.monotonic() + self._pause_s
        self._pause_s = min(2 * self._pause_s, AGAIN_S[1])
        while not self._ending and (left := end - time.monotonic()) > 0:
            self._due = end + 1
            self._wait(min(left, self._guard.look() or left))


def arguments(words: list[str]) -> tuple[argparse.Namespace, list[str]]:
    """Return our options, and the command line of the agent; ends the process with 2 when there is none."""
    parser = argparse.ArgumentParser(
        prog="nodeos-failover guard",
        description=__doc__.split("\n\n", 1)[0],
        usage="%(prog)s [--restart] [--silence SECONDS] -- run [--config FILE]",
    )
    parser.add_argument("--restart", action="store_true", help="start the agent again when it ends")
    parser.add_argument(
        "--silence", type=float, default=SILENCE_S, help="seconds without a sign of life (default: %(default)s)"
    )
    cut = words.index("--") if "--" in words else len(words)
    given, command = parser.parse_args(words[:cut]), words[cut + 1 :]
    if not command or command[0] != "run":
        parser.error("say what to run: nodeos-failover guard -- run --config FILE")
    if not LEAST_S <= given.silence <= START_S:
        parser.error(f"--silence is {given.silence:g}: give {LEAST_S:g} to {START_S:g} seconds")
    return given, command


def _config(command: list[str], environ: Mapping[str, str]) -> Path:
    """Return the configuration file that the agent will read."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("-c", "--config", type=Path, default=environ.get("NODEOS_FAILOVER_CONFIG", DEFAULT_CONFIG))
    config: Path = parser.parse_known_args(command)[0].config
    return config


def main(words: list[str], environ: Mapping[str, str] = os.environ) -> int:
    """Run the agent as our child; return its exit code, 3 when there is no such configuration."""
    given, command = arguments(words)
    config = _config(command, environ)
    try:
        files = find(config, environ)
    except ConfigError as error:
        print(f"nodeos-failover guard: {error}", file=sys.stderr)  # noqa: T201 - this is a command
        return ConfigError.exit_code
    agent = [sys.executable, "-m", "agent", *command]
    parent = Parent(agent, files[0], lambda: fence.slow_means(config, environ), given.silence, restart=given.restart)
    return parent.run()
