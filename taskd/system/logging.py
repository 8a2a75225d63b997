"""The daemon's own log: to standard error, as text or as one JSON object a line.

What functions and callers have written gets into it, so nothing in a message can end its entry or begin another.
"""

import logging
import os
import sys
from typing import Literal

import orjson
from msgspec import Struct

from taskd.model.timestamps import format_ms


class LogSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """The ``[log]`` table of the configuration."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["text", "json"] = "text"


_LEVEL_PREFIXES = {
    logging.DEBUG: "<7>",
    logging.INFO: "<6>",
    logging.WARNING: "<4>",
    logging.ERROR: "<3>",
    logging.CRITICAL: "<2>",
}
"""What systemd's journal reads as the priority of a line (sd-daemon(3))."""
_LINE_MAX_CHARS = 8192
"""Of a line of text; at 4 bytes each below the 48 KiB where systemd's journal begins another entry (LineMax=)."""


class TextFormatter(logging.Formatter):
    """``2026-01-31T12:00:00.000Z INFO taskd.daemon: message``; under systemd with its priority instead of the time."""

    def __init__(self, *, for_systemd: bool) -> None:
        super().__init__()
        self._for_systemd = for_systemd

    def format(self, record: logging.LogRecord) -> str:
        """One entry; its further lines, such as a traceback, are indented. To systemd each is of the same priority."""
        prefix = _LEVEL_PREFIXES.get(record.levelno, "<6>") if self._for_systemd else ""
        begin = "" if self._for_systemd else f"{format_ms(int(record.created * 1000))} {record.levelname} "
        first, *further = (_shortened(line) for line in _message(record).split("\n"))
        return "\n".join((f"{prefix}{begin}{record.name}: {first}", *(f"{prefix}    {line}" for line in further)))


class JsonFormatter(logging.Formatter):
    """One JSON object a line: ``time, level, logger, message``."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        entry = {
            "time": format_ms(int(record.created * 1000)),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _message(record),
        }
        return orjson.dumps(entry).decode()


def set_up_logging(settings: LogSettings) -> None:
    """Sends every logger's entries from the set level on to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    if settings.format == "json":
        handler.setFormatter(JsonFormatter())
    else:
        handler.setFormatter(TextFormatter(for_systemd="JOURNAL_STREAM" in os.environ))
    logging.basicConfig(level=settings.level.upper(), handlers=[handler], force=True)
    for talkative in ("asyncio", "botocore", "aiobotocore"):
        logging.getLogger(talkative).setLevel(logging.WARNING)


def _message(record: logging.LogRecord) -> str:
    text = record.getMessage()
    if record.exc_info:
        text += "\n" + logging.Formatter().formatException(record.exc_info)
    return "\n".join(_printable(line) for line in text.split("\n"))


def _printable(line: str) -> str:
    """``line`` with escapes for what terminals obey, log readers split at, or cannot be encoded."""
    if line.isprintable():
        return line
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in line)


def _shortened(line: str) -> str:
    return line if len(line) <= _LINE_MAX_CHARS else f"{line[:_LINE_MAX_CHARS]}… ({len(line)} characters)"
