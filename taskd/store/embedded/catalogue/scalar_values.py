"""What an index keeps of a task: the scalars that a field leads to, as they can be compared and kept.

Stands in where values cannot be kept as they are: ``LOOK``. Stands beside the values of a task that has several:
``SEVERAL``.
"""

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from taskd.model.task import Task
from taskd.rql.evaluate import values_at
from taskd.rql.query import Path
from taskd.rql.scalars import comparable, is_number
from taskd.store.embedded.catalogue.sql.user_functions import decode_document

TAGS: Path = ("tags",)
LOOK = b""
"""In the place of a value that is too long, or no text that can be kept: such a task is looked at itself."""
SEVERAL = b"\x01"
"""Beside the values of a task in which a field of ``data`` leads to more than one: one of them may be past one end of
a range and another past the other, so that the task satisfies both ends with no value in between."""
_TEXT_MAX_CHARS = 256
"""No less than a tag may have."""

_PLAIN_MAX = 1 << 62
"""Integers up to it are kept as they are, without a further look."""

Value = str | int | float | bytes


class Extractor:
    """Finds the values of new tasks for all the fields that are indexed. Most tasks have none of them."""

    def __init__(self, fields: Mapping[Path, int]) -> None:
        """``fields`` with their numbers."""
        self._tags = fields.get(TAGS)
        inside = [(path, field) for path, field in fields.items() if path != TAGS]
        self._inside = [(path[1:], field, path[1] if len(path) == 2 else None) for path, field in inside]
        names = {re.escape(path[1].encode()) for path, _ in inside}
        self._may_lead = re.compile(b"|".join([*sorted(names), rb"\\"])).search
        """Whether a field may be there. Looking for its name costs less than decoding; with escapes it may hide."""

    def append_values(self, tasks: Iterable[Task], found: list[tuple[int, Value, int]]) -> tuple[int, int]:
        """Adds each value to ``found``, the number of its field before it and that of the task behind it.

        Gives how many tasks have values, and how long their data is together. Of the writer's work this is what needs
        the interpreter, so it is terse.
        """
        with_values = chars = 0
        for task in tasks:
            if not (task.tags or self._inside):  # nearly always neither
                continue
            before, seq = len(found), task.seq
            if self._tags is not None:
                found += [(self._tags, kept(tag), seq) for tag in task.tags]
            if self._inside and self._may_lead(task.data):
                self._append_from(decode_document(task.data), seq, found)
            if len(found) > before:
                with_values += 1
                chars += len(task.data)
        return with_values, chars

    def _append_from(self, document: Any, seq: int, found: list[tuple[int, Value, int]]) -> None:
        for path, field, name in self._inside:
            value = document.get(name)
            kind = type(value)
            if (kind is int and -_PLAIN_MAX < value < _PLAIN_MAX) or (kind is str and kept(value) is value):
                found.append((field, value, seq))
            elif value is not None or name is None:
                found += [(field, each, seq) for each in _kept_at(document, path)]


def values_in(text: str | bytes, path: Path) -> Iterator[Value]:
    """The values in a column of JSON that ``path`` leads to, which begins with the name of the column."""
    document = decode_document(text)
    return _scalars(document, ()) if path == TAGS else iter(_kept_at(document, path[1:]))


def _kept_at(document: Any, path: Path) -> list[Value]:
    values = list(_scalars(document, path))
    return values if len(values) < 2 else [*values, SEVERAL]


def _scalars(document: Any, path: Path) -> Iterator[Value]:
    if len(path) == 1 and isinstance(document, dict):  # nearly always, and quicker
        leads_to = [document[path[0]]] if path[0] in document else []
    else:
        leads_to = values_at([document], path)
    for found in leads_to:
        for value in found if isinstance(found, list) else (found,):
            if isinstance(value, str):
                yield kept(value)
            elif is_number(value) and not math.isnan(value):  # which equals nothing
                yield comparable(value)


def kept(text: str) -> str | bytes:
    """``text``, or what stands for it."""
    is_plain = len(text) <= _TEXT_MAX_CHARS and "\0" not in text and (text.isascii() or not _has_surrogates(text))
    return text if is_plain else LOOK


def _has_surrogates(text: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in text)
