"""What conditions mean on plain JSON: the one place where the rules of matching are written out.

Every store answers what these rules say. It may answer what it can by its own means and leave the rest to ``matches``;
where its database has other rules (for types, numbers, the case of letters, regular expressions), it must not use them.

- A path steps through objects by name and through arrays by index; any step also looks into the objects of an array.
  Paths are relative to the document given.
- A comparison holds if it does for the value found, for an element of it if that is an array, or for any of several
  found. When it does for two scalars is in ``scalars.py``.
- ``null`` equals null and an absent field. A field that the resource does not have, and a path that goes on below a
  scalar, are absent.
- ``contains`` holds if the path leads to anything, be it null; with a condition, if that holds for an object found or
  for one that is an element of an array found.
- An operator that negates another holds where the other does not: ``ne`` where ``eq`` does not, ``out`` where ``in``,
  ``excludes`` where ``contains``.
- A pattern is found in texts only; what it may say, and what it matches, is in ``regex.py``.
- What the values of a query stand for depends on the kind of the field: see ``coerce.py``.
- Records are ordered by the one scalar that the path leads to without looking into arrays except by index: those
  without come first, then numbers, texts, booleans; in the order of ``scalars.py``, false before true.
"""

from collections.abc import Callable, Sequence
from typing import Any

from taskd.rql.matcher import matcher_for, never
from taskd.rql.operators import COMPARISONS, Comparison
from taskd.rql.query import Contains, Group, Node, Path, Pattern, Value
from taskd.rql.scalars import comparable, same_type

_INDEX_MAX_DIGITS = 9

Cancelled = Callable[[], bool]


def matches(node: Node, roots: Sequence[Any], cancelled: Cancelled = never) -> bool:
    """Whether ``node`` holds for the document in ``roots``; for no document if ``roots`` is empty.

    The values in ``node`` are coerced: scalars and patterns only. Raises ``SearchCancelledError``.
    """
    if isinstance(node, Group):
        combined = all if node.op == "and" else any
        return combined(matches(condition, roots, cancelled) for condition in node.conditions)
    found = values_at(roots, node.path)
    if isinstance(node, Contains):
        return _contains(node, found, cancelled) != node.negated
    comparison = COMPARISONS[node.op]
    elements = _elements(found or (None,))
    holds = any(_relates(comparison, element, value, cancelled) for value in node.values for element in elements)
    return holds == (comparison.negates is None)


def _contains(node: Contains, found: Sequence[Any], cancelled: Cancelled) -> bool:
    if node.condition is None:
        return bool(found)
    elements = (element for element in _elements(found) if isinstance(element, dict))
    return any(matches(node.condition, (element,), cancelled) for element in elements)


def values_at(roots: Sequence[Any], path: Path) -> list[Any]:
    """Everything that ``path`` leads to from ``roots``; empty where the field is absent."""
    found = list(roots)
    for step in path:
        found = [child for value in found for child in _children(value, step)]
    return found


def _children(value: Any, step: str) -> list[Any]:
    if not isinstance(value, list):
        return _child(value, step)
    named = [element[step] for element in value if isinstance(element, dict) and step in element]
    return _child(value, step) + named


def scalar_at(root: Any, path: Path) -> Any:
    """The scalar at ``path`` by which a record is ordered; ``None`` if there is none."""
    found = [root]
    for step in path:
        found = [child for value in found for child in _child(value, step)]
    return None if not found or isinstance(found[0], dict | list) else found[0]


def _child(value: Any, step: str) -> list[Any]:
    """What ``step`` leads to in this very value: the member of that name, or the element of that index."""
    if isinstance(value, dict):
        return [value[step]] if step in value else []
    index = _array_index(step) if isinstance(value, list) else None
    return [] if index is None else value[index : index + 1]


def _array_index(step: str) -> int | None:
    """The index that a step of a path means on an array; ``None`` if it is not one."""
    is_index = step.isascii() and step.isdigit() and len(step) <= _INDEX_MAX_DIGITS
    return int(step) if is_index and (step == "0" or step[0] != "0") else None


def _elements(found: Sequence[Any]) -> list[Any]:
    """The values themselves, with arrays replaced by their elements."""
    return [element for value in found for element in (value if isinstance(value, list) else (value,))]


def _relates(comparison: Comparison, element: Any, value: Value, cancelled: Cancelled) -> bool:
    if isinstance(value, Pattern):
        return isinstance(element, str) and matcher_for(value.regex, value.ignore_case).search(element, cancelled)
    return same_type(element, value) and comparison.holds(comparable(element), comparable(value))
