"""The SQL functions that compiled queries call, for what SQLite cannot do by itself, or does by rules of its own.

A function runs for as long as it takes, whatever interrupts the connection; the only ones that could take long are
searches for patterns, so these have a time limit of their own.
"""

import functools
import json
import sqlite3
import time
from collections.abc import Callable
from functools import lru_cache
from typing import Any, cast

import msgspec
import orjson

from taskd.model.limits import LISTING_TIME_LIMIT_S
from taskd.rql.evaluate import Cancelled, matches, scalar_at
from taskd.rql.matcher import matcher_for
from taskd.rql.operators import COMPARISONS, Comparison
from taskd.rql.query import Node, Path
from taskd.rql.scalars import parse_integer
from taskd.store.embedded.catalogue.sql.comparisons import FUNCTIONS

_decode_node = lru_cache(maxsize=128)(msgspec.json.Decoder(Node).decode)
_decode_path = lru_cache(maxsize=128)(msgspec.json.Decoder(Path).decode)


def register_functions(connection: sqlite3.Connection, time_limit_s: float = LISTING_TIME_LIMIT_S) -> None:
    """Gives ``connection`` the functions. One that searches for longer than ``time_limit_s`` fails its statement."""

    def test(document: str | None, node: str) -> bool:
        return matches(cast(Node, _decode_node(node)), _roots(document), _deadline(time_limit_s))

    def search(text: str | None, regex: str, ignore_case: int) -> bool:
        return text is not None and matcher_for(regex, bool(ignore_case)).search(text, _deadline(time_limit_s))

    _register(connection, "rql_test", 2, test)
    _register(connection, "rql_search", 3, search)
    _register(connection, "rql_scalar", 2, _scalar)
    for name, function_name in FUNCTIONS.items():
        _register(connection, function_name, 2, functools.partial(_compare, COMPARISONS[name]))


def _register(connection: sqlite3.Connection, name: str, arguments: int, function: Callable[..., Any]) -> None:
    connection.create_function(name, arguments, function, deterministic=True)


def _compare(comparison: Comparison, found: Any, value: Any) -> bool:
    return found is not None and comparison.holds(found, value)


def _deadline(time_limit_s: float) -> Cancelled:
    deadline_s = time.monotonic() + time_limit_s
    return lambda: time.monotonic() > deadline_s


def _roots(document: str | None) -> list[Any]:
    return [] if document is None else [decode_document(document)]


def decode_document(document: str | bytes) -> Any:
    """Any JSON that was accepted once: also what only the lenient decoder reads, such as half of a surrogate pair."""
    try:
        return orjson.loads(document)
    except orjson.JSONDecodeError:
        return json.loads(document, parse_int=parse_integer)


def _scalar(document: str | None, path: str) -> str | None:
    """The JSON text of the scalar that a document is ordered by."""
    return None if document is None else json.dumps(scalar_at(decode_document(document), _decode_path(path)))
