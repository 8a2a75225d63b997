"""From what an API function returned to an HTTP answer, or to the rule that it broke."""

import binascii
import re
from typing import Any, NoReturn

import msgspec
from msgspec import Raw, Struct

from taskd.execution.api_functions.event import HOP_BY_HOP
from taskd.model import errors, limits
from taskd.model.errors import ContractError

_HEADER_NAME = re.compile(r"[A-Za-z0-9_-]+")
_HEADER_MARKS = "_ :;.,/\"'?!(){}[]@<>=-+*#$&`|~^%"
_NO_HEADER_VALUE = re.compile(f"[^A-Za-z0-9{re.escape(_HEADER_MARKS)}]")
_NO_COOKIE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f\ud800-\udfff]")
_IGNORED_HEADERS = HOP_BY_HOP | {"content-length"}
_DEFAULT_CONTENT_TYPE = "application/json"
_STATUS_MIN, _STATUS_MAX = 200, 499

_decode_fields = msgspec.json.Decoder(dict[str, Raw]).decode


class ApiAnswer(Struct, frozen=True):
    """The answer to an HTTP request. ``cookies`` are whole ``Set-Cookie`` values."""

    status: int
    headers: dict[str, str]
    """By lower-case name."""
    body: bytes
    cookies: tuple[str, ...] = ()


def answer_of(result: bytes) -> ApiAnswer:
    """The answer that ``result`` (JSON text) describes. Fields that are not known are ignored.

    :raises ContractError: ``INVALID_API_RESULT``, naming the broken rule.
    """
    try:
        fields = _decode_fields(result)
        return ApiAnswer(
            status=_status(_value(fields, "statusCode")),
            headers=_headers(_value(fields, "headers")),
            body=_body(fields),
            cookies=_cookies(_value(fields, "cookies")),
        )
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        _broken("result must be a JSON object")


def _value(fields: dict[str, Raw], name: str) -> Any:
    return msgspec.json.decode(fields.get(name, b"null"))


def _status(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float):
        _broken("statusCode must be a number")
    if not _STATUS_MIN <= value <= _STATUS_MAX or value != int(value):
        _broken(f"statusCode must be a whole number from {_STATUS_MIN} to {_STATUS_MAX}")
    return int(value)


def _headers(value: Any) -> dict[str, str]:
    if value is not None and not isinstance(value, dict):
        _broken("headers must be an object")
    headers = {"content-type": _DEFAULT_CONTENT_TYPE}
    for name, text in (value or {}).items():
        if _HEADER_NAME.fullmatch(name) is None:
            _broken("headers must have names of letters, digits, '_' and '-'")
        headers[name.lower()] = _header_value(f"headers.{name}", text)
    return {name: text for name, text in headers.items() if name not in _IGNORED_HEADERS}


def _header_value(field: str, text: Any) -> str:
    if not isinstance(text, str):
        _broken(f"{field} must be a string")
    if _NO_HEADER_VALUE.search(text) is not None:
        _broken(f"{field} must be of letters, digits and the marks {_HEADER_MARKS}")
    return text


def _cookies(value: Any) -> tuple[str, ...]:
    if value is not None and not isinstance(value, list):
        _broken("cookies must be an array of strings")
    return tuple(_cookie(f"cookies.{index}", text) for index, text in enumerate(value or []))


def _cookie(field: str, text: Any) -> str:
    if not isinstance(text, str):
        _broken(f"{field} must be a string")
    if _NO_COOKIE.search(text) is not None:
        _broken(f"{field} must not hold control characters")
    return text


def _body(fields: dict[str, Raw]) -> bytes:
    is_base64 = _value(fields, "isBase64Encoded")
    if is_base64 is not None and not isinstance(is_base64, bool):
        _broken("isBase64Encoded must be true or false")
    body = _from_base64(_value(fields, "body")) if is_base64 else _plain(fields.get("body"))
    if len(body) > limits.LAMBDA_PAYLOAD_MAX_BYTES:
        _broken(f"body must have at most {limits.LAMBDA_PAYLOAD_MAX_BYTES} bytes")
    return body


def _plain(raw: Raw | None) -> bytes:
    """A string as it stands; anything else as the JSON text that the function wrote."""
    if raw is None:
        return b""
    text = bytes(raw).strip()
    return msgspec.json.decode(text, type=str).encode() if text.startswith(b'"') else text


def _from_base64(value: Any) -> bytes:
    if not isinstance(value, str):
        _broken("body must be a string if isBase64Encoded is true")
    try:
        return binascii.a2b_base64(value, strict_mode=True)
    except ValueError as error:
        _broken(f"body must be base64 if isBase64Encoded is true: {error}")


def _broken(rule: str) -> NoReturn:
    raise ContractError(errors.INVALID_API_RESULT, f"The function's {rule}.")
