"""Modules that are imported under their own names with another text than that of their files."""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import importlib.util
from collections.abc import Callable, Sequence
from pathlib import Path
from types import CodeType, ModuleType

Change = Callable[[str, str], str]
"""Takes a module's name and text; returns the text that is run instead."""


class ChangedSource(importlib.abc.MetaPathFinder):
    """Finds the modules `names` before anybody else does, and changes their text. `applied`: those that were found."""

    def __init__(self, names: frozenset[str], change: Change) -> None:
        self._names, self._change = names, change
        self.applied: set[str] = set()

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """Find a module, if it is one of them."""
        if fullname not in self._names:
            return None
        found = importlib.machinery.PathFinder.find_spec(fullname, path)
        assert found is not None
        assert found.origin is not None
        self.applied.add(fullname)
        loader = _Loader(fullname, found.origin, self._change)
        return importlib.util.spec_from_file_location(fullname, found.origin, loader=loader)


class _Loader(importlib.machinery.SourceFileLoader):
    def __init__(self, name: str, path: str, change: Change) -> None:
        super().__init__(name, path)
        self._change = change

    def get_code(self, fullname: str) -> CodeType:
        return compile(self._change(fullname, Path(self.path).read_text()), self.path, "exec", dont_inherit=True)
