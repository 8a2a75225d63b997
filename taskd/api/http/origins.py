"""Which web pages may call: those of the service itself, and those of the origins that are configured."""

import re
from collections.abc import Iterable

_ANY_SUBDOMAIN = "*."
_NAMES = re.compile(r"[a-z0-9_-]+(?:\.[a-z0-9_-]+)*")


class Origins:
    """Origins by their exact text, such as ``https://app.example.com``; ``https://*.example.com`` is any name below."""

    def __init__(self, patterns: Iterable[str]) -> None:
        lowered = [pattern.lower() for pattern in patterns]
        self._exact = frozenset(pattern for pattern in lowered if _ANY_SUBDOMAIN not in pattern)
        self._below = [pattern.split(_ANY_SUBDOMAIN) for pattern in lowered if _ANY_SUBDOMAIN in pattern]

    def __bool__(self) -> bool:
        return bool(self._exact or self._below)

    def has(self, origin: str) -> bool:
        """Whether ``origin`` is one of those that are configured."""
        return origin in self._exact or any(_is_below(origin, scheme, domain) for scheme, domain in self._below)


def _is_below(origin: str, scheme: str, domain: str) -> bool:
    name = origin.removeprefix(scheme).removesuffix(f".{domain}")
    return origin == f"{scheme}{name}.{domain}" and _NAMES.fullmatch(name) is not None


def is_same_host(origin: str, host: str) -> bool:
    """Whether ``origin`` is that of a page from ``host``, as the ``Host`` header has it."""
    scheme, _, authority = origin.partition("://")
    return scheme in ("http", "https") and authority == host.lower()
