"""Conditions on columns that hold JSON, and ordering by what is in them.

SQLite's own JSON functions answer what they can: a path of plain names, down to a scalar or an array. They cannot look
into the objects of an array half-way, and they compare names with the JSON text as it is written, escapes and all;
such cases go to ``rql_test``, which decodes the document and applies the rules as ``taskd.rql.evaluate`` has them.
"""

import re
from collections.abc import Mapping

import msgspec
from msgspec.structs import replace

from taskd.rql.evaluate import matches
from taskd.rql.operators import COMPARISONS
from taskd.rql.query import Compare, Contains, Member, Path
from taskd.store.embedded.catalogue.sql.comparisons import number_test, text_test
from taskd.store.embedded.catalogue.sql.fragment import FALSE, Fragment, bound, constant, joined, listed

_NATIVE_NAME = re.compile(r"(?![0-9]+\Z)[A-Za-z0-9_$:@ -]+", re.ASCII)
"""A name that stands in JSON text as it is, and is not an index of an array."""
_STEPS_MAX = 8
"""Longer paths are rare, and dearer to spell out in SQL than to decode a document for."""
_VERBATIM = re.compile(r"[ !#-\[\]-~]*")
"""ASCII that JSON writes as it is, or with an escape."""
_PREFILTER_VALUES_MAX = 8
"""With more values, looking for each in turn costs more than parsing."""
_CONSTANTS: Mapping[str, object] = {"true": True, "false": False, "null": None, "object": {}}
"""SQLite's names for types of which one value is like another, and such a value."""


def document_test(column: str, node: Compare | Member | Contains) -> Fragment:
    """Whether the JSON in ``column`` satisfies ``node``, a positive condition whose path begins at the JSON's top."""
    if isinstance(node, Contains):
        return _presence(column, node)
    prefilter, test = _prefilter(column, node), _test(column, node)
    return test if prefilter is None else joined("AND", [prefilter, test])


def _prefilter(column: str, node: Compare | Member) -> Fragment | None:
    """What holds for every text that satisfies ``node``, and for few others, and is found out without parsing them.

    JSON that holds a string holds its characters between quotes, unless there are escapes in it.
    """
    if COMPARISONS[node.op].sign != "=" or len(node.values) > _PREFILTER_VALUES_MAX:
        return None
    literals = [f'"{value}"' for value in node.values if isinstance(value, str) and _VERBATIM.fullmatch(value)]
    if len(literals) < len(node.values):
        return None
    found = [Fragment(f"instr({column}, ") + bound(literal) + ") > 0" for literal in literals]
    return joined("OR", [*found, Fragment(f"instr({column}, '\\') > 0")])


def _test(column: str, node: Compare | Member) -> Fragment:
    if not _is_native(node.path):
        return _decoded_test(column, node)
    of_constants, absent = _of_constants(node), _of_absent(node)
    of_element = {**_of_types(node, Fragment("element.value")), **of_constants}
    of_elements = _case(Fragment("element.type"), of_element, FALSE, FALSE)
    each = _at("json_each", column, node.path)
    branches = {
        **_of_types(node, _at("json_extract", column, node.path)),
        **of_constants,
        "array": "EXISTS (SELECT 1 FROM " + each + " AS element WHERE " + of_elements + ")",
    }
    return _case(_at("json_type", column, node.path), branches, absent, _otherwise(column, node, absent))


def _presence(column: str, node: Contains) -> Fragment:
    if not node.path and node.condition is None:
        return Fragment(f"{column} IS NOT NULL")
    if not _is_native(node.path):
        return _decoded_test(column, node)
    found, otherwise = _at("json_type", column, node.path), _otherwise(column, node, FALSE)
    if node.condition is None:
        return "CASE WHEN " + found + " IS NOT NULL THEN 1 ELSE " + otherwise + " END"
    decoded = _decoded_test(column, node)
    return _case(found, {"array": decoded, "object": decoded}, FALSE, otherwise)


def document_order(column: str, path: Path) -> tuple[Fragment, Fragment]:
    """What to order by: first the kind of value (none, number, text, boolean), then the value.

    Objects, arrays and what is inside of an array (other than by index) count as no value.
    """
    value = "rql_scalar(" + Fragment(column) + ", " + bound(msgspec.json.encode(path).decode()) + ")"
    if _is_native(path):
        native = Fragment(f"{column} -> ") + bound(_json_path(path))
        value = f"CASE WHEN instr({column}, '\\u') THEN " + value + " ELSE " + native + " END"
    kind = "CASE json_type(" + value + ") WHEN 'integer' THEN 1 WHEN 'real' THEN 1 WHEN 'text' THEN 2"
    scalar = "CASE WHEN json_type(" + value + ") NOT IN ('object', 'array') THEN json_extract(" + value + ", '$') END"
    return kind + " WHEN 'true' THEN 3 WHEN 'false' THEN 3 ELSE 0 END", scalar


def _is_native(path: Path) -> bool:
    """Whether SQLite finds ``path`` by itself."""
    return len(path) <= _STEPS_MAX and all(_NATIVE_NAME.fullmatch(step) for step in path)


def _json_path(path: Path) -> str:
    return "$" + "".join(f'."{step}"' for step in path)


def _at(function: str, column: str, path: Path) -> Fragment:
    return f"{function}({column}, " + bound(_json_path(path)) + ")"


def _of_types(node: Compare | Member, value: Fragment) -> dict[str, Fragment]:
    """Whether ``value`` satisfies ``node``, by the type it has."""
    number = number_test(node, value)
    return {"text": text_test(node, value), "integer": number, "real": number}


def _of_constants(node: Compare | Member) -> dict[str, Fragment]:
    """Whether a value of the other types satisfies ``node``, by the type."""
    here = replace(node, path=())
    return {name: constant(matches(here, (sample,))) for name, sample in _CONSTANTS.items()}


def _of_absent(node: Compare | Member) -> Fragment:
    """Whether a field that is not there satisfies ``node``."""
    return constant(matches(replace(node, path=()), ()))


def _case(found: Fragment, branches: Mapping[str, Fragment], default: Fragment, otherwise: Fragment) -> Fragment:
    """Branches on the type ``found``. ``otherwise`` may be left to give what is ``default``."""
    cases = [f" WHEN '{name}' THEN " + branch for name, branch in branches.items() if branch != default]
    if not cases:
        return otherwise
    whole = "CASE " + found
    for case in cases:
        whole += case
    return whole + " ELSE " + otherwise + " END"


def _otherwise(column: str, node: Compare | Member | Contains, absent: Fragment) -> Fragment:
    """For a path at which SQLite finds nothing: the field is absent, or inside of an array, or its name is escaped."""
    if not node.path:
        return absent
    above = listed([_at("json_type", column, node.path[:length]) for length in range(len(node.path))])
    unsure = "'array' IN (" + above + f") OR instr({column}, '\\u')"
    return "CASE WHEN " + unsure + " THEN " + _decoded_test(column, node) + " ELSE " + absent + " END"


def _decoded_test(column: str, node: Compare | Member | Contains) -> Fragment:
    return f"rql_test({column}, " + bound(msgspec.json.encode(node).decode()) + ")"
