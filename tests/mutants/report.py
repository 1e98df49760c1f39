"""What became of each mistake: kept in a file, so that a run goes on where the last one ended, and told by folder."""

from __future__ import annotations

import json
import tomllib
from collections import defaultdict
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.mutants.trial import SURVIVED

EQUIVALENT = Path(__file__).with_name("equivalent.toml")


@dataclass(frozen=True)
class Result:
    """One mistake: where, the line before and after, and what became of it. `untested`: no test runs its function."""

    module: str
    hash: str
    number: int
    line: int
    before: str
    after: str
    became: str
    untested: bool = False


class Results:
    """All that are known; those of modules that have changed since are left out."""

    def __init__(self, file: Path, hashes: dict[str, str]) -> None:
        self._file = file
        lines = file.read_text().splitlines() if file.exists() else []
        every = [Result(**json.loads(line)) for line in lines]
        self._all = {(each.module, each.number): each for each in every if hashes.get(each.module) == each.hash}
        self._same = {
            (each["file"], each["before"], each["after"]) for each in tomllib.loads(EQUIVALENT.read_text())["mutant"]
        }

    def known(self, module: str, number: int, *, again: bool) -> bool:
        """Whether a mistake was tried; `again`: one that was not found is tried anew, unless it changes nothing."""
        found = self._all.get((module, number))
        return found is not None and (not again or found.became != SURVIVED or self.is_equivalent(found))

    def add(self, result: Result) -> None:
        """Keep one."""
        self._all[result.module, result.number] = result
        with self._file.open("a") as file:
            file.write(json.dumps(asdict(result)) + "\n")

    def is_equivalent(self, result: Result) -> bool:
        """Whether a mistake is listed as one that changes nothing."""
        return (Path(result.module).name, result.before, result.after) in self._same

    def lines(self, made: dict[str, int]) -> list[str]:
        """Return the report. `made`: how many mistakes each module has."""
        folders: dict[str, list[Result]] = defaultdict(list)
        for each in sorted(self._all.values(), key=lambda each: (each.module, each.line)):
            if each.module in made and each.before and not self.is_equivalent(each):
                folders[str(Path(each.module).parent)].append(each)
        lines = []
        for folder, tried in sorted(folders.items()):
            found = sum(each.became != SURVIVED for each in tried)
            whole = sum(number for module, number in made.items() if str(Path(module).parent) == folder)
            lines.append(f"{folder:24} {found / len(tried):6.1%}  {found} of {len(tried)} found, {whole} can be made")
            by_file: dict[str, list[Result]] = defaultdict(list)
            for each in tried:
                by_file[each.module].append(each)
            for module, those in sorted(by_file.items()):
                hit = sum(each.became != SURVIVED for each in those)
                lines.append(f"    {Path(module).name:24} {hit / len(those):6.1%}  {hit} of {len(those)}")
        for tried in folders.values():
            lines += [_line(each) for each in tried if each.became == SURVIVED]
        return lines


def _line(result: Result) -> str:
    note = "  (no test runs it)" if result.untested else ""
    return f"{result.module}:{result.line}: {result.before}  ->  {result.after}{note}"
