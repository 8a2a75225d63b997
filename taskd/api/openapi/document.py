"""The OpenAPI 3.1 document, made from what is in force: the routes, the structs that bodies are decoded with and
answers encoded from, the permissions, and the catalogue of errors.
"""

import re
from collections.abc import Iterable, Iterator
from http import HTTPStatus
from inspect import cleandoc
from typing import Any, NamedTuple

import msgspec

from taskd import __version__
from taskd.api.http.request_parts import IDEMPOTENCY_HEADER
from taskd.api.http.routing import Mount, Route
from taskd.api.openapi.operations import OPERATIONS, Operation
from taskd.model import errors, limits
from taskd.model.errors import CATALOGUE, ErrorKind
from taskd.model.function import NAME_PATTERN

Json = dict[str, Any]

_DESCRIPTION = f"""
Tasks run functions with data, at a time, with a priority. Everything is JSON in camelCase. Times go out as
`2026-01-01T00:00:00.000Z` and come in as RFC 3339 text or milliseconds since 1970.

Listings take a query in RQL as their whole query string, such as
`?and(eq(status,failed),gt(creationTimestamp,2026-01-01T00:00:00.000Z))&sort(-creationTimestamp)&limit(50,100)`.
A page has {limits.PAGE_LIMIT_DEFAULT} records unless `limit` says otherwise, and {limits.PAGE_LIMIT_MAX} at most.
Every path answers with and without a trailing slash.
"""

_CREDENTIALS: Json = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "An API token, an access token or an OIDC token."},
    "oauth1": {
        "type": "apiKey",
        "in": "header",
        "name": "Authorization",
        "description": "A signature as in OAuth 1.0a, with HMAC-SHA1: `OAuth oauth_consumer_key=…`.",
    },
}
_AUTHENTICATION_ERRORS = (
    errors.NOT_AUTHENTICATED,
    errors.OAUTH1_KEY,
    errors.OAUTH1_TOKEN,
    errors.OAUTH1_SIGNATURE,
    errors.REPLAYED,
    errors.ACCESS_TOKEN_UNKNOWN,
    errors.ACCESS_TOKEN_EXPIRED,
)
_BODY_ERRORS = (
    errors.BODY_FORMAT,
    errors.MISSING_FIELDS,
    errors.FIELD_FORMAT,
    errors.ILLEGAL_ARGUMENT,
    errors.BODY_TOO_LARGE,
    errors.TOO_MANY_REQUESTS,
)
_QUERY_ERRORS = (errors.INVALID_RQL, errors.LONG_QUERY)
_ID_ERRORS = (errors.ID_FORMAT, errors.RESOURCE_UNKNOWN)
_PARAMETERS: dict[str, Json] = {
    "id": {"schema": {"type": "string", "pattern": "^[0-9a-f]{24}$"}, "description": "24 hexadecimal digits."},
    "name": {
        "schema": {"type": "string", "pattern": f"^{NAME_PATTERN.pattern}$"},
        "description": "The name of a function.",
    },
    "rest": {"schema": {"type": "string"}, "description": "Any path; it goes to the function, with the query."},
}


class _Mounted(NamedTuple):
    """A route and the path that it is under."""

    base: str
    route: Route

    @property
    def path(self) -> str:
        """The whole path, its parameters without the patterns they must match."""
        return re.sub(r"\{(\w+):.*\}", r"{\1}", self.base + self.route.path)

    @property
    def key(self) -> tuple[str, str]:
        """Where ``OPERATIONS`` has the route."""
        own = (self.route.method, self.path)
        return own if own in OPERATIONS else ("*", self.path)

    @property
    def operation(self) -> Operation:
        """What the route does."""
        return OPERATIONS[self.key]


def openapi_document(mounts: Iterable[Mount]) -> Json:
    """The document for all routes of ``mounts``, in the order of ``OPERATIONS``.

    :raises KeyError: one of them has no entry in ``OPERATIONS``.
    """
    mounted = [_Mounted(mount.base, route) for mount in mounts for route in mount.routes]
    positions = {key: position for position, key in enumerate(OPERATIONS)}
    mounted.sort(key=lambda each: positions[each.key])
    refs, components = _schemas([each.operation for each in mounted])
    paths: dict[str, Json] = {}
    for each in mounted:
        paths.setdefault(each.path, {})[each.route.method.lower()] = _operation(each, refs)
    return {
        "openapi": "3.1.0",
        "info": {"title": "taskd", "version": __version__, "description": cleandoc(_DESCRIPTION)},
        "tags": [{"name": tag} for tag in dict.fromkeys(each.operation.tag for each in mounted)],
        "paths": paths,
        "components": {"schemas": components, "securitySchemes": _CREDENTIALS},
        "x-errors": [_error_entry(kind) for kind in CATALOGUE.values()],
    }


def _schemas(operations: list[Operation]) -> tuple[dict[Any, Json], dict[str, Json]]:
    """The schema of every type that ``operations`` speak of, and the components that these refer to."""
    types = [shape for each in operations for shape in (each.request, each.answer, each.error_answer)]
    known = [shape for shape in dict.fromkeys(types) if shape is not None]
    schemas, components = msgspec.json.schema_components(known, ref_template="#/components/schemas/{name}")
    return dict(zip(known, schemas, strict=True)), {name: _tidied(each) for name, each in components.items()}


def _tidied(schema: Any) -> Any:
    """``schema`` without what only Python knows: literals in docstrings, both kinds of numbers, ``None`` for absent."""
    if isinstance(schema, list):
        return [_tidied(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    tidy = {name: _tidied(value) for name, value in schema.items() if (name, value) != ("default", None)}
    if isinstance(tidy.get("description"), str):
        tidy["description"] = tidy["description"].replace("``", "`")
    if "anyOf" in tidy and {"type": "number"} in tidy["anyOf"]:
        tidy["anyOf"] = [each for each in tidy["anyOf"] if each != {"type": "integer"}]
    properties = tidy.get("properties", {})
    if properties.get("data") == {}:  # JSON text that is passed on as it came, which is always an object
        properties["data"] = {"type": "object"}
    return tidy


def _operation(mounted: _Mounted, refs: dict[Any, Json]) -> Json:
    route, operation = mounted.route, mounted.operation
    described: Json = {
        "tags": [operation.tag],
        "summary": operation.summary,
        "description": cleandoc(route.handler.__doc__ or ""),
        "operationId": _operation_id(mounted),
        "parameters": list(_parameters(mounted)),
        "responses": _responses(mounted, refs),
        "security": [] if operation.is_open else [{name: []} for name in _CREDENTIALS],
    }
    if route.permission is not None:
        described["x-permission"] = route.permission.value
    if operation.calls_with is not None:
        described["x-permission"] = f"{operation.calls_with}, or {operation.calls_with}:{{functionName}}"
        described["x-permission-modes"] = "allUsers asks for credentials only, public for nothing"
    if operation.takes_query:
        described["x-query"] = "RQL"
    if operation.request is not None:
        described["requestBody"] = {
            "required": not operation.is_request_optional,
            "content": _json(refs[operation.request]),
        }
    return described


def _operation_id(mounted: _Mounted) -> str:
    words = re.findall(r"\w+", mounted.path)
    return "_".join([mounted.route.method.lower(), *words])


def _parameters(mounted: _Mounted) -> Iterator[Json]:
    for name in re.findall(r"\{(\w+)\}", mounted.path):
        yield {"name": name, "in": "path", "required": True, **_PARAMETERS[name]}
    if mounted.operation.is_idempotent:
        yield {
            "name": IDEMPOTENCY_HEADER,
            "in": "header",
            "required": False,
            "schema": {"type": "string", "pattern": "^[!-~]+$", "maxLength": limits.IDEMPOTENCY_KEY_MAX_CHARS},
            "description": "A name for this request: sent again under the same name, it does nothing again.",
        }


def _responses(mounted: _Mounted, refs: dict[Any, Json]) -> Json:
    operation = mounted.operation
    responses: Json = {}
    for status, kinds in _errors_by_status(mounted).items():
        responses[str(status)] = {
            "description": "; ".join(f"{kind.code} {kind.name}" for kind in kinds),
            "content": _json(refs[operation.error_answer]),
        }
    if operation.answer is not None:
        success = {"description": HTTPStatus.OK.phrase, "content": _json(refs[operation.answer])}
        return {"200": success, **responses}
    return {"default": {"description": "An answer of its own, not JSON of ours.", "content": {"*/*": {}}}, **responses}


def _errors_by_status(mounted: _Mounted) -> dict[int, list[ErrorKind]]:
    kinds = sorted(set(_error_kinds(mounted)))
    statuses = sorted({kind.http_status for kind in kinds})
    return {status: [kind for kind in kinds if kind.http_status == status] for status in statuses}


def _error_kinds(mounted: _Mounted) -> Iterator[ErrorKind]:
    route, operation = mounted.route, mounted.operation
    yield from operation.errors
    yield errors.SERVER
    yield errors.UNAVAILABLE
    if not operation.is_open:
        yield from _AUTHENTICATION_ERRORS
        yield errors.NO_PERMISSION
    if operation.request is not None:
        yield from _BODY_ERRORS
        if not operation.is_request_optional:
            yield errors.EMPTY_BODY
    if operation.takes_query:
        yield from _QUERY_ERRORS
    if "{id}" in route.path:
        yield from _ID_ERRORS


def _json(schema: Json) -> Json:
    return {"application/json": {"schema": schema}}


def _error_entry(kind: ErrorKind) -> Json:
    return {"code": kind.code, "status": kind.http_status, "name": kind.name, "meaning": kind.meaning}
