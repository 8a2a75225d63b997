"""What can be set about the HTTP server."""

from msgspec import Struct

from taskd.model import limits


class ServerSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """The ``[server]`` table of the configuration."""

    listen: str = "127.0.0.1:8080"
    """Host and port; port 0 takes a free one, which the ready line names."""
    body_max_bytes: int = limits.BODY_MAX_BYTES
    code_body_max_bytes: int = limits.CODE_BODY_MAX_BYTES
    bulk_body_max_bytes: int = limits.BULK_BODY_MAX_BYTES
    requests_max: int = limits.REQUESTS_MAX
    """Requests in progress at once; one more is answered with 1429."""
    bodies_max_bytes: int = limits.BODIES_MAX_BYTES
    """Bytes of the bodies of all requests in progress; more are answered with 1429."""
