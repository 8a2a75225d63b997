"""Reading bodies of errors, which may be anything: Lambda's JSON, a custom runtime's text, a proxy's HTML."""

import json
from collections.abc import Mapping

_TEXT_MAX_CHARS = 1000


def read_object(body: bytes) -> Mapping[str, object]:
    """The JSON object that ``body`` is; an empty one if it is anything else."""
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def error_field(error: Mapping[str, object], *names: str) -> str:
    """The first field of these names that holds something, as text; else an empty string."""
    for name in names:
        value = error.get(name)
        if value is not None and value != "":
            return _encodable(value if isinstance(value, str) else _as_json(value))
    return ""


def error_text(body: bytes) -> str:
    """The beginning of a body that has no message in the expected place."""
    return body[: 4 * _TEXT_MAX_CHARS].decode("utf-8", "replace")[:_TEXT_MAX_CHARS].strip()


def _as_json(value: object) -> str:
    try:
        return json.dumps(value)
    except RecursionError:
        return ""


def _encodable(text: str) -> str:
    """Half a surrogate pair, which JSON can spell and UTF-8 cannot, becomes a question mark."""
    return text.encode("utf-8", "replace").decode()
