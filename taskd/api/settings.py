"""What can be set about the HTTP server."""

from typing import Annotated

from msgspec import Struct

from taskd.model import limits


class ServerSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """The ``[server]`` table of the configuration."""

    listen: str = "127.0.0.1:8080"
    """Host and port; port 0 takes a free one, which the ready line names."""
    trusted_proxies: tuple[str, ...] = ("127.0.0.0/8", "::1")
    """Addresses and networks of proxies whose ``X-Forwarded-For`` is believed, in its last entry."""
    hosts: tuple[str, ...] | None = None
    """Names that the service answers to, besides ``localhost`` and the addresses that it listens on. ``None`` lets
    requests with credentials pass under any name, where callers must show who they are."""
    origins: tuple[str, ...] = ()
    """Origins whose web pages may call, besides the service's own."""
    body_max_bytes: Annotated[int, limits.Range(1024, 64 * limits.MIB)] = limits.BODY_MAX_BYTES
    code_body_max_bytes: Annotated[int, limits.Range(1024, 512 * limits.MIB)] = limits.CODE_BODY_MAX_BYTES
    bulk_body_max_bytes: Annotated[int, limits.Range(1024, 512 * limits.MIB)] = limits.BULK_BODY_MAX_BYTES
    requests_max: Annotated[int, limits.Range(1, 1_000_000)] = limits.REQUESTS_MAX
    """Requests in progress at once; one more is answered with 1429."""
    bodies_max_bytes: Annotated[int, limits.Range(limits.MIB, 64 * 1024 * limits.MIB)] = limits.BODIES_MAX_BYTES
    """Bytes of the bodies of all requests in progress; more are answered with 1429."""
    page_max_bytes: Annotated[int, limits.Range(limits.MIB, 1024 * limits.MIB)] = limits.PAGE_MAX_BYTES
    """Bytes of a page of records; a longer one has fewer records, and its ``limit`` says how many."""
    answers_max_bytes: Annotated[int, limits.Range(limits.MIB, 64 * 1024 * limits.MIB)] = limits.ANSWERS_MAX_BYTES
    """Bytes in memory of long answers that are not read yet; over it, the caller who holds most loses the oldest."""
    answer_stall_s: Annotated[float, limits.Range(1, 3_600)] = limits.ANSWER_STALL_S
    """How long a client may read next to nothing of an answer until its connection is ended."""
