"""What can be set about the embedded store."""

from typing import Annotated

from msgspec import Struct

from taskd.model import limits


class StoreSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """The ``[store]`` table of the configuration."""

    data: str = "./taskd-data"
    """The data directory; made if it is not there."""
    segment_mib: Annotated[int, limits.Range(1, 2048)] = 64
    """A journal segment is sealed, and a new one begun, past this size."""
    listing_time_limit_s: Annotated[float, limits.Range(0.1, 3600)] = 10.0
    """A listing that runs longer is interrupted."""
    live_tasks_max: Annotated[int, limits.Range(1, 1_000_000_000)] = limits.LIVE_TASKS_MAX
    """Tasks that may wait or run at once, half a KiB of memory each beside its data; past that, creation is a 1429."""
    api_requests_kept: Annotated[int, limits.Range(1, 100_000_000)] = limits.API_REQUESTS_KEPT
    """How many calls of API functions are remembered, with their log lines; the oldest give way."""
    indexes: tuple[str, ...] = ()
    """Fields inside of ``data`` by which tasks are found without a look at all, such as ``data.patientId``."""
