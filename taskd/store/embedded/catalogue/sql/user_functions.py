"""The SQL functions that compiled queries call, for what SQLite cannot do by itself.

A function runs for as long as it takes, whatever interrupts the connection; the only ones that could take long are
searches for patterns, so these have a time limit of their own.
"""

import json
import sqlite3
import time
from collections.abc import Callable
from functools import lru_cache
from typing import Any, cast

import msgspec
import orjson

from taskd.model.limits import LISTING_TIME_LIMIT_S
from taskd.rql.evaluate import Cancelled, array_index, contains_text, matcher, matches
from taskd.rql.query import Node, Path

_decode_node = lru_cache(maxsize=128)(msgspec.json.Decoder(Node).decode)
_decode_path = lru_cache(maxsize=128)(msgspec.json.Decoder(Path).decode)


def register_functions(connection: sqlite3.Connection, time_limit_s: float = LISTING_TIME_LIMIT_S) -> None:
    """Gives ``connection`` the functions. One that searches for longer than ``time_limit_s`` fails its statement."""

    def test(document: str | None, node: str) -> bool:
        return matches(cast(Node, _decode_node(node)), _roots(document), _alarm(time_limit_s))

    def search(text: str | None, regex: str, ignore_case: int) -> bool:
        return text is not None and matcher(regex, bool(ignore_case)).search(text, _alarm(time_limit_s))

    _register(connection, "rql_test", 2, test)
    _register(connection, "rql_search", 3, search)
    _register(connection, "rql_like", 2, _like)
    _register(connection, "rql_pick", 2, _pick)


def _register(connection: sqlite3.Connection, name: str, arguments: int, function: Callable[..., Any]) -> None:
    connection.create_function(name, arguments, function, deterministic=True)


def _like(text: str | None, part: str) -> bool:
    return text is not None and contains_text(text, part)


def _alarm(time_limit_s: float) -> Cancelled:
    deadline_s = time.monotonic() + time_limit_s
    return lambda: time.monotonic() > deadline_s


def _roots(document: str | None) -> list[Any]:
    return [] if document is None else [_decode(document)]


def _decode(document: str) -> Any:
    """Any JSON that was accepted once: also what only the lenient decoder reads, such as half of a surrogate pair."""
    try:
        return orjson.loads(document)
    except orjson.JSONDecodeError:
        return json.loads(document, parse_int=float)


def _pick(document: str | None, path: str) -> str | None:
    """The JSON text of the scalar at ``path``, without looking into arrays but by index; ``None`` if there is none."""
    found: list[Any] = _roots(document)
    for step in _decode_path(path):
        found = [child for value in found for child in _child(value, step)]
    if not found or isinstance(found[0], dict | list):
        return None
    return json.dumps(found[0])


def _child(value: Any, step: str) -> list[Any]:
    if isinstance(value, dict):
        return [value[step]] if step in value else []
    index = array_index(step)
    return value[index : index + 1] if isinstance(value, list) and index is not None else []
