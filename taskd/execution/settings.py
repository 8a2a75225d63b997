"""What can be set about dispatching."""

from msgspec import Struct


class DispatchSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """The ``[dispatch]`` table of the configuration."""

    max_in_flight: int = 256
    """Invocations at once, at most; throttling lowers the limit in force for a while."""
    max_direct: int = 64
    """Direct executions at once, beside the tasks of the queue."""
    max_api_calls: int = 64
    """Calls of API functions at once."""
    api_query_mark: bool = True
    """Whether an API function's ``rawQueryString`` begins with ``?``, as Extra Horizon has it but AWS has not."""
    grace_s: float = 310.0
    """After SIGTERM, how long running invocations are waited for before their outcome counts as unknown."""
