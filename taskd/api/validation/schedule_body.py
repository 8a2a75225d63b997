"""Bodies of schedules, and the schedule that each asks for."""

from typing import Annotated, Any

from msgspec import UNSET, Meta, Raw, Struct, UnsetType, field
from msgspec.structs import replace

from taskd.api.validation.body_decoder import (
    BodyDecoder,
    Number,
    field_error,
    missing_fields,
    priority_of,
    whole_number,
)
from taskd.api.validation.pause_body import NOTE_RULE, Note
from taskd.api.validation.task_body import Tags, TaskBody, function_reference, moment_ms, object_text, task_draft
from taskd.api.validation.unique_body import UNIQUE_RULE, UniqueBody, unique_rule
from taskd.model import cron as crons
from taskd.model import errors, limits, recurrence
from taskd.model.caller import Caller
from taskd.model.errors import ContractError
from taskd.model.function import Function
from taskd.model.schedule import Overlap, Schedule, ScheduleDraft, pause
from taskd.model.time_zones import UnknownZoneError, time_zone

_OVERLAP_RULE = f"one of {', '.join(Overlap)}"
_MOMENT_RULE = "an RFC 3339 timestamp or a number of milliseconds"
_CRON_RULE = "a string: five fields, or @daily and the like"
_ZONE_RULE = "a string: the IANA name of a time zone"


class ScheduleBody(TaskBody, rename="camel", kw_only=True, gc=False):
    """``POST /schedules``: a task to create again and again, every ``interval`` or when ``cron`` says."""

    interval: Annotated[Number | None, Meta(description="a number of seconds")] = None
    cron: Annotated[str | None, Meta(description=_CRON_RULE)] = None
    time_zone: Annotated[str | None, Meta(description=_ZONE_RULE)] = None
    overlap: Annotated[Overlap | None, Meta(description=_OVERLAP_RULE)] = None
    catch_up_seconds: Annotated[Number | None, Meta(description="a number of seconds")] = None
    jitter_seconds: Annotated[Number | None, Meta(description="a number of seconds")] = None
    end_timestamp: Annotated[str | Number | None, Meta(description=_MOMENT_RULE)] = None
    remaining: Annotated[Number | None, Meta(description="a whole number")] = None
    paused: Annotated[bool | None, Meta(description="true or false")] = None
    note: Annotated[Note | None, Meta(description=NOTE_RULE)] = None


class ScheduleUpdateBody(Struct, rename="camel", kw_only=True, gc=False):
    """``PUT /schedules/{id}``: what is to change; all else stays as it is, and null takes away what may be left out."""

    function_name: Annotated[str | None, Meta(description="a string")] = None
    data: Raw = field(default_factory=Raw)
    """Empty where it is not given."""
    start_timestamp: Annotated[str | Number | None, Meta(description=_MOMENT_RULE)] = None
    priority: Annotated[Number | None, Meta(description="a whole number")] = None
    tags: Tags = None
    interval: Annotated[Number | None, Meta(description="a number of seconds")] = None
    cron: Annotated[str | None, Meta(description=_CRON_RULE)] = None
    time_zone: Annotated[str | UnsetType | None, Meta(description=_ZONE_RULE)] = UNSET
    overlap: Annotated[Overlap | None, Meta(description=_OVERLAP_RULE)] = None
    catch_up_seconds: Annotated[Number | UnsetType | None, Meta(description="a number of seconds")] = UNSET
    jitter_seconds: Annotated[Number | UnsetType | None, Meta(description="a number of seconds")] = UNSET
    end_timestamp: Annotated[str | Number | UnsetType | None, Meta(description=_MOMENT_RULE)] = UNSET
    remaining: Annotated[Number | UnsetType | None, Meta(description="a whole number")] = UNSET
    paused: Annotated[bool | None, Meta(description="true or false")] = None
    note: Annotated[Note | UnsetType | None, Meta(description=NOTE_RULE)] = UNSET
    unique: Annotated[UniqueBody | UnsetType | None, Meta(description=UNIQUE_RULE)] = UNSET


class BackfillBody(Struct, gc=False):
    """``POST /schedules/{id}/backfill``: the span of time, both ends included."""

    from_: Annotated[str | Number, Meta(description=_MOMENT_RULE)] = field(name="from")
    to: Annotated[str | Number, Meta(description=_MOMENT_RULE)]


class ScheduleDecoder(BodyDecoder[ScheduleBody]):
    """A schedule needs one of two fields."""

    def __call__(self, body: bytes) -> ScheduleBody:
        """``body`` as a struct; raises as its base does."""
        decoded = super().__call__(body)
        if decoded.interval is None and decoded.cron is None:
            raise missing_fields(["interval or cron"])
        return decoded

    def missing(self, values: dict[str, Any]) -> list[str]:
        """The names of fields that are required and not given."""
        has_times = values.get("interval") is not None or values.get("cron") is not None
        return super().missing(values) + ([] if has_times else ["interval or cron"])


decode_schedule = ScheduleDecoder(ScheduleBody)
decode_schedule_update = BodyDecoder(ScheduleUpdateBody)
decode_backfill = BodyDecoder(BackfillBody)


def schedule_draft(body: ScheduleBody, function: Function | None, now_ms: int, caller: Caller) -> ScheduleDraft:
    """What ``body`` asks for: a schedule of tasks that would each be welcome by itself.

    :raises ContractError: ``FIELD_FORMAT`` naming the field and its rule; ``BODY_TOO_LARGE`` for its data.
    """
    task = task_draft(body, function, now_ms, caller)
    draft = ScheduleDraft(
        function_name=task.function_name,
        data=_limited(task.data),
        interval_ms=_interval_ms(body.interval),
        start_ms=task.start_ms,
        priority=task.priority,
        created_by_user_id=task.created_by_user_id,
        created_by_application_id=task.created_by_application_id,
        cron=_cron(body.cron),
        time_zone=_zone(body.time_zone),
        overlap=body.overlap or Overlap.ALLOW,
        catch_up_ms=_catch_up_ms(body.catch_up_seconds),
        jitter_ms=_jitter_ms(body.jitter_seconds),
        end_ms=None if body.end_timestamp is None else moment_ms("endTimestamp", body.end_timestamp),
        remaining=_remaining(body.remaining),
        paused=body.paused or False,
        note=body.note or None,
        tags=task.tags,
        unique=None if body.unique is None else unique_rule(body.unique),
    )
    _require_times(recurrence.create(draft, "", now_ms))
    return draft


def updated_schedule(kept: Schedule, body: ScheduleUpdateBody, now_ms: int) -> Schedule:
    """``kept`` with what ``body`` says changed; an interval takes the place of a cron expression, and the other way.

    :raises ContractError: as :func:`schedule_draft` does.
    """
    wanted = _with_times(kept, body)
    wanted = replace(
        wanted,
        function_name=kept.function_name if body.function_name is None else function_reference(body.function_name),
        data=_limited(object_text(body.data)) if bytes(body.data) else kept.data,
        priority=priority_of("priority", body.priority, kept.priority),
        tags=kept.tags if body.tags is None else body.tags,
        overlap=body.overlap or kept.overlap,
        catch_up_ms=kept.catch_up_ms if body.catch_up_seconds is UNSET else _catch_up_ms(body.catch_up_seconds),
        note=kept.note if body.note is UNSET else body.note or None,
        unique=kept.unique if body.unique is UNSET else None if body.unique is None else unique_rule(body.unique),
    )
    changed = recurrence.changed(kept, wanted, now_ms)
    if body.paused is not None and body.paused != changed.paused:
        return pause(changed, now_ms, None) if body.paused else recurrence.resume(changed, now_ms)
    return changed


def _with_times(kept: Schedule, body: ScheduleUpdateBody) -> Schedule:
    wanted = kept
    if body.cron is not None:
        wanted = replace(wanted, cron=_cron(body.cron), interval_ms=0)
    if body.interval is not None:
        wanted = replace(wanted, interval_ms=_interval_ms(body.interval), cron=None, time_zone=None)
    if body.cron is not None and body.interval is not None:
        raise _both_times()
    end = body.end_timestamp
    wanted = replace(
        wanted,
        time_zone=wanted.time_zone if body.time_zone is UNSET else _zone(body.time_zone),
        start_ms=wanted.start_ms if body.start_timestamp is None else moment_ms("startTimestamp", body.start_timestamp),
        jitter_ms=wanted.jitter_ms if body.jitter_seconds is UNSET else _jitter_ms(body.jitter_seconds),
        end_ms=wanted.end_ms if end is UNSET else None if end is None else moment_ms("endTimestamp", end),
        remaining=wanted.remaining if body.remaining is UNSET else _remaining(body.remaining),
    )
    _require_times(wanted if wanted == kept else recurrence.aimed_after(wanted, wanted.start_ms - 1))
    return wanted


def _require_times(schedule: Schedule) -> None:
    """Raises ``ContractError`` unless the schedule, aimed at its first time, can be."""
    if schedule.cron is not None and schedule.interval_ms:
        raise _both_times()
    if schedule.time_zone is not None and schedule.cron is None:
        raise field_error("timeZone", "come with cron: an interval is the same everywhere")
    if schedule.cron is not None and recurrence.time_after(schedule, schedule.start_ms - 1) is None:
        raise field_error("cron", f"match some time within 50 years, which {schedule.cron!r} does not")
    if schedule.end_ms is not None and schedule.has_ended and schedule.remaining != 0:
        raise field_error("endTimestamp", "be no earlier than the first time of the schedule")


def span_ms(body: BackfillBody, now_ms: int) -> tuple[int, int]:
    """From when to when; what is still to come is no part of it."""
    from_ms, to_ms = moment_ms("from", body.from_), moment_ms("to", body.to)
    if to_ms > now_ms:
        raise field_error("to", "be no later than now: what is to come, the schedule makes by itself")
    if from_ms > to_ms:
        raise field_error("from", "be no later than to")
    return from_ms, to_ms


def _both_times() -> ContractError:
    return field_error("interval", "be left out where there is a cron expression")


def _limited(data: bytes) -> bytes:
    if len(data) > limits.SCHEDULE_DATA_MAX_BYTES:
        message = f"data has {len(data)} bytes as JSON, a schedule's limit is {limits.SCHEDULE_DATA_MAX_BYTES}."
        raise ContractError(errors.BODY_TOO_LARGE, message)
    return data


def _interval_ms(interval_s: float | None) -> int:
    if interval_s is None:
        return 0
    least_s, most_s = limits.SCHEDULE_INTERVAL_MIN_S, limits.SCHEDULE_INTERVAL_MAX_S
    return _milliseconds("interval", interval_s, least_s, most_s, " (ten years)")


def _catch_up_ms(value_s: float | None) -> int | None:
    return None if value_s is None else _milliseconds("catchUpSeconds", value_s, 0, limits.SCHEDULE_CATCH_UP_MAX_S)


def _jitter_ms(value_s: float | None) -> int:
    return 0 if value_s is None else _milliseconds("jitterSeconds", value_s, 0, limits.SCHEDULE_JITTER_MAX_S)


def _milliseconds(name: str, value_s: float, least_s: float, most_s: float, more: str = "") -> int:
    """Kept to the millisecond, like every time."""
    if not least_s <= value_s <= most_s:  # also refuses NaN
        raise field_error(name, f"be a number of seconds from {least_s} to {most_s}{more}")
    return round(value_s * 1000)


def _remaining(value: float | None) -> int | None:
    return None if value is None else whole_number("remaining", value, 1, limits.SCHEDULE_REMAINING_MAX, 1)


def _cron(expression: str | None) -> str | None:
    if expression is None:
        return None
    try:
        crons.parse(expression)
    except crons.CronError as error:
        raise ContractError(errors.FIELD_FORMAT, f"cron must be an expression of cron: {error}.") from None
    return expression.strip()


def _zone(name: str | None) -> str | None:
    if name is None:
        return None
    try:
        time_zone(name)
    except UnknownZoneError as error:
        raise ContractError(errors.FIELD_FORMAT, f"timeZone must be a known one: {error}") from None
    return name
