"""The generic cell rate algorithm (ITU-T I.371): how soon the next may start, from one number for all before it.

That number is the theoretical arrival time, in nanoseconds since the epoch: when the next would start if all came at
the steady rate. Who comes earlier than that by no more than the tolerance may start, too: that is what a burst is.
"""

from msgspec import Struct

_MS = 1_000_000
"""In nanoseconds."""
NEVER_STARTED_NS = 0
"""Where nothing started before."""


class Gcra(Struct, frozen=True, gc=False):
    """Starts at a steady rate. All times go by one clock; if that is set back, a wait is no longer than before."""

    interval_ns: int
    tolerance_ns: int

    @classmethod
    def of(cls, limit: int, period_ms: int, burst: int) -> "Gcra":
        """``limit`` starts in each period, ``burst`` of them at once where there were none before.

        The clock counts milliseconds, so what is due within one may start in it: otherwise each start would lose what
        is left of its millisecond.
        """
        interval_ns = -(-period_ms * _MS // limit)
        return cls(interval_ns, (burst - 1) * interval_ns + _MS - 1)

    def opens_ms(self, arrival_ns: int, now_ms: int) -> int:
        """When the next may start, after those that led to ``arrival_ns``; the past or now if it may."""
        arrival_ns = min(arrival_ns, now_ms * _MS + self.interval_ns + self.tolerance_ns)
        return -(-(arrival_ns - self.tolerance_ns) // _MS)

    def after(self, arrival_ns: int, now_ms: int) -> int:
        """The arrival time once another has started now."""
        now_ns = now_ms * _MS
        return max(min(arrival_ns, now_ns + self.tolerance_ns), now_ns) + self.interval_ns
