"""Where the command `nodeos-failover` begins: it sees that the package `agent` is ours before it hands over to it.

`agent` is no rare name. Where another distribution has put its own `agent` in the same place, or in one that Python
looks at first, the command would end in a traceback, or run a mixture of both.
"""

from __future__ import annotations

import importlib
import sys
from typing import NoReturn

REMEDY = "install nodeos-failover into a virtual environment of its own (python3 -m venv), or by the .deb"


def main() -> NoReturn:
    """Run the command line; never returns. Exit code 1 when `agent` is another's."""
    try:
        found = importlib.import_module("agent")
        if getattr(found, "DISTRIBUTION", "") != "nodeos-failover":
            sys.exit(f"nodeos-failover: {found.__file__} is the package `agent` of another program: {REMEDY}")
        run = importlib.import_module("agent.main").main
    except (ImportError, AttributeError, SyntaxError) as error:
        sys.exit(f"nodeos-failover: its package `agent` is incomplete or mixed with another's ({error}): {REMEDY}")
    sys.exit(run())


if __name__ == "__main__":
    main()
