"""What can be set about the embedded store."""

from typing import Annotated

from msgspec import Struct

from taskd.model import limits
from taskd.system.memory import memory_bytes

_LIVE_MEMORY_MIN_BYTES = 64 * limits.MIB
"""Where nothing is set: as much as is of use, on however small a machine."""


class StoreSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """The ``[store]`` table of the configuration."""

    data: str = "./taskd-data"
    """The data directory; made if it is not there."""
    segment_mib: Annotated[int, limits.Range(1, 2048)] = 64
    """A journal segment is sealed, and a new one begun, past this size."""
    listing_time_limit_s: Annotated[float, limits.Range(0.1, 3600)] = 10.0
    """A listing that runs longer is interrupted."""
    live_tasks_max: Annotated[int, limits.Range(1, 1_000_000_000)] = limits.LIVE_TASKS_MAX
    """Tasks that may wait or run at once; past that, creation is a 1429."""
    live_memory_mib: Annotated[int | None, limits.Range(16, 16 * 1024 * 1024)] = None
    """Memory that these may take: half a KiB each, their tags, and data of up to 1 KiB; larger data is read when its
    task starts. Past that, creation is a 1429. ``None`` is for a quarter of what the machine, or the service, has."""
    api_requests_kept: Annotated[int, limits.Range(1, 100_000_000)] = limits.API_REQUESTS_KEPT
    """How many calls of API functions are remembered, with their log lines; the oldest give way."""
    deliveries_kept: Annotated[int, limits.Range(1, 100_000_000)] = limits.DELIVERIES_KEPT
    """How many deliveries to webhooks are remembered; of those that have ended the oldest give way."""
    indexes: tuple[str, ...] = ()
    """Fields inside of ``data`` by which tasks are found without a look at all, such as ``data.patientId``."""

    @property
    def live_memory_bytes(self) -> int:
        """Memory that live tasks may take."""
        if self.live_memory_mib is not None:
            return self.live_memory_mib * limits.MIB
        return max(_LIVE_MEMORY_MIN_BYTES, memory_bytes() // 4)
