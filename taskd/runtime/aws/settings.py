"""What can be set about the AWS runtime."""

from msgspec import Struct


class AwsSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """The ``[aws]`` table of the configuration. What is unset comes from the AWS environment and files."""

    region: str | None = None
    profile: str | None = None
    endpoint_url: str | None = None
    """A Lambda-compatible endpoint other than AWS's own, for example ``http://127.0.0.1:9001``."""
    connect_timeout_s: float = 5.0
    idle_connection_s: float = 5.0
    """A kept connection unused for longer is not used again: the peer may be closing it this very moment."""
