"""The command `make chaos`: play a plan, judge what happened, and write it down."""

from __future__ import annotations

import argparse
import json
import secrets
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from tests.lab.chain import NAMES
from tests.lab.chaos import report, timeline
from tests.lab.chaos.checker import check
from tests.lab.chaos.history import History
from tests.lab.chaos.plan import Plan, make_plan
from tests.lab.chaos.run import Run
from tests.lab.errors import LabError

OUT = Path("chaos-latest")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it; 1 when a promise was broken, 2 when the lab itself could not go on."""
    parser = argparse.ArgumentParser(
        prog="make chaos", description="Random faults on a real group, and what came of it."
    )
    parser.add_argument("--faults", "-n", type=int, default=300, help="how many (default 300, about 20 minutes)")
    parser.add_argument("--hosts", type=int, choices=(2, 3), default=3, help="agents with a nodeos each (default 3)")
    parser.add_argument("--gate", action="store_true", help="nodes sign through gates (gate.mode = required)")
    parser.add_argument("--failsafe", action="store_true", help="promises count for as long as etcd is away")
    parser.add_argument("--seed", "--replay", type=int, help="play the plan of this seed (default: a new one)")
    parser.add_argument("--out", type=Path, default=OUT, help=f"where report and picture go (default {OUT})")
    parser.add_argument("--keep", type=Path, help="a directory in which all parts run, and leave their logs")
    parser.add_argument("--loopback", action="store_true", help="no network namespaces, though they are allowed")
    parser.add_argument("--plan", action="store_true", help="print the plan, and do nothing")
    chosen = parser.parse_args(arguments)
    seed = chosen.seed if chosen.seed is not None else secrets.randbelow(1_000_000)
    plan = make_plan(seed, chosen.faults, NAMES[: chosen.hosts], gate=chosen.gate, failsafe=chosen.failsafe)
    again = f"--replay {seed} --faults {chosen.faults} --hosts {chosen.hosts}{' --gate' * chosen.gate}"
    again += " --failsafe" * chosen.failsafe
    say(f'seed {seed}: again with make chaos ARGS="{again}"')
    if chosen.plan:
        for number, faults in enumerate(plan.rounds, 1):
            for fault in faults:
                say(f"round {number}  {fault.at:6.2f} s  {fault}")
        return 0
    try:
        return play(plan, chosen.out, chosen.keep, namespaces=not chosen.loopback)
    except LabError as error:
        say(f"the lab could not go on: {error}")
        return 2


def say(text: str) -> None:
    """Print a line at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def play(plan: Plan, out: Path, keep: Path | None = None, *, namespaces: bool = True) -> int:
    """Play a plan, and write report, picture and history; 1 when P1 or P2 was broken."""
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="nodeos-failover-chaos-") as root:
        run = Run(plan, keep.resolve() if keep else Path(root), say, namespaces=namespaces)
        try:
            history = run.play()
        finally:
            run.close()
    return judge(plan, history, out)


def judge(plan: Plan, history: History, out: Path) -> int:
    """Check a history, write what was found, and return the exit code."""
    verdict = check(history)
    text = report.report(plan, history, verdict)
    (out / "report.md").write_text(text)
    (out / "history.json").write_text(json.dumps({"plan": asdict(plan), **asdict(history)}, indent=1) + "\n")
    title = f"seed {plan.seed}: {len(history.done)} faults, {len(verdict.violations)} violations"
    (out / "timeline.svg").write_text(timeline.draw(history, verdict, title))
    say("\n" + text)
    say(f"written: {out}/report.md, {out}/timeline.svg, {out}/history.json")
    return 1 if verdict.violations else 0


if __name__ == "__main__":
    sys.exit(main())
