"""Routes: every path answers with and without a trailing slash."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from aiohttp import web
from aiohttp.typedefs import Handler


class Route(NamedTuple):
    """What answers ``method`` on ``path``; a path is relative to the base path and has no trailing slash."""

    method: str
    path: str
    handler: Handler


def mounted(base: str, routes: Iterable[Route]) -> Iterator[web.RouteDef]:
    """``routes`` below ``base``, each with both endings."""
    for method, path, handler in routes:
        yield web.route(method, base + path, handler)
        yield web.route(method, base + path + "/", handler)
