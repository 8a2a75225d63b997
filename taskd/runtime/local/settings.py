"""What can be set about the local runtime."""

from msgspec import Struct


class LocalSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """The ``[local]`` table of the configuration."""

    max_sandboxes: int = 16
    """Child processes at once, over all functions; calls past it wait for a free one."""
    idle_expiry_s: float = 300.0
    """A warm sandbox unused for this long is ended."""
    queue_wait_s: float = 10.0
    """A call waits this long for a free sandbox; then it is refused, has not run, and is tried again later."""
