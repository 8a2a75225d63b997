"""The grammar of a query: conditions, groups of them, and what is asked about the page (see ``directives.py``).

A query is conditions joined by ``&`` or by ``|``; mixing them takes parentheses. A condition is a call, ``eq(a,b)``,
or a shorthand, ``a=b``. After a closing parenthesis the separator may be missing: the vendor's query builder loses
it when it replaces a ``limit``.
"""

import re
from collections.abc import Callable
from functools import partial
from typing import Literal, cast

from taskd.model.limits import (
    RQL_CONDITIONS_MAX,
    RQL_MAX_BYTES,
    RQL_MAX_DEPTH,
    RQL_PATTERNS_COST_MAX,
    RQL_VALUES_MAX,
)
from taskd.rql.directives import DIRECTIVES, Directives
from taskd.rql.errors import RqlError
from taskd.rql.matcher import matcher_for
from taskd.rql.operators import COMPARISONS, OPERATORS, SYMBOLS, Comparison, Form, Operands, Operator
from taskd.rql.query import Compare, Contains, Group, Member, Node, Path, Pattern, Query, Value
from taskd.rql.scan import ARGUMENT, OPERAND, RELATION, SEPARATOR, WORD, Scanner
from taskd.rql.values import Raw, decode, parse_path, parse_text, parse_value

GroupOp = Literal["and", "or"]

_CONJUNCTIONS: dict[str, GroupOp] = {"&": "and", "|": "or", "%": "or"}
"""By the first character of the separator."""
_ANY_SYNTAX = re.compile(r"[(=<>]")
_AMPERSANDS = re.compile(r"&*")


def parse(text: str) -> Query:
    """The query in ``text``, the query string of a URL as it came: undecoded, without its ``?``.

    Of a repeated ``limit``, ``sort`` or ``select`` the last one counts. Raises :class:`RqlError`.
    """
    return _parser(text).query()


def parse_filter(text: str) -> Node | None:
    """The filter in ``text``, which asks for no page: all that it finds is meant, whatever its order.

    Raises :class:`RqlError`.
    """
    parser = _parser(text)
    query = parser.query()
    if parser.directive is not None:
        name, position = parser.directive
        raise RqlError(f"This takes all that is found, so {name} has no place in it", position)
    return query.where


def _parser(text: str) -> "_Parser":
    try:
        length = len(text.encode())
    except UnicodeEncodeError as error:
        raise RqlError("The query is not valid UTF-8", error.start) from None
    if length > RQL_MAX_BYTES:
        raise RqlError(f"A query may not be longer than {RQL_MAX_BYTES} bytes", RQL_MAX_BYTES)
    return _Parser(Scanner(_syntax_visible(text)))


def _syntax_visible(text: str) -> str:
    """A text without any operator can only be a query that was encoded as a whole; then it is decoded once."""
    if "%" not in text or _ANY_SYNTAX.search(text):
        return text
    return decode((text, 0))


class _Parser:
    """Recursive descent; ``depth`` counts the open groups, so recursion is bounded by ``RQL_MAX_DEPTH``."""

    def __init__(self, scan: Scanner) -> None:
        self._scan = scan
        self._directives = Directives()
        self._patterns_cost = 0
        self._conditions = 0
        self._values_listed = 0
        self._in_outermost_and = False

    @property
    def directive(self) -> Raw | None:
        """The first name, and its place, of what asks about the page."""
        return self._directives.first

    def query(self) -> Query:
        where = _grouped(*self._group(None, depth=0))
        if not self._scan.at_end():
            raise self._scan.error('There is a ")" without its "("')
        return self._directives.query(where)

    def _group(self, op: GroupOp | None, depth: int) -> tuple[GroupOp | None, list[Node]]:
        """Conditions up to the next unmatched ``)`` or the end; within a calling operator ``op``, ``,`` parts too."""
        scan, in_call = self._scan, op is not None
        conditions: list[Node] = []
        if depth > RQL_MAX_DEPTH:
            raise scan.error(f"Conditions may be nested {RQL_MAX_DEPTH} deep")
        scan.take(_AMPERSANDS)
        while not (scan.at_end() or scan.at(")")):
            conditions += self._condition(depth)
            op = self._conjunction(op, in_call=in_call)
        return op, conditions

    def _conjunction(self, op: GroupOp | None, *, in_call: bool) -> GroupOp | None:
        """Moves past a separator; gives what the group's conditions are joined by, as far as is known."""
        scan = self._scan
        separator, position = scan.take(SEPARATOR)
        if not separator and not (scan.at_end() or scan.at(")") or scan.text[position - 1] == ")"):
            raise scan.error(f'"&" or "|" is expected between conditions, not {scan.next_text()}')
        if separator == "," and not in_call:
            raise RqlError('"," parts only what an operator encloses; join conditions with "&" or "|"', position)
        if separator and separator[0] != "&" and (scan.at_end() or scan.at(")")):
            raise scan.error(f'A condition is expected after "{separator}"')
        joined = _CONJUNCTIONS.get(separator[:1])
        if op is not None and joined not in (None, op):
            raise RqlError('"and" and "or" cannot be mixed without parentheses around each', position)
        return op or joined

    def _condition(self, depth: int) -> list[Node]:
        """One condition; none if it was a directive or an empty group."""
        self._conditions += 1
        if self._conditions > RQL_CONDITIONS_MAX:
            raise self._scan.error(f'A query may have {RQL_CONDITIONS_MAX} conditions; "in" takes a list of values')
        word = self._scan.take(WORD)
        if not self._scan.accept("("):
            return [self._shorthand(word)]
        if depth == 0:
            self._in_outermost_and = word[0] == "and"
        return self._call(word, depth) if word[0] else self._parenthesised(depth)

    def _parenthesised(self, depth: int) -> list[Node]:
        op, conditions = self._group(None, depth + 1)
        self._close("a group")
        return _as_list(_grouped(op, conditions))

    def _call(self, name: Raw, depth: int) -> list[Node]:
        word, position = name
        operator = OPERATORS.get(word)
        if isinstance(operator, Comparison):
            return [self._comparison(operator, position)]
        if operator is not None and operator.form is Form.CONDITIONS:
            return self._logical(cast(GroupOp, word), position, depth)
        if operator is not None:
            return [self._containment(operator, position, depth)]
        if word in DIRECTIVES:
            return self._directive(name, depth)
        raise RqlError(f'There is no operator "{word}"; known are {_KNOWN}', position)

    def _logical(self, operator: GroupOp, position: int, depth: int) -> list[Node]:
        _, conditions = self._group(operator, depth + 1)
        self._close(operator)
        if operator == "or" and not conditions:
            raise RqlError("or expects at least one condition", position)
        return _as_list(_grouped(operator, conditions))

    def _directive(self, name: Raw, depth: int) -> list[Node]:
        if depth > 1 or (depth == 1 and not self._in_outermost_and):
            message = f"{name[0]} belongs at the top of a query, or into an and(…) that is at its top"
            raise RqlError(message, name[1])
        arguments = [] if self._scan.at(")") else self._values()
        self._close(name[0])
        self._directives.add(name, arguments)
        return []

    def _comparison(self, comparison: Comparison, position: int) -> Node:
        path = self._field(comparison.name)
        if comparison.form is Form.VALUES:
            raws = self._array() if self._scan.at("(") else self._values()
            self._close(f"the values of {comparison.name}")
            return self._member(comparison, parse_path(path), raws, position)
        raw = self._scan.take_value(ARGUMENT)
        self._close(f"the value of {comparison.name}")
        return self._compare(comparison, parse_path(path), raw, position)

    def _containment(self, operator: Operator, position: int, depth: int) -> Node:
        path = parse_path(self._scan.take(ARGUMENT))
        negated = operator.negates is not None
        if not self._scan.accept(","):
            self._close(f"the field of {operator.name}")
            return Contains(path, None, negated, position)
        if self._value_follows():
            return self._comparison_of_elements(Contains(path, None, negated, position))
        _, conditions = self._group("and", depth + 1)
        self._close(operator.name)
        return Contains(path, _grouped("and", conditions), negated, position)

    def _value_follows(self) -> bool:
        """Whether a plain value stands here, instead of a condition."""
        begin = self._scan.position
        self._scan.take_value(WORD)
        is_value = not (self._scan.at("(") or self._scan.matches(RELATION))
        self._scan.position = begin
        return is_value

    def _comparison_of_elements(self, presence: Contains) -> Compare:
        """``contains(tags,urgent)``: some element equals the value, which is what ``eq`` says of an array."""
        raw = self._scan.take_value(ARGUMENT)
        self._close("the value of contains")
        return self._compare(SYMBOLS["!=" if presence.negated else "="], presence.path, raw, presence.position)

    def _shorthand(self, path: Raw) -> Node:
        scan = self._scan
        relation = scan.matches(RELATION)
        if relation is None or not path[0]:
            raise scan.error(f"A condition such as a=b or eq(a,b) is expected, not {scan.next_text()}")
        symbol = relation[0].upper().replace("%3C", "<").replace("%3E", ">").replace("%3D", "=")
        comparison = COMPARISONS.get(relation[1]) if relation[1] else SYMBOLS[symbol]
        if comparison is None:
            raise scan.error(f'There is no operator "={relation[1]}="; a "=" in a value is written %253D')
        scan.position = relation.end()
        if comparison.form is Form.VALUES:
            raws = self._array() if scan.at("(") else [scan.take_value(OPERAND)]
            return self._member(comparison, parse_path(path), raws, path[1])
        return self._compare(comparison, parse_path(path), scan.take_value(OPERAND), path[1])

    def _field(self, operator: str) -> Raw:
        path = self._scan.take(ARGUMENT)
        self._scan.expect(",", f"the field of {operator}")
        return path

    def _values(self) -> list[Raw]:
        raws = [self._listed_value()]
        while self._scan.accept(","):
            raws.append(self._listed_value())
        return raws

    def _listed_value(self) -> Raw:
        self._values_listed += 1
        if self._values_listed > RQL_VALUES_MAX:
            raise self._scan.error(f"The lists of a query may have {RQL_VALUES_MAX} values together")
        return self._scan.take_value(ARGUMENT)

    def _array(self) -> list[Raw]:
        self._scan.expect("(", "the field")
        raws = [] if self._scan.at(")") else self._values()
        self._close("an array")
        return raws

    def _compare(self, comparison: Comparison, path: Path, raw: Raw, position: int) -> Compare:
        return Compare(comparison.name, path, self._value(comparison, raw), position)

    def _member(self, comparison: Comparison, path: Path, raws: list[Raw], position: int) -> Member:
        return Member(comparison.name, path, tuple(self._value(comparison, raw) for raw in raws), position)

    def _value(self, comparison: Comparison, raw: Raw) -> Value:
        value = _reader(comparison)(raw)
        if isinstance(value, Pattern):
            self._patterns_cost += matcher_for(value.regex, value.ignore_case).cost
            if self._patterns_cost > RQL_PATTERNS_COST_MAX:
                raise RqlError("The patterns of the query are too large together; use fewer or shorter ones", raw[1])
        return value

    def _close(self, after: str) -> None:
        self._scan.expect(")", after)


_KNOWN = ", ".join([*OPERATORS, *DIRECTIVES])


def _reader(comparison: Comparison) -> Callable[[Raw], Value]:
    return partial(parse_text, operator=comparison.name) if comparison.operands is Operands.TEXT else parse_value


def _as_list(node: Node | None) -> list[Node]:
    return [] if node is None else [node]


def _grouped(op: GroupOp | None, conditions: list[Node]) -> Node | None:
    """The conditions as one; nested groups of the same operator are merged."""
    merged: list[Node] = []
    for condition in conditions:
        merged += condition.conditions if isinstance(condition, Group) and condition.op == op else (condition,)
    if len(merged) <= 1:
        return merged[0] if merged else None
    return Group(op or "and", tuple(merged))
