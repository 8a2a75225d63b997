"""Listings longer than a page."""

from collections.abc import Iterator
from typing import Any

from taskd.cli.client import ApiClient
from taskd.model.limits import PAGE_LIMIT_MAX


def rows(client: ApiClient, path: str, query: str, limit: int) -> Iterator[dict[str, Any]]:
    """Up to ``limit`` records of the listing at ``path``, fetched page by page as they are asked for."""
    offset = 0
    while offset < limit:
        size = min(PAGE_LIMIT_MAX, limit - offset)
        page = client.get(path, f"{query}&limit({size},{offset})&skipCount()")["data"]
        yield from page
        offset += len(page)
        if len(page) < size:
            return
