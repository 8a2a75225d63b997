"""Schedules as people read them. Fetches nothing."""

from collections.abc import Iterator
from datetime import datetime
from zoneinfo import ZoneInfo

from rich.table import Table
from rich.text import Text

from taskd.cli import output
from taskd.cli.client import Json
from taskd.cli.moments import format_duration
from taskd.cli.output import safe
from taskd.cli.views import relative
from taskd.model.time_zones import UnknownZoneError, time_zone
from taskd.model.timestamps import parse_rfc3339

_UTC = "UTC"


def table(schedules: list[Json], now_ms: int) -> Table:
    """A listing of schedules."""
    listing = output.listing("ID", "FUNCTION~", ">EVERY", "NEXT", ">PRIORITY")
    for schedule in schedules:
        listing.add_row(
            safe(schedule["id"]),
            safe(schedule["functionName"]),
            safe(_times(schedule)),
            safe(_next(schedule, now_ms)),
            f"{schedule['priority']:,}",
        )
    return listing


def created_line(schedule: Json, now_ms: int) -> Text:
    """That a schedule was made, and when it makes its next task."""
    when = _times(schedule) if "cron" in schedule else f"every {_times(schedule)}"
    about = f": {safe(schedule['functionName'])} {safe(when)}, {_coming(schedule, now_ms)}"
    return Text.assemble("Created schedule ", (safe(schedule["id"]), "bold"), about)


def changed_line(verb: str, schedule: Json, now_ms: int) -> Text:
    """That a schedule is another now, and when it makes its next task."""
    return Text.assemble(f"{verb} ", (safe(schedule["id"]), "bold"), f", {_coming(schedule, now_ms)}")


def time_lines(times: list[str], zone: str | None, now_ms: int) -> Iterator[Text]:
    """Each time, as a clock in the zone shows it, and how far it is from now."""
    for timestamp in times:
        yield Text.assemble(safe(_local(timestamp, zone)), (f"  {relative(timestamp, now_ms)}", "dim"))


def _times(schedule: Json) -> str:
    if "cron" in schedule:
        return f"{schedule['cron']} {schedule.get('timeZone', _UTC)}"
    return format_duration(round(schedule["interval"] * 1000))


def _coming(schedule: Json, now_ms: int) -> str:
    return f"next {safe(_next(schedule, now_ms))}" if "nextTimestamp" in schedule else _next(schedule, now_ms)


def _next(schedule: Json, now_ms: int) -> str:
    if schedule.get("paused"):
        return "paused"
    if "nextTimestamp" not in schedule:
        return "ended"
    distance = relative(schedule["nextTimestamp"], now_ms)
    if "cron" not in schedule:
        return distance
    return f"{distance}, {_local(schedule['nextTimestamp'], schedule.get('timeZone'))}"


def _local(timestamp: str, zone: str | None) -> str:
    """Such as ``Wed 25 Nov 2026 07:00 CET``; UTC where the zone is not known on this machine."""
    moment_ms = parse_rfc3339(timestamp)
    if moment_ms is None:
        return timestamp
    shown = datetime.fromtimestamp(moment_ms / 1000, _zone(zone))
    seconds = f":{shown:%S}" if shown.second else ""
    return f"{shown:%a %d %b %Y %H:%M}{seconds} {shown:%Z}"


def _zone(name: str | None) -> ZoneInfo:
    try:
        return time_zone(name or _UTC)
    except UnknownZoneError:
        return time_zone(_UTC)
