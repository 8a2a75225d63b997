"""What can be set about how long what is over is kept."""

from collections.abc import Iterator

from msgspec import Struct

from taskd.model import limits
from taskd.model.durations import duration_ms
from taskd.model.retention import Retention


class RetentionSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """The ``[retention]`` table of the configuration: durations such as ``30d``; what has none is kept."""

    complete: str | None = None
    """Tasks that are complete, from their end on."""
    failed: str | None = None
    """Those that failed."""
    canceled: str | None = None
    """Those that were canceled."""
    retried: str | None = None
    """Those that failed and were tried again."""
    api_requests: str | None = None
    """API requests."""
    logs: str | None = None
    """Log lines, from when they were printed; they go with their task or API request at the latest."""
    events: str | None = None
    """Events, from when they were published."""

    @property
    def retention(self) -> Retention:
        """The same in milliseconds."""
        texts = ((name, getattr(self, name)) for name in self.__struct_fields__)
        return Retention(**{f"{name}_ms": None if text is None else duration_ms(text) for name, text in texts})

    @property
    def problems(self) -> Iterator[str]:
        """What is no duration, or one that is too short or too long."""
        for name in self.__struct_fields__:
            text = getattr(self, name)
            kept_ms = 0 if text is None else duration_ms(text)
            if text is None:
                continue
            if kept_ms is None or not limits.RETENTION_MIN_S * 1000 <= kept_ms <= limits.RETENTION_MAX_S * 1000:
                yield f"retention.{name} is {text!r}: it must be such as 12h or 30d, from 1m to 36600d"
