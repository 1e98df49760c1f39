"""The one rule of layout: each folder imports only folders above it, and the core imports nothing but itself."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
CORE = tuple(f"agent.core.{each}" for each in ("model", "leadership", "health", "blocks", "alerts", "election", "node"))
BELOW = """
ports host net peers group etcd gate nodeos config guard alerts telemetry keepalived runtime app run doctor cli main
"""
ORDER = ("agent.__init__", "agent.errors", "agent.core.__init__", *CORE, *(f"agent.{each}" for each in BELOW.split()))
"""From the top down. The running agent ends with `run`: it imports nothing of doctor or cli."""
ENDS = ("agent.__main__",)
MODULES = {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in sorted(ROOT.glob("agent/**/*.py"))}


def imports(module: str) -> Iterator[str]:
    """Yield every module of ours that a module imports, anywhere in its text."""
    for node in ast.walk(ast.parse(MODULES[module].read_text())):
        names = [each.name for each in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: write imports in full"
            names = [f"{node.module}.{each.name}" for each in node.names]
        for name in names:
            if name.partition(".")[0] in ("agent", "tests"):
                found = (name, f"{name}.__init__", name.rpartition(".")[0], f"{name.rpartition('.')[0]}.__init__")
                yield next((each for each in found if each in MODULES), name)


def place(module: str) -> int:
    """Return a module's place in the order. ValueError where it has none."""
    return [module == each or module.startswith(f"{each}.") for each in (*ORDER, *ENDS)].index(True)


def test_every_module_has_a_place() -> None:
    """A new folder, and a new module beside the folders, is given its place in the order first."""
    assert [name for name in MODULES if not any((f"{name}.").startswith(f"{each}.") for each in (*ORDER, *ENDS))] == []


def test_each_folder_imports_only_what_is_above_it() -> None:
    """No import leads down, none leaves the core, and none leads to the tests."""
    wrong = [
        f"{module} imports {name}"
        for module in MODULES
        for name in imports(module)
        if name not in MODULES
        or place(name) > place(module)
        or (module.startswith("agent.core.") and not name.startswith("agent.core."))
    ]
    assert wrong == []


def test_no_class_name_is_given_twice() -> None:
    """A public class has a name of its own in all of `agent/`: what is found by its name is what was meant."""
    places: dict[str, list[str]] = {}
    for module, path in MODULES.items():
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places.setdefault(node.name, []).append(module)
    assert {name: found for name, found in places.items() if len(found) > 1} == {}


def test_a_name_is_imported_from_where_it_is_defined() -> None:
    """No module hands on what it imports itself: a name with two addresses is looked for at both."""
    froms = {
        module: [node for node in ast.parse(path.read_text()).body if isinstance(node, ast.ImportFrom)]
        for module, path in MODULES.items()
    }
    borrowed = {
        module: {each.asname or each.name for node in found for each in node.names} for module, found in froms.items()
    }
    wrong = [
        f"{module}: {each.name} of {node.module}"
        for module, found in froms.items()
        for node in found
        for each in node.names
        if each.name in borrowed.get(node.module or "", set()) | borrowed.get(f"{node.module}.__init__", set())
        and f"{node.module}.{each.name}" not in MODULES
    ]
    assert wrong == []


def test_a_logger_is_named_after_its_module() -> None:
    """What stands at `logger=` in a line of the log says where it comes from."""
    wrong = [
        module
        for module in MODULES
        for node in ast.parse(MODULES[module].read_text()).body
        if isinstance(node, ast.Assign) and ast.unparse(node).startswith("log = logging.getLogger(")
        if ast.unparse(node) != "log = logging.getLogger(__name__)"
    ]
    assert wrong == []
