"""Where the program begins: commands that must start fast are started without the rest of the command line.

`fence` has to act within the slack of the protocol, `check --local` runs every second, `guard` is the parent of an
agent and should stay small, `gate` must be back before the next block, and `run` keeps what it imports for as long as
it runs. Everything else goes to `agent.cli`.
"""

from __future__ import annotations

import gc
import signal
import sys
from collections.abc import Callable

IMPORTED = 50_000
"""Objects after which a command looks for garbage: what it imports stays, and with 700 the looks took an eighth of its
processor time."""


def quick(words: list[str]) -> Callable[[list[str]], int] | None:
    """Return the fast command that `words` call, if it is one."""
    match words:
        case ["fence", *_]:
            from agent.guard import fence

            return fence.main
        case ["check", *_] if "--local" in words:
            from agent.keepalived import local_check

            return local_check.main
        case ["guard", *_]:
            from agent.guard import parent

            return parent.main
        case ["gate", *_]:
            from agent.config.gate import read_gate
            from agent.gate import main as gate

            return lambda rest: gate.main(rest, read_gate)
        case ["run", *rest]:
            signal.signal(signal.SIGHUP, signal.SIG_IGN)  # what it asks for is done anyway: the configuration is read
            from agent import run

            return run.main if run.path_of(rest) is not None else None
    return None


def main() -> None:
    """Run the command line; never returns."""
    words = sys.argv[1:]
    command = quick(words)
    if command is not None:
        sys.exit(command(words[1:]))
    gc.set_threshold(IMPORTED)
    from agent.cli.main import main as whole

    whole()


if __name__ == "__main__":
    main()
