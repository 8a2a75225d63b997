"""The house has floors: a module imports from the floors below its own, and never from a sibling room."""

import ast
from pathlib import Path

import pytest

import taskd

ROOT = Path(taskd.__file__).parent
FLOORS = {
    "taskd": 0,
    "taskd.model": 0,
    "taskd.rql": 0,
    "taskd.store": 1,
    "taskd.runtime": 1,
    "taskd.dispatch": 2,
    "taskd.auth": 2,
    "taskd.api": 3,
    "taskd.sdnotify": 3,
    "taskd.config": 4,
    "taskd.logs": 5,
    "taskd.collector": 5,
    "taskd.interpreter": 5,
    "taskd.machine": 5,
    "taskd.daemon": 6,
    "taskd.cli": 7,
    "taskd.__main__": 8,
}
ALLOWED_SIDEWAYS = {("taskd.rql", "taskd.model")}
"""Rooms of one floor where one is the other's ground; never both ways."""
SEALED = {"taskd.store.base", "taskd.store.settings", "taskd.runtime.base"}
"""All that the floors above may see of these rooms; only the composition root looks further."""


def modules() -> dict[str, Path]:
    found = {}
    for path in ROOT.rglob("*.py"):
        parts = path.relative_to(ROOT.parent).with_suffix("").parts
        if "examples" in parts:
            continue
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            found.add(node.module or "")
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in found if name.partition(".")[0] == "taskd" and name in modules()}


def room(module: str) -> str:
    return max((name for name in FLOORS if module == name or module.startswith(name + ".")), key=len)


def test_every_module_is_in_a_room() -> None:
    assert {room(module) for module in modules() if module != "taskd"} == set(FLOORS) - {"taskd"}


@pytest.mark.parametrize("module", sorted(modules()))
def test_a_module_imports_only_from_below_or_from_its_own_room(module: str) -> None:
    for imported in imports(modules()[module]) - {"taskd"}:
        ours, theirs = room(module), room(imported)
        below = FLOORS[theirs] < FLOORS[ours]
        assert ours == theirs or below or (ours, theirs) in ALLOWED_SIDEWAYS, f"{module} imports {imported}"


@pytest.mark.parametrize("module", sorted(modules()))
def test_nothing_above_the_seams_knows_what_is_behind_them(module: str) -> None:
    if FLOORS[room(module)] < 2 or room(module) in ("taskd.daemon", "taskd.config"):
        return
    for imported in imports(modules()[module]):
        behind = imported.startswith(("taskd.store.", "taskd.runtime."))
        by_operator = module.startswith("taskd.cli.journal") and imported.startswith("taskd.store.")
        assert not behind or imported in SEALED or by_operator, f"{module} imports {imported}"


def test_no_room_of_the_ground_floor_does_io() -> None:
    forbidden = {"asyncio", "sqlite3", "socket", "aiohttp", "subprocess", "threading"}
    for module, path in modules().items():
        if FLOORS[room(module)] == 0:
            names = {
                alias.name.partition(".")[0]
                for node in ast.walk(ast.parse(path.read_text()))
                if isinstance(node, ast.Import)
                for alias in node.names
            }
            assert not names & forbidden, module
