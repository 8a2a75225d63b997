"""What conditions mean on plain JSON: the one place where the rules of matching are written out.

A store may answer what it can by its own means and leave the rest to this room. Paths are relative to the document
given. The rules:

- A path steps through objects by name and through arrays by index; any step also looks into the objects of an array.
- A comparison holds if it does for the value found, for an element of it if that is an array, or for any of several
  found. Types never mix: numbers compare with numbers, strings with strings; booleans and null are only equal to
  their like.
- ``null`` equals null and an absent field. ``ne`` and ``out`` hold where ``eq`` and ``in`` do not.
- ``like`` disregards case.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from taskd.rql.matcher import Matcher, never
from taskd.rql.query import Compare, Contains, Group, Member, Node, Path, Pattern, Value

_INT64_MIN, _INT64_MAX = -(2**63), 2**63 - 1
_INDEX_MAX_DIGITS = 9

Cancelled = Callable[[], bool]


def matches(node: Node, roots: Sequence[Any], cancelled: Cancelled = never) -> bool:
    """Whether ``node`` holds for the document in ``roots``; for no document if ``roots`` is empty.

    The values in ``node`` are settled: scalars and patterns only. Raises ``SearchCancelledError``.
    """
    match node:
        case Group(op="and"):
            return all(matches(condition, roots, cancelled) for condition in node.conditions)
        case Group():
            return any(matches(condition, roots, cancelled) for condition in node.conditions)
        case Contains():
            return _contains(node, values_at(roots, node.path), cancelled) != node.negated
        case Member():
            found = values_at(roots, node.path)
            is_member = any(_holds("eq", value, found, cancelled) for value in node.values)
            return is_member != (node.op == "out")
        case Compare():
            return _compares(node, values_at(roots, node.path), cancelled)


def _compares(node: Compare, found: Sequence[Any], cancelled: Cancelled) -> bool:
    if node.op == "ne":
        return not _holds("eq", node.value, found, cancelled)
    return _holds(node.op, node.value, found, cancelled)


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
    if isinstance(value, dict):
        return [value[step]] if step in value else []
    if not isinstance(value, list):
        return []
    named = [element[step] for element in value if isinstance(element, dict) and step in element]
    index = array_index(step)
    return named if index is None else value[index : index + 1] + named


def array_index(step: str) -> int | None:
    """The index that a step of a path means on an array; ``None`` if it is not one."""
    is_index = step.isascii() and step.isdigit() and len(step) <= _INDEX_MAX_DIGITS
    return int(step) if is_index and (step == "0" or step[0] != "0") else None


def _elements(found: Sequence[Any]) -> list[Any]:
    """The values themselves, with arrays replaced by their elements."""
    return [element for value in found for element in (value if isinstance(value, list) else (value,))]


def _holds(op: str, value: Value, found: Sequence[Any], cancelled: Cancelled) -> bool:
    if value is None and not found:
        return op == "eq"
    return any(_relates(op, element, value, cancelled) for element in _elements(found))


def _relates(op: str, element: Any, value: Value, cancelled: Cancelled) -> bool:
    if isinstance(value, Pattern):
        return isinstance(element, str) and matcher(value.regex, value.ignore_case).search(element, cancelled)
    if _kind(element) is not _kind(value):
        return False
    if op == "like":
        return contains_text(element, str(value))
    return _RELATIONS[op](_normal(element), _normal(value))


_RELATIONS: dict[str, Callable[[Any, Any], bool]] = {
    "eq": lambda left, right: left == right,
    "gt": lambda left, right: left > right,
    "ge": lambda left, right: left >= right,
    "lt": lambda left, right: left < right,
    "le": lambda left, right: left <= right,
}


def _kind(value: Any) -> type:
    return float if type(value) is int else type(value)


def _normal(value: Any) -> Any:
    """Integers past 64 bits count as the nearest double, as they do in the store."""
    if type(value) is int and not _INT64_MIN <= value <= _INT64_MAX:
        return float(value)
    return value


def contains_text(text: str, part: str) -> bool:
    """Whether ``part`` occurs in ``text``, whatever the case; of a purely ASCII ``part`` only ASCII letters fold."""
    if part.isascii():
        return _fold_ascii(part) in _fold_ascii(text)
    return part.casefold() in text.casefold()


def _fold_ascii(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass").lower()


@lru_cache(maxsize=128)
def matcher(regex: str, ignore_case: bool) -> Matcher:  # noqa: FBT001 - called as SQL functions call
    """The matcher for a pattern, compiled once. Raises ``RegexError``."""
    return Matcher(regex, ignore_case=ignore_case)
