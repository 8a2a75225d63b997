"""The OpenAPI 3.1 document, made from what is in force: the routes, the structs that bodies are decoded to and
responses encoded from, the permissions, and the catalogue of errors.
"""

import re
from collections.abc import Iterable, Iterator
from http import HTTPStatus
from inspect import cleandoc
from typing import Any, NamedTuple

import msgspec

from taskd import __version__
from taskd.api.http.error_response import ErrorResponse
from taskd.api.http.request_parts import IDEMPOTENCY_HEADER
from taskd.api.http.routing import Mount, Route
from taskd.api.http.waits import WAIT_PARAMETER
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

_NOT_SHOWN = (("default", None), ("additionalProperties", False))
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
_ANY_PARAMETER: Json = {"schema": {"type": "string"}, "description": "A string."}


class _Operation(NamedTuple):
    """A route, and where it is mounted."""

    route: Route
    mount: Mount

    @property
    def is_open(self) -> bool:
        """Whether it answers whoever asks."""
        return self.mount.authenticate is None

    @property
    def path(self) -> str:
        """The whole path, its parameters without the patterns they must match."""
        return re.sub(r"\{(\w+):.*\}", r"{\1}", self.mount.base + self.route.path)

    def error_response(self, status: int) -> Any:
        """The type of error responses with this status."""
        return self.route.error_responses.get(status, ErrorResponse)


def openapi_document(mounts: Iterable[Mount]) -> Json:
    """The document for all routes of ``mounts``, in their order."""
    operations = [_Operation(route, mount) for mount in mounts for route in mount.routes]
    refs, components = _schemas(each.route for each in operations)
    paths: dict[str, Json] = {}
    for each in operations:
        paths.setdefault(each.path, {})[each.route.method.lower()] = _described(each, refs)
    return {
        "openapi": "3.1.0",
        "info": {"title": "taskd", "version": __version__, "description": cleandoc(_DESCRIPTION)},
        "tags": [{"name": tag} for tag in dict.fromkeys(each.route.tag for each in operations)],
        "paths": paths,
        "components": {"schemas": components, "securitySchemes": _CREDENTIALS},
        "x-errors": [_error_entry(kind) for kind in CATALOGUE.values()],
    }


def _schemas(routes: Iterable[Route]) -> tuple[dict[Any, Json], dict[str, Json]]:
    """The schema of every type that ``routes`` speak of, and the components that these refer to."""
    types = [shape for each in routes for shape in (each.body, each.response, *each.error_responses.values())]
    known = [shape for shape in dict.fromkeys([*types, ErrorResponse]) if shape is not None]
    schemas, components = msgspec.json.schema_components(known, ref_template="#/components/schemas/{name}")
    return dict(zip(known, schemas, strict=True)), {name: _tidied(each) for name, each in components.items()}


def _tidied(schema: Any) -> Any:
    """``schema`` without what only Python knows: literals in docstrings, both kinds of numbers, ``None`` for absent.

    Nor does it say that there are no more fields than these: later versions may have some.
    """
    if isinstance(schema, list):
        return [_tidied(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    tidy = {name: _tidied(value) for name, value in schema.items() if (name, value) not in _NOT_SHOWN}
    if isinstance(tidy.get("description"), str):
        tidy["description"] = cleandoc(tidy["description"]).replace("``", "`")
    if "anyOf" in tidy and {"type": "number"} in tidy["anyOf"]:
        tidy["anyOf"] = [each for each in tidy["anyOf"] if each != {"type": "integer"}]
    properties = tidy.get("properties", {})
    if properties.get("data") == {}:  # JSON text that is passed on as it came, which is always an object
        properties["data"] = {"type": "object"}
    return tidy


def _described(operation: _Operation, refs: dict[Any, Json]) -> Json:
    route = operation.route
    described: Json = {
        "tags": [route.tag],
        "summary": route.summary,
        "description": cleandoc(route.handler.__doc__ or ""),
        "operationId": "_".join([route.method.lower(), *re.findall(r"\w+", operation.path)]),
        "parameters": list(_parameters(operation)),
        "responses": _responses(operation, refs),
        "security": [] if operation.is_open else [{name: []} for name in _CREDENTIALS],
        **_permission(route),
    }
    if route.takes_query:
        described["x-query"] = "RQL"
    if route.body is not None:
        described["requestBody"] = {"required": not route.is_body_optional, "content": _json(refs[route.body])}
    return described


def _permission(route: Route) -> Json:
    if route.permission is None:
        return {}
    if not route.obeys_permission_mode:
        return {"x-permission": ", and ".join((route.permission, *route.also_needs))}
    return {
        "x-permission": f"{route.permission}, or {route.permission}:{{functionName}}",
        "x-permission-modes": "allUsers asks for credentials only, public for nothing",
    }


def _parameters(operation: _Operation) -> Iterator[Json]:
    for name in re.findall(r"\{(\w+)\}", operation.path):
        yield {"name": name, "in": "path", "required": True, **_PARAMETERS.get(name, _ANY_PARAMETER)}
    if operation.route.can_wait:
        yield {
            "name": WAIT_PARAMETER,
            "in": "query",
            "required": False,
            "schema": {"type": "number", "minimum": 0, "maximum": limits.TASK_WAIT_MAX_S},
            "description": "Seconds to wait for the end; the header `Prefer: wait=` does the same.",
        }
    if operation.route.is_idempotent:
        yield {
            "name": IDEMPOTENCY_HEADER,
            "in": "header",
            "required": False,
            "schema": {"type": "string", "pattern": "^[!-~]+$", "maxLength": limits.IDEMPOTENCY_KEY_MAX_CHARS},
            "description": "A name for this request: sent again under the same name, it does nothing again.",
        }


def _responses(operation: _Operation, refs: dict[Any, Json]) -> Json:
    responses: Json = {}
    for status, kinds in _errors_by_status(operation).items():
        responses[str(status)] = {
            "description": "; ".join(f"{kind.code} {kind.name}" for kind in kinds),
            "content": _json(refs[operation.error_response(status)]),
        }
    if operation.route.response is None:
        success = {"description": "A response of its own, not JSON of ours.", "content": {"*/*": {}}}
        return {"default": success, **responses}
    success = {"description": HTTPStatus.OK.phrase, "content": _json(refs[operation.route.response])}
    return {"200": success, **responses}


def _errors_by_status(operation: _Operation) -> dict[int, list[ErrorKind]]:
    kinds = sorted(set(_error_kinds(operation)))
    statuses = sorted({kind.http_status for kind in kinds})
    return {status: [kind for kind in kinds if kind.http_status == status] for status in statuses}


def _error_kinds(operation: _Operation) -> Iterator[ErrorKind]:
    route = operation.route
    yield from route.errors
    yield errors.SERVER
    yield errors.UNAVAILABLE
    if not operation.is_open:
        yield from _AUTHENTICATION_ERRORS
        yield errors.NO_PERMISSION
    if route.body is not None:
        yield from _BODY_ERRORS
        if not route.is_body_optional:
            yield errors.EMPTY_BODY
    if route.takes_query:
        yield from _QUERY_ERRORS
    if route.can_wait:
        yield errors.FIELD_FORMAT
    if "{id}" in route.path:
        yield from _ID_ERRORS


def _json(schema: Json) -> Json:
    return {"application/json": {"schema": schema}}


def _error_entry(kind: ErrorKind) -> Json:
    return {"code": kind.code, "status": kind.http_status, "name": kind.name, "meaning": kind.meaning}
