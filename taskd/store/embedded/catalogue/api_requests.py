"""API requests in the catalogue: their rows, how they are written and forgotten, and the questions asked of them.

The journal knows nothing of them: a power cut may take the newest, a lost catalogue takes them all.
"""

import sqlite3
from typing import Any

import msgspec

from taskd.model.api_request import ApiRequest, ApiRequestError
from taskd.rql.query import Query
from taskd.store.embedded.catalogue.listing import Listing
from taskd.store.embedded.catalogue.sql.fields import API_REQUESTS
from taskd.store.embedded.catalogue.sql.planning import Table
from taskd.store.embedded.catalogue.statements import insert

COLUMNS = (
    "id",
    "function_name",
    "method",
    "path",
    "timestamp_ms",
    "duration_ms",
    "status_code",
    "user_id",
    "application_id",
    "error",
)
INSERT = insert("api_requests", COLUMNS)

_TABLE = Table("api_requests", COLUMNS, API_REQUESTS)
_SELECT = f"SELECT {', '.join(COLUMNS)} FROM api_requests"
_TOO_OLD = "seq <= (SELECT max(seq) - ? FROM api_requests)"

_encode = msgspec.json.Encoder().encode
_decode_error = msgspec.json.Decoder(ApiRequestError).decode


def row(request: ApiRequest) -> tuple[Any, ...]:
    """All columns, in the order of ``COLUMNS``."""
    fields = msgspec.structs.astuple(request)
    error = None if request.error is None else _encode(request.error).decode()
    return (*fields[:-1], error)


def request_of(columns: tuple[Any, ...]) -> ApiRequest:
    """The request of a row with all columns."""
    request = ApiRequest(*columns)
    return request if columns[-1] is None else msgspec.structs.replace(request, error=_decode_error(columns[-1]))


def forget_oldest(connection: sqlite3.Connection, kept: int) -> None:
    """Removes all but the newest ``kept`` requests, with their log lines."""
    logs_sql = f"DELETE FROM logs WHERE task_id IN (SELECT id FROM api_requests WHERE {_TOO_OLD})"
    connection.execute(logs_sql, (kept,))
    connection.execute(f"DELETE FROM api_requests WHERE {_TOO_OLD}", (kept,))


def page(query: Query) -> Listing[ApiRequest]:
    """A page of API requests. A query that makes no sense raises ``INVALID_RQL`` here."""
    return Listing(query, _TABLE, request_of)


def by_id(connection: sqlite3.Connection, request_id: str) -> ApiRequest | None:
    """The API request of this id, if there is one."""
    found = connection.execute(f"{_SELECT} WHERE id = ?", (request_id,)).fetchone()
    return None if found is None else request_of(found)
