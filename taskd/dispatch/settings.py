"""What can be set about dispatching."""

from msgspec import Struct


class DispatchSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """The ``[dispatch]`` table of the configuration."""

    max_in_flight: int = 256
    """Invocations at once, at most; throttling lowers the limit in force for a while."""
    grace_s: float = 310.0
    """After SIGTERM, how long running invocations are waited for before their outcome counts as unknown."""
