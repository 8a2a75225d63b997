"""What can be set about dispatching."""

from typing import Annotated

from msgspec import Struct

from taskd.model import limits


class DispatchSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """The ``[dispatch]`` table of the configuration."""

    max_in_flight: Annotated[int, limits.Range(1, 65_536)] = 256
    """Invocations at once, at most; throttling lowers the limit in force for a while."""
    max_direct: Annotated[int, limits.Range(1, 65_536)] = 64
    """Direct executions at once, beside the tasks of the queue."""
    max_api_calls: Annotated[int, limits.Range(1, 65_536)] = 64
    """Calls of API functions at once."""
    api_query_mark: bool = True
    """Whether an API function's ``rawQueryString`` begins with ``?``, as Extra Horizon has it but AWS has not."""
    grace_s: Annotated[float, limits.Range(0, 86_400)] = 310.0
    """After SIGTERM, how long running invocations are waited for before their outcome counts as unknown."""
