"""The vendor's services by their base paths: which of them there are anywhere, and which this application serves.

A client is told apart whether a whole service is missing, which it may do without, or a single call of one that is
here. What is served is what is mounted: nothing else lists it.
"""

import re
from collections.abc import Iterable

from aiohttp import web

VENDOR_BASES = frozenset(
    {
        *("/auth/v2", "/users/v1", "/data/v1", "/files/v1", "/tasks/v1", "/configurations/v2", "/templates/v1"),
        *("/templates/v2", "/mail/v1", "/dispatchers/v1", "/payments/v1", "/profiles/v1", "/notifications/v1"),
        *("/notifications/v2", "/localizations/v1", "/events/v1", "/logs/v1"),
    }
)
"""Every service that the vendor's clients know of."""
SERVED_BASES = web.AppKey("served_bases", frozenset)
"""Those of them that the application serves."""

_BASE = re.compile(r"/[a-z]+/v[0-9]+(?=/|$)")


def served_bases(bases: Iterable[str]) -> frozenset[str]:
    """The vendor's services among ``bases``."""
    return VENDOR_BASES.intersection(bases)


def missing_service(path: str, served: frozenset[str]) -> str | None:
    """The base of the service that ``path`` asks for, if the vendor has it and ``served`` does not."""
    found = _BASE.match(path)
    base = found[0] if found else ""
    return base if base in VENDOR_BASES and base not in served else None
