"""The house has floors: a module imports from the floors below its own, and of a neighbour only what is not sealed."""

import ast
from collections.abc import Iterable
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import taskd

ROOT = Path(taskd.__file__).parent
FLOORS = {
    "taskd": 0,
    "taskd.model": 0,
    "taskd.rql": 0,
    "taskd.system": 0,
    "taskd.telemetry": 0,
    "taskd.store": 1,
    "taskd.runtime": 1,
    "taskd.auth": 1,
    "taskd.audit": 1,
    "taskd.execution": 2,
    "taskd.triggers": 2,
    "taskd.maintenance": 2,
    "taskd.webhooks": 2,
    "taskd.api": 3,
    "taskd.config": 4,
    "taskd.daemon": 5,
    "taskd.cli": 6,
    "taskd.__main__": 7,
}
GROUND = {
    ("taskd.rql", "taskd.model"),
    ("taskd.system", "taskd.model"),
    ("taskd.telemetry", "taskd.model"),
}
"""Rooms of one floor where one stands on the other; never both ways."""
SHOWN = {
    "taskd.store": {"taskd.store.base", "taskd.store.factory"},
    "taskd.runtime": {"taskd.runtime.base"},
}
"""All that the floors above may see of these rooms."""
BUILDS = {"taskd.config": ".settings", "taskd.daemon": ""}
"""The composition root sees what the seams hide, and the configuration the settings of it (names that end so)."""
OF_OPERATORS = {"taskd.cli.journal": "taskd.store.embedded"}
"""The commands that look into a directory while no daemon runs on it."""
NEIGHBOURS = {
    "taskd.api.validation": set[str](),
    "taskd.api.http": {"taskd.api.validation"},
    "taskd.api.resources": {"taskd.api.http", "taskd.api.validation"},
    "taskd.api.openapi": {"taskd.api.http", "taskd.api.validation"},
    "taskd.runtime.aws": set[str](),
    "taskd.runtime.local": set[str](),
    "taskd.store.embedded.journal": set[str](),
    "taskd.store.embedded.queue": set[str](),
    "taskd.store.embedded.catalogue": {"taskd.store.embedded.journal", "taskd.store.embedded.catalogue.sql"},
    "taskd.store.embedded.catalogue.sql": set[str](),
    "taskd.store.embedded.recovery": {"taskd.store.embedded.journal", "taskd.store.embedded.catalogue"},
}
"""Packages side by side in one room, and which of the others each may use."""
APART = {"taskd.api.resources"}
"""Packages whose modules do not know each other."""
PURE = {"taskd.model", "taskd.rql"}
IO = {"asyncio", "sqlite3", "socket", "aiohttp", "subprocess", "threading", "selectors", "multiprocessing"}


def modules() -> dict[str, Path]:
    found = {}
    for path in ROOT.rglob("*.py"):
        parts = path.relative_to(ROOT.parent).with_suffix("").parts
        if "examples" in parts:
            continue
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()


def imports_of(source: str) -> set[str]:
    """Everything that the source imports, in either form: modules, and names that may be modules."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "a relative import hides where it goes"
            found.add(node.module or "")
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


OURS = {module: {name for name in imports_of(path.read_text()) if name in MODULES} for module, path in MODULES.items()}
"""What each module imports of the house."""


def lies_in(module: str, package: str) -> bool:
    return module == package or module.startswith(package + ".")


def innermost(module: str, packages: Iterable[str]) -> str | None:
    return max((name for name in packages if lies_in(module, name)), key=len, default=None)


def room(module: str) -> str:
    return innermost(module, FLOORS) or ""


def test_every_module_is_in_a_room() -> None:
    assert {room(module) for module in MODULES if module != "taskd"} == set(FLOORS) - {"taskd"}
    assert {name for name in (*NEIGHBOURS, *APART, *SHOWN) if name not in MODULES} == set()


@pytest.mark.parametrize("module", sorted(MODULES))
def test_a_module_imports_only_from_below_or_from_its_own_room(module: str) -> None:
    for imported in OURS[module] - {"taskd"}:
        ours, theirs = room(module), room(imported)
        below = FLOORS[theirs] < FLOORS[ours]
        assert ours == theirs or below or (ours, theirs) in GROUND, f"{module} imports {imported}"


@pytest.mark.parametrize("module", sorted(MODULES))
def test_nobody_outside_a_sealed_room_knows_what_is_behind_its_seam(module: str) -> None:
    for imported in OURS[module]:
        sealed = innermost(imported, SHOWN)
        if sealed is None or lies_in(module, sealed) or imported in {sealed, *SHOWN[sealed]}:
            continue
        builds = module in BUILDS and imported.endswith(BUILDS[module])
        by_operator = module in OF_OPERATORS and lies_in(imported, OF_OPERATORS[module])
        assert builds or by_operator, f"{module} imports {imported}"


@pytest.mark.parametrize("module", sorted(MODULES))
def test_packages_side_by_side_keep_out_of_each_others_internals(module: str) -> None:
    ours = innermost(module, NEIGHBOURS)
    for imported in OURS[module]:
        theirs = innermost(imported, NEIGHBOURS)
        if ours is None or theirs is None or ours == theirs or room(module) != room(imported):
            continue
        assert theirs in NEIGHBOURS[ours], f"{module} imports {imported}"


@pytest.mark.parametrize("package", sorted(APART))
def test_no_resource_knows_another(package: str) -> None:
    for module in MODULES:
        if lies_in(module, package) and module != package:
            assert {name for name in OURS[module] if lies_in(name, package)} == set(), module


def test_no_imports_go_in_a_circle() -> None:
    order = {module: OURS[module] - {module} for module in MODULES}
    assert list(TopologicalSorter(order).static_order())  # raises CycleError, which names the circle


def test_rules_and_data_do_no_io() -> None:
    for module, path in MODULES.items():
        if room(module) in PURE:
            roots = {name.partition(".")[0] for name in imports_of(path.read_text())}
            assert not roots & IO, module


def test_every_form_of_an_import_is_seen() -> None:
    source = "import a.b\nfrom asyncio import Event\nfrom taskd.store import base as b\ndef f():\n    import sqlite3"
    assert imports_of(source) == {"a.b", "asyncio", "asyncio.Event", "taskd.store", "taskd.store.base", "sqlite3"}
