"""Trims records to the fields that a query selected."""

from collections.abc import Iterable
from typing import Any, cast

from taskd.rql.query import Path

Tree = dict[str, "Tree"]
"""What to keep, by field name; an empty tree keeps everything below."""


def project(record: dict[str, Any], paths: Iterable[Path]) -> dict[str, Any]:
    """``record`` with nothing but ``id`` and the fields at ``paths``; the record itself if there are no paths.

    In an array, every object is trimmed and other elements are left out. Fields that ``record`` lacks stay absent.
    """
    tree = _tree(paths)
    return record if not tree else cast(dict[str, Any], _trimmed(record, {**tree, "id": {}}))


def _tree(paths: Iterable[Path]) -> Tree:
    """The paths as one tree; a path swallows the ones that go on below it."""
    root: Tree = {}
    for path in sorted(set(paths), key=len, reverse=True):
        tree = root
        for name in path[:-1]:
            tree = tree.setdefault(name, {})
        tree[path[-1]] = {}
    return root


def _trimmed(source: Any, tree: Tree) -> Any:
    """A copy of ``source`` that holds only what ``tree`` keeps. Not recursive, because data may be deep."""
    top: list[Any] = []
    pending: list[tuple[Any, Tree, Any]] = [([source], tree, top)]
    while pending:
        value, keep, target = pending.pop()
        for key, child, below in _kept(value, keep):
            copy = child if not below else {} if isinstance(child, dict) else []
            _put(target, key, copy)
            if below:
                pending.append((child, below, copy))
    return top[0]


def _kept(value: Any, keep: Tree) -> list[tuple[str | None, Any, Tree]]:
    """The parts of an object or array to keep: name, part, and what to keep below it."""
    if isinstance(value, list):
        return [(None, element, keep) for element in value if isinstance(element, dict)]
    parts = [(name, value[name], below) for name, below in keep.items() if name in value]
    return [part for part in parts if not part[2] or isinstance(part[1], dict | list)]


def _put(target: Any, key: str | None, value: Any) -> None:
    if key is None:
        target.append(value)
    else:
        target[key] = value
