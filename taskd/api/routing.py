"""Routes: every path answers with and without a trailing slash."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from aiohttp import web
from aiohttp.typedefs import Handler


class Route(NamedTuple):
    """What answers ``method`` on ``path``; a path is relative to the base path and has no trailing slash."""

    method: str
    path: str
    handler: Handler


def mounted(base: str, routes: Sequence[Route]) -> Iterator[web.RouteDef]:
    """``routes`` below ``base``, each with both endings. Methods of one path stay together: they are found faster."""
    for ending in ("", "/"):
        for method, path, handler in routes:
            yield web.route(method, base + path + ending, handler)
