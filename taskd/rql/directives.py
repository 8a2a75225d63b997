"""What a query asks about the page rather than about the records: ``limit``, ``sort``, ``select``, ``skipCount``."""

from taskd.model.limits import PAGE_LIMIT_DEFAULT, PAGE_LIMIT_MAX
from taskd.rql.errors import RqlError
from taskd.rql.query import Node, Path, Query, SortKey
from taskd.rql.values import Raw, decode, parse_count, parse_path

DIRECTIVES = ("limit", "sort", "select", "skipCount", "skip_count")
_SORT_KEYS_MAX = 16


class Directives:
    """Gathers directives as they are met; of a repeated one the last counts."""

    def __init__(self) -> None:
        self._limit = PAGE_LIMIT_DEFAULT
        self._offset = 0
        self._sort: tuple[SortKey, ...] = ()
        self._select: tuple[Path, ...] = ()
        self._skip_count = False
        self.first: Raw | None = None
        """The name of the first one, where there are any."""

    def add(self, name: Raw, arguments: list[Raw]) -> None:
        """Takes in one directive. Raises :class:`RqlError`."""
        self.first = self.first or name
        match name[0]:
            case "limit":
                self._set_limit(name[1], arguments)
            case "sort":
                self._set_sort(name[1], arguments)
            case "select":
                self._select = tuple(parse_path(argument) for argument in arguments)
            case _:
                self._set_skip_count(name, arguments)

    def query(self, where: Node | None) -> Query:
        """The whole query, with ``where`` for its filter."""
        return Query(where, self._sort, self._limit, self._offset, self._select, self._skip_count)

    def _set_limit(self, position: int, arguments: list[Raw]) -> None:
        if not 1 <= len(arguments) <= 2:
            raise RqlError("limit expects a number of records, and optionally how many to skip", position)
        limit = parse_count(arguments[0], "The limit")
        if limit == 0:
            raise RqlError("The limit must be at least 1", arguments[0][1])
        self._limit = min(limit, PAGE_LIMIT_MAX)
        self._offset = parse_count(arguments[1], "The offset") if len(arguments) == 2 else 0

    def _set_sort(self, position: int, arguments: list[Raw]) -> None:
        if not 1 <= len(arguments) <= _SORT_KEYS_MAX:
            raise RqlError(f"sort expects 1 to {_SORT_KEYS_MAX} fields", position)
        self._sort = tuple(_sort_key(argument) for argument in arguments)

    def _set_skip_count(self, name: Raw, arguments: list[Raw]) -> None:
        if arguments:
            raise RqlError(f"{name[0]} expects nothing between its parentheses", name[1])
        self._skip_count = True


def _sort_key(raw: Raw) -> SortKey:
    """``+a`` or ``a`` ascends, ``-a`` descends; an encoded sign is as good."""
    text, position = raw
    sign = text[:3] if text.startswith("%") else text[:1]
    direction = decode((sign, position))
    if direction not in ("+", "-"):
        return SortKey(parse_path(raw), descending=False)
    return SortKey(parse_path((text[len(sign) :], position + len(sign))), descending=direction == "-")
