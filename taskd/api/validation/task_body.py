"""Bodies that make tasks: of a task, a schedule or a direct execution, and the draft that each asks for.

A draft keeps every rule: the store and the runtimes can take it as it is.
"""

import re
from itertools import accumulate
from typing import Annotated

import msgspec
import orjson
from msgspec import Meta, Raw, Struct

from taskd.api.validation.body_decoder import BodyDecoder, Number, field_error, priority_of
from taskd.model import errors, limits
from taskd.model.caller import EVERYTHING, Caller
from taskd.model.errors import ContractError
from taskd.model.function import REFERENCE_PATTERN, Function
from taskd.model.schedule import ScheduleDraft
from taskd.model.task import TaskDraft
from taskd.model.timestamps import parse_timestamp

Tag = Annotated[str, Meta(max_length=limits.TASK_TAG_MAX_CHARS)]

_EMPTY_OBJECT = b"{}"
_STRING = re.compile(rb'"(?:[^"\\]++|\\.)*+"')
_STEPS = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")
"""One deeper, or one back: as signed bytes, 1 and -1."""
_NO_BRACKETS = bytes(set(range(256)) - set(b"[{]}"))
_INNERMOST = b"\x01\xff"
_PEELED = 8
"""How often what encloses nothing is taken away, which makes the whole less deep by one each time, and much shorter."""


def _empty_object() -> Raw:
    return Raw(_EMPTY_OBJECT)


class TaskBody(Struct, rename="camel", gc=False):
    """``POST /``: a task to create."""

    function_name: Annotated[str, Meta(description="a string")]
    data: Raw = msgspec.field(default_factory=_empty_object)
    start_timestamp: Annotated[
        str | Number | None, Meta(description="an RFC 3339 timestamp or a number of milliseconds")
    ] = None
    priority: Annotated[Number | None, Meta(description="a whole number")] = None
    tags: Annotated[
        Annotated[tuple[Tag, ...], Meta(max_length=limits.TASK_TAGS_MAX)] | None,
        Meta(
            description=f"an array of at most {limits.TASK_TAGS_MAX} strings "
            f"of at most {limits.TASK_TAG_MAX_CHARS} characters"
        ),
    ] = None


class ScheduleBody(TaskBody, rename="camel", kw_only=True, gc=False):
    """``POST /schedules``: a task to create again and again."""

    interval: Annotated[Number, Meta(description="a number of seconds")]


class ExecutionBody(Struct, gc=False):
    """``POST /functions/{name}/execute``: what to execute the function with."""

    data: Raw = msgspec.field(default_factory=_empty_object)


decode_task = BodyDecoder(TaskBody)
decode_execution = BodyDecoder(ExecutionBody)
decode_schedule = BodyDecoder(ScheduleBody)


def task_draft(body: TaskBody, function: Function | None, now_ms: int, caller: Caller = EVERYTHING) -> TaskDraft:
    """What ``body`` asks for, in the name of ``caller``; ``function`` is the one it names, if that is known here.

    :raises ContractError: ``FIELD_FORMAT`` naming the field and its rule; ``BODY_TOO_LARGE`` for its data.
    """
    return TaskDraft(
        function_name=_function_reference(body.function_name),
        data=_data(body.data),
        start_ms=_start_ms(body.start_timestamp, now_ms),
        priority=priority_of("priority", body.priority, function.default_priority if function else 0),
        tags=body.tags or (),
        created_by_user_id=caller.user_id,
        created_by_application_id=caller.application_id,
    )


def execution_draft(body: ExecutionBody, function: Function, now_ms: int, caller: Caller) -> TaskDraft:
    """A direct execution of ``function`` in the name of ``caller``. Raises ``ContractError`` as for a task."""
    return TaskDraft(
        function_name=function.name,
        data=_data(body.data),
        start_ms=now_ms,
        priority=function.default_priority,
        created_by_user_id=caller.user_id,
        created_by_application_id=caller.application_id,
        direct=True,
    )


def schedule_draft(body: ScheduleBody, function: Function | None, now_ms: int, caller: Caller) -> ScheduleDraft:
    """What ``body`` asks for: a schedule of tasks that would each be welcome by itself.

    :raises ContractError: ``FIELD_FORMAT`` naming the field and its rule; ``BODY_TOO_LARGE`` for its data.
    """
    task = task_draft(body, function, now_ms, caller)
    if len(task.data) > limits.SCHEDULE_DATA_MAX_BYTES:
        message = f"data has {len(task.data)} bytes as JSON, a schedule's limit is {limits.SCHEDULE_DATA_MAX_BYTES}."
        raise ContractError(errors.BODY_TOO_LARGE, message)
    return ScheduleDraft(
        function_name=task.function_name,
        data=task.data,
        interval_ms=_interval_ms(body.interval),
        start_ms=task.start_ms,
        priority=task.priority,
        created_by_user_id=task.created_by_user_id,
        created_by_application_id=task.created_by_application_id,
    )


def _interval_ms(interval_s: float) -> int:
    """Kept to the millisecond, like every time."""
    least_s, most_s = limits.SCHEDULE_INTERVAL_MIN_S, limits.SCHEDULE_INTERVAL_MAX_S
    if not least_s <= interval_s <= most_s:  # also refuses NaN
        raise field_error("interval", f"be a number of seconds from {least_s} to {most_s} (ten years)")
    return round(interval_s * 1000)


def _function_reference(name: str) -> str:
    if len(name) > limits.FUNCTION_REFERENCE_MAX_CHARS or REFERENCE_PATTERN.fullmatch(name) is None:
        raise field_error(
            "functionName",
            "be the name of a function (1 to 64 letters, digits, '-' and '_') or a Lambda ARN "
            f"of at most {limits.FUNCTION_REFERENCE_MAX_CHARS} characters",
        )
    return name


def _start_ms(value: str | float | None, now_ms: int) -> int:
    if value is None:
        return now_ms
    start_ms = parse_timestamp(value)
    if start_ms is None:
        raise field_error(
            "startTimestamp",
            "be an RFC 3339 timestamp like 2026-01-01T00:00:00.000Z, or a number of milliseconds since 1970",
        )
    return start_ms


def _data(raw: Raw) -> bytes:
    """The JSON text of an object, as it came, safe to be handed to any strict reader of JSON."""
    data = bytes(raw)
    if data in (b"null", _EMPTY_OBJECT):
        return _EMPTY_OBJECT
    if len(data) > limits.TASK_DATA_MAX_BYTES:
        message = f"data has {len(data)} bytes as JSON, the limit is {limits.TASK_DATA_MAX_BYTES}."
        raise ContractError(errors.BODY_TOO_LARGE, message)
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise field_error("data", f"be strict JSON: {error}") from None
    if not isinstance(value, dict):
        raise field_error("data", "be a JSON object")
    if _brackets(data) > limits.TASK_DATA_MAX_DEPTH and _is_deeper(data, limits.TASK_DATA_MAX_DEPTH):
        raise field_error("data", f"nest at most {limits.TASK_DATA_MAX_DEPTH} arrays and objects")
    return data


def _brackets(data: bytes) -> int:
    """A quick upper bound of the nesting of ``data``."""
    return data.count(b"{") + data.count(b"[")


def _is_deeper(data: bytes, depth_max: int) -> bool:
    """Whether the JSON text ``data`` nests more than ``depth_max`` deep.

    Counts brackets, in C: a walk over what the text means took seconds of the event loop for what was made to be slow.
    """
    steps = _STRING.sub(b"", data).translate(_STEPS, delete=_NO_BRACKETS)
    for _ in range(_PEELED):
        steps = steps.replace(_INNERMOST, b"")
    return max(accumulate(memoryview(steps).cast("b")), default=0) > depth_max - _PEELED
