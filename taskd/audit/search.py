"""Finding entries: the parts are read from the beginning, by one query at a time, within a time limit."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TypeGuard

import msgspec
from msgspec.structs import replace

from taskd.audit.entry import KINDS, Entry, document
from taskd.audit.files import TrailFiles, month_of
from taskd.model import errors
from taskd.model.errors import ContractError
from taskd.model.timestamps import MAX_MS
from taskd.rql.evaluate import matches
from taskd.rql.in_memory import coerced, rank, require_field
from taskd.rql.matcher import SearchCancelledError
from taskd.rql.query import Compare, Group, Node, Query

TIME_LIMIT_S = 10.0
FOUND_MAX = 200_000
"""Entries that one query may find: they are held until they are in order."""
_LOOK_EVERY = 256
_GATHERED_MS = 3_600_000
"""More than entries wait to be written together, in the part of the month of the first."""

_decode = msgspec.json.Decoder(Entry).decode


class Found(msgspec.Struct):
    """The entries of a page, and how many the query finds in all."""

    rows: list[Entry]
    total: int | None


def find(files: TrailFiles, query: Query) -> Found:
    """The page that ``query`` asks for, oldest first unless it sorts.

    :raises ContractError: ``INVALID_RQL``; ``LONG_QUERY`` if it takes too long or finds too many.
    """
    where = None if query.where is None else coerced(query.where, KINDS)
    for key in query.sort:
        require_field(KINDS, key.path, 0)
    found = list(_matching(files, where, time.monotonic() + TIME_LIMIT_S))
    for key in reversed(query.sort):
        found.sort(key=lambda entry: rank(document(entry), key.path), reverse=key.descending)
    page = found[query.offset : query.offset + query.limit]
    return Found(page, None if query.skip_count else len(found))


def read_part(path: Path) -> list[Entry]:
    """The entries of a part, each with its outcome; lines that were torn are left out."""
    entries: dict[str, Entry] = {}
    try:
        lines = path.read_bytes().splitlines()
    except FileNotFoundError:  # it was removed meanwhile
        return []
    for line in lines:
        try:
            entry = _decode(line)
        except msgspec.DecodeError:
            continue
        if entry.action:
            entries[entry.id] = entry
        elif (begun := entries.get(entry.id)) is not None:
            said = {"subject_id": entry.subject_id, "detail": entry.detail}
            entries[entry.id] = replace(begun, outcome=entry.outcome, error=entry.error, **said)
    return list(entries.values())


def _matching(files: TrailFiles, where: Node | None, deadline_s: float) -> Iterator[Entry]:
    number = found = 0
    since_month = month_of(max(0, _since_ms(where) - _GATHERED_MS))
    for part in files.parts():
        if part.name < since_month:
            continue
        for entry in read_part(part):
            number += 1
            if number % _LOOK_EVERY == 0 and time.monotonic() > deadline_s:
                raise _too_long(f"The query took over {TIME_LIMIT_S:g} s.")
            if where is not None and not _matches(where, entry, deadline_s):
                continue
            found += 1
            if found > FOUND_MAX:
                raise _too_long(f"The query finds over {FOUND_MAX:,} entries.")
            yield entry


def _since_ms(where: Node | None) -> int:
    """From when on the entries are that ``where`` may hold for, so that months before need not be read."""
    conditions = where.conditions if isinstance(where, Group) and where.op == "and" else (where,)
    bounds = [node.value for node in conditions if _is_lower_bound(node)]
    return min(max((value for value in bounds if isinstance(value, int)), default=0), MAX_MS)


def _is_lower_bound(node: Node | None) -> TypeGuard[Compare]:
    return isinstance(node, Compare) and node.op in ("ge", "gt", "eq") and node.path == ("creationTimestamp",)


def _matches(where: Node, entry: Entry, deadline_s: float) -> bool:
    try:
        return matches(where, (document(entry),), lambda: time.monotonic() > deadline_s)
    except SearchCancelledError:
        raise _too_long(f"The query took over {TIME_LIMIT_S:g} s.") from None


def _too_long(what: str) -> ContractError:
    return ContractError(
        errors.LONG_QUERY, f"{what} Narrow it down, such as by creationTimestamp>=2026-01-01T00:00:00.000Z."
    )
