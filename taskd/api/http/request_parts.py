"""What handlers read off a request besides its body: ids in the path, the query, the key that makes it idempotent."""

import re
from hashlib import blake2b

import msgspec
from aiohttp import web

from taskd.api.http.authorization import caller_of
from taskd.api.validation.body_decoder import field_error
from taskd.model import errors, limits
from taskd.model.errors import ContractError
from taskd.model.idempotency import IdempotencyKey
from taskd.model.objectid import is_object_id
from taskd.rql.parser import parse, parse_filter
from taskd.rql.query import Node, Query

IDEMPOTENCY_HEADER = "Idempotency-Key"
"""A caller's name for a request, so that sending it again does nothing again."""

_KEY = re.compile(rf"[\x21-\x7e]{{1,{limits.IDEMPOTENCY_KEY_MAX_CHARS}}}")
_DIGEST_BYTES = 16


def object_id(request: web.Request, name: str = "id") -> str:
    """The id in the path, at the parameter ``name``.

    :raises ContractError: ``ID_FORMAT``.
    """
    text = request.match_info[name]
    if not is_object_id(text):
        message = f"{text!r} is not an id: ids are 24 hexadecimal digits, in lower case."
        raise ContractError(errors.ID_FORMAT, message)
    return text


def query_of(request: web.Request) -> Query:
    """The query string, still encoded as the client sent it, as RQL.

    :raises ContractError: ``INVALID_RQL``.
    """
    return parse(request.rel_url.raw_query_string)


def where_of(request: web.Request) -> Node:
    """What the query string says is to be changed: a filter, and nothing about pages, which would not be heeded.

    :raises ContractError: ``EMPTY_RQL`` or ``INVALID_RQL``.
    """
    where = parse_filter(request.rel_url.raw_query_string)
    if where is None:
        message = "Say by a query what to change, such as ?eq(id,0123456789abcdef01234567)."
        raise ContractError(errors.EMPTY_RQL, message)
    return where


def idempotency_key(request: web.Request, body: bytes) -> IdempotencyKey | None:
    """The key of ``request``, whose decompressed body is ``body``; ``None`` if it has none.

    :raises ContractError: ``FIELD_FORMAT``.
    """
    text = request.headers.get(IDEMPOTENCY_HEADER)
    if text is None:
        return None
    if _KEY.fullmatch(text) is None:
        rule = f"be 1 to {limits.IDEMPOTENCY_KEY_MAX_CHARS} visible ASCII characters"
        raise field_error(IDEMPOTENCY_HEADER, rule)
    caller = caller_of(request)
    owned = msgspec.json.encode((caller.user_id, caller.application_id, text))
    fingerprint = _digest(request.path.rstrip("/").encode() + b"\0" + body)
    return IdempotencyKey(_digest(owned), fingerprint, caller.key or "")


def _digest(content: bytes) -> bytes:
    return blake2b(content, digest_size=_DIGEST_BYTES).digest()
