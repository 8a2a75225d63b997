"""Answers in the contract's shapes: pages, affected records, plain JSON."""

from typing import Any, Generic, TypeVar

import msgspec
from msgspec import UNSET, Struct, UnsetType

from taskd.api.http.json_response import JsonResponse

T = TypeVar("T")

_encoder = msgspec.json.Encoder()


class PageInfo(Struct):
    """Where a page stands in its listing; ``total`` is left out where it was not counted."""

    offset: int
    limit: int
    total: int | UnsetType = UNSET


class Page(Struct, Generic[T]):
    """One page of a listing; ``query`` is the filter in force, as JSON text."""

    query: str
    page: PageInfo
    data: list[T]


class LogPage(Struct, Generic[T]):
    """One page of log lines: these are never counted."""

    page: PageInfo
    data: list[T]


class AffectedRecords(Struct, rename="camel"):
    """How many records a call changed."""

    affected_records: int = 1


def json_answer(value: Any, status: int = 200) -> JsonResponse:
    """``value`` as JSON."""
    return JsonResponse(_encoder.encode(value), status)
