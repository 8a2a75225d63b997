"""A field of a task's data as a key that tells some tasks from others, by a dotted path such as ``data.patientId``.

Text, numbers, ``true`` and ``false`` are keys, each equal to itself alone; ``1`` and ``1.0`` are the same number. All
that lack the field, or have ``null``, an array or an object there, have one key in common. A key is a digest: what is
kept of it, in whatever place, does not tell what a task's data was.
"""

from collections.abc import Callable
from functools import lru_cache
from hashlib import blake2b
from typing import Any

import msgspec
import orjson
from msgspec import Raw, Struct

from taskd.model import limits

NO_KEY = b""
"""Of tasks that lack the field."""
ROOT = "data"
_DIGEST_BYTES = 12
_NULL = Raw(b"null")

ReadKey = Callable[[bytes], bytes]
"""The key of a task with this data, the JSON text of an object."""


def path_problem(path: str) -> str | None:
    """What is wrong with ``path``, to complete the sentence "it must ..."; ``None`` if nothing is."""
    root, *names = path.split(".")
    if root == ROOT and names and all(names) and len(path) <= limits.KEY_PATH_MAX_CHARS:
        return None
    return f"be a path into the data like data.patientId, of at most {limits.KEY_PATH_MAX_CHARS} characters"


@lru_cache(maxsize=1024)
def reader_of(path: str) -> ReadKey:
    """Reads the keys at ``path``, past all else there is without making anything of it."""
    depth = path.count(".")
    decode = msgspec.json.Decoder(_shape(path.split(".")[1:])).decode

    def read(data: bytes) -> bytes:
        try:
            found: Any = decode(data)
            for _ in range(depth):
                if found is None:
                    return NO_KEY
                found = found.field
            return _key(bytes(found))
        except (msgspec.DecodeError, orjson.JSONDecodeError, UnicodeDecodeError, RecursionError):
            return NO_KEY

    return read


def _shape(names: list[str]) -> type[Struct]:
    """A struct for each object on the way, which has but the one field."""
    *outer, last = names
    shape = msgspec.defstruct("Level", [("field", Raw, _NULL)], rename={"field": last})
    for name in reversed(outer):
        shape = msgspec.defstruct("Level", [("field", shape | None, None)], rename={"field": name})
    return shape


def _key(text: bytes) -> bytes:
    first = text[:1]
    if first in b"{[n":
        return NO_KEY
    is_plain = text.isdigit() or (first == b'"' and b"\\" not in text)
    if not is_plain:  # there are other ways to write the same
        value: object = orjson.loads(text)
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        text = orjson.dumps(value) if isinstance(value, str) else str(value).encode()
    return blake2b(text, digest_size=_DIGEST_BYTES).digest()
