"""How much of one call's log is kept, wherever the function runs."""

from taskd.model import limits
from taskd.model.logline import LogLine

LINE_OVERHEAD_BYTES = 26
"""What a line costs beside its text, so that a million empty ones are not free; as CloudWatch counts."""


def cut_notice(now_ms: int) -> LogLine:
    """The line that stands where the log of a call is cut off."""
    limit_mib = limits.LOG_MAX_BYTES_PER_CALL // limits.MIB
    return LogLine(now_ms, f"[taskd] The log is cut here: it is over the limit of {limit_mib} MiB a call.")
