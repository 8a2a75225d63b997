"""Which URLs a webhook may have. Where their hosts are is looked up with each delivery, and not here."""

import ipaddress
import re
from urllib.parse import urlsplit

from taskd.model.limits import WEBHOOK_URL_MAX_CHARS
from taskd.webhooks.addresses import AllowedAddresses

_VISIBLE = re.compile(r"[\x21-\x7e\u00a1-\U0010ffff]+")
_RULE = "be a URL such as https://service.example.com/hooks, with https or http and without user, password or fragment"


def problem_with(url: str, allowed: AllowedAddresses) -> str | None:
    """What the URL must be and is not, completing the sentence "url must ..."; ``None`` if it can be used."""
    if len(url) > WEBHOOK_URL_MAX_CHARS:
        return f"have at most {WEBHOOK_URL_MAX_CHARS} characters"
    host = _host(url)
    if host is None:
        return _RULE
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return None
    if allowed.include(host):
        return None
    return "lead to an address that is globally routable, or in a network that [webhooks] allow_networks names"


def _host(url: str) -> str | None:
    """The host of a URL that keeps the rules."""
    if not _VISIBLE.fullmatch(url) or "\\" in url:
        return None
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return None
    is_plain = parts.scheme in ("http", "https") and "@" not in parts.netloc and "#" not in url
    return host if is_plain and host and port != 0 else None
