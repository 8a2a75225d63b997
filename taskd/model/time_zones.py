"""Time zones by their IANA names, and whose data they are read from: the machine's, or the package ``tzdata``.

Each is read once. A newer release of the data is in force from the next start.
"""

import re
import zoneinfo
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from zoneinfo import ZoneInfo

from taskd.model.errors import TaskdError

_NAME = re.compile(r"(?!posix/|right/)[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+){0,2}")
"""``right/…`` would count leap seconds, which no clock here does."""
_NAME_MAX_CHARS = 64
_VERSION_LINE = re.compile(r"# version (\S{1,20})")


class UnknownZoneError(TaskdError):
    """There is no data of this zone."""


@lru_cache(maxsize=1024)
def time_zone(name: str) -> ZoneInfo:
    """The zone of this name, such as ``Europe/Brussels``.

    :raises UnknownZoneError: neither the machine nor the package knows it.
    """
    if len(name) > _NAME_MAX_CHARS or _NAME.fullmatch(name) is None:
        raise UnknownZoneError(f"{name[:_NAME_MAX_CHARS]!r} is no name of a time zone, such as Europe/Brussels.")
    try:
        return ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):  # of a folder, say
        message = f"There is no time zone {name}, by the data of {zone_data()}; names are like Europe/Brussels."
        raise UnknownZoneError(message) from None


@lru_cache(maxsize=1)
def zone_data() -> str:
    """Where zones come from, in words, with the release of the data."""
    for folder in map(Path, zoneinfo.TZPATH):
        if (folder / "Europe" / "Brussels").is_file():
            return f"this machine ({folder}, {_release(folder)})"
    try:
        return f"the package tzdata ({metadata.version('tzdata')})"
    except metadata.PackageNotFoundError:
        return "nowhere: there is neither a folder zoneinfo nor the package tzdata"


def _release(folder: Path) -> str:
    """As ``tzdata.zi`` says it, in its first line."""
    try:
        with (folder / "tzdata.zi").open(encoding="ascii", errors="replace") as lines:
            found = _VERSION_LINE.match(lines.readline(64))
    except OSError:
        found = None
    return found.group(1) if found else "of an unknown release"
