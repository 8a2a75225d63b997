"""The ``Idempotency-Key`` header: a caller's name for a request, so that sending it again does nothing again."""

import re
from hashlib import blake2b

import msgspec
from aiohttp import web

from taskd.api.http.authorization import caller_of
from taskd.api.validation.body_decoder import field_error
from taskd.model import limits
from taskd.model.idempotency import IdempotencyKey

HEADER = "Idempotency-Key"
_KEY = re.compile(rf"[\x21-\x7e]{{1,{limits.IDEMPOTENCY_KEY_MAX_CHARS}}}")
_DIGEST_BYTES = 16


def idempotency_key(request: web.Request, body: bytes) -> IdempotencyKey | None:
    """The key of ``request``, whose unpacked body is ``body``; ``None`` if it has none.

    :raises ContractError: ``FIELD_FORMAT``.
    """
    text = request.headers.get(HEADER)
    if text is None:
        return None
    if _KEY.fullmatch(text) is None:
        rule = f"be 1 to {limits.IDEMPOTENCY_KEY_MAX_CHARS} visible ASCII characters"
        raise field_error(HEADER, rule)
    caller = caller_of(request)
    owned = msgspec.json.encode((caller.user_id, caller.application_id, text))
    return IdempotencyKey(_digest(owned), _digest(request.path.rstrip("/").encode() + b"\0" + body))


def _digest(content: bytes) -> bytes:
    return blake2b(content, digest_size=_DIGEST_BYTES).digest()
