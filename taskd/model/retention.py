"""How long what is over is kept: the rule for everything, and what a function says of its own."""

from msgspec import Struct

from taskd.model.status import Status

FOR_EVER_MS = 2**62
"""Longer than anything is kept."""


class Retention(Struct, frozen=True, gc=False, array_like=True):
    """Milliseconds for which something is kept once it is over; ``None`` where nothing is said.

    Persisted as an array in this order: add new fields at the end, with a default.
    """

    complete_ms: int | None = None
    failed_ms: int | None = None
    canceled_ms: int | None = None
    retried_ms: int | None = None
    api_requests_ms: int | None = None
    logs_ms: int | None = None
    """For a line since it was printed. It goes with its task or API request at the latest."""
    events_ms: int | None = None
    """Of the whole store alone: events are no function's."""

    def __bool__(self) -> bool:
        """Whether anything is said."""
        return self != NOTHING_SAID


NOTHING_SAID = Retention()
_OF_STATUS = {
    Status.COMPLETE: "complete_ms",
    Status.FAILED: "failed_ms",
    Status.CANCELED: "canceled_ms",
    Status.RETRIED: "retried_ms",
}
KINDS = (*_OF_STATUS.values(), "api_requests_ms", "logs_ms")
"""The fields of :class:`Retention`: what a store looks through, one after the other."""
STATUS_OF_KIND = {field: status for status, field in _OF_STATUS.items()}


class Cutoffs(Struct, frozen=True):
    """Up to which moment things of one kind are over for too long, by their function's name."""

    general_ms: int
    own_ms: dict[str, int]
    """Where a function has a rule of its own."""

    def of(self, function_name: str) -> int:
        """The moment for what is of this function."""
        return self.own_ms.get(function_name, self.general_ms)

    @property
    def latest_ms(self) -> int:
        """What is over since then is kept, whatever function it is of."""
        return max(self.general_ms, *self.own_ms.values()) if self.own_ms else self.general_ms


def cutoffs(kind: str, general: Retention, own: dict[str, Retention], now_ms: int) -> Cutoffs | None:
    """For one of :data:`KINDS`; ``None`` where all of it is kept. ``own`` are the functions' rules, by their names."""
    kept_ms: int | None = getattr(general, kind)
    own_ms: dict[str, int | None] = {name: getattr(retention, kind) for name, retention in own.items()}
    own_cutoffs_ms = {name: now_ms - each_ms for name, each_ms in own_ms.items() if each_ms is not None}
    if kept_ms is None and not own_cutoffs_ms:
        return None
    return Cutoffs(now_ms - (FOR_EVER_MS if kept_ms is None else kept_ms), own_cutoffs_ms)
