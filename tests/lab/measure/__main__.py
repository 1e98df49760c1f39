"""`make measure NAME=… ARGS="…"`: measure one thing. 1 when something is worse than it should be."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import cast

from tests.lab.measure import Measurement, say
from tests.lab.measure.usage import as_installed

NAMES = (
    "adopt",
    "alarms",
    "cost",
    "datagrams",
    "gate-speed",
    "margins",
    "scale",
    "scrape",
    "soak",
    "startup",
    "switchovers",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    names = argparse.ArgumentParser(prog="make measure", add_help=False)
    names.add_argument("name", choices=NAMES)
    name, rest = names.parse_known_args(arguments)
    module = importlib.import_module(f"tests.lab.measure.{name.name.replace('-', '_')}")
    measurement = cast("Measurement", module)
    parser = argparse.ArgumentParser(prog=f"make measure NAME={name.name}", description=module.__doc__)
    measurement.arguments(parser)
    parser.add_argument("--json", type=Path, help="where the figures go")
    chosen = parser.parse_args(rest)
    as_installed()
    say(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    with tempfile.TemporaryDirectory(prefix=f"nodeos-failover-{name.name}-") as root:
        found = measurement.measure(Path(root), chosen)
    say(f"\n{found.text}")
    for each in found.bad:
        say(f"not as it should be: {each}")
    if chosen.json:
        chosen.json.write_text(json.dumps(found.figures, indent=1) + "\n")
    return int(bool(found.bad))


if __name__ == "__main__":
    sys.exit(main())
