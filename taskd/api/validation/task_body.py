"""Bodies that make tasks: of a task or a direct execution, and the draft that each asks for.

A draft keeps every rule: the store and the runtimes can take it as it is.
"""

import re
from itertools import accumulate
from typing import Annotated

import msgspec
import orjson
from msgspec import Meta, Raw, Struct

from taskd.api.validation.body_decoder import BodyDecoder, Number, field_error, priority_of
from taskd.api.validation.unique_body import UNIQUE_RULE, UniqueBody, unique_extras, unique_rule
from taskd.model import errors, limits
from taskd.model.caller import EVERYTHING, Caller
from taskd.model.errors import ContractError
from taskd.model.function import REFERENCE_PATTERN, Function
from taskd.model.task import TaskDraft
from taskd.model.task_extras import OnConflict
from taskd.model.timestamps import parse_timestamp

Tag = Annotated[str, Meta(max_length=limits.TASK_TAG_MAX_CHARS)]
Tags = Annotated[
    Annotated[tuple[Tag, ...], Meta(max_length=limits.TASK_TAGS_MAX)] | None,
    Meta(
        description=f"an array of at most {limits.TASK_TAGS_MAX} strings "
        f"of at most {limits.TASK_TAG_MAX_CHARS} characters"
    ),
]

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
    tags: Tags = None
    unique: Annotated[UniqueBody | None, Meta(description=UNIQUE_RULE)] = None


class ExecutionBody(Struct, gc=False):
    """``POST /functions/{name}/execute``: what to execute the function with."""

    data: Raw = msgspec.field(default_factory=_empty_object)


decode_task = BodyDecoder(TaskBody)
decode_execution = BodyDecoder(ExecutionBody)


def task_draft(body: TaskBody, function: Function | None, now_ms: int, caller: Caller = EVERYTHING) -> TaskDraft:
    """What ``body`` asks for, in the name of ``caller``; ``function`` is the one it names, if that is known here.

    :raises ContractError: ``FIELD_FORMAT`` naming the field and its rule; ``BODY_TOO_LARGE`` for its data.
    """
    rule = None if body.unique is None else unique_rule(body.unique)
    return TaskDraft(
        function_name=function_reference(body.function_name),
        data=object_text(body.data),
        start_ms=now_ms if body.start_timestamp is None else moment_ms("startTimestamp", body.start_timestamp),
        priority=priority_of("priority", body.priority, function.default_priority if function else 0),
        tags=body.tags or (),
        created_by_user_id=caller.user_id,
        created_by_application_id=caller.application_id,
        extras=None if rule is None else unique_extras(rule),
        on_conflict=OnConflict.EXISTING if rule is None else rule.on_conflict,
    )


def execution_draft(body: ExecutionBody, function: Function, now_ms: int, caller: Caller) -> TaskDraft:
    """A direct execution of ``function`` in the name of ``caller``; the default priority is for tasks that wait.

    Raises ``ContractError`` as for a task.
    """
    return TaskDraft(
        function_name=function.name,
        data=object_text(body.data),
        start_ms=now_ms,
        created_by_user_id=caller.user_id,
        created_by_application_id=caller.application_id,
        direct=True,
    )


def function_reference(name: str) -> str:
    """The name of a function or a Lambda ARN."""
    if len(name) > limits.FUNCTION_REFERENCE_MAX_CHARS or REFERENCE_PATTERN.fullmatch(name) is None:
        raise field_error(
            "functionName",
            "be the name of a function (1 to 64 letters, digits, '-' and '_') or a Lambda ARN "
            f"of at most {limits.FUNCTION_REFERENCE_MAX_CHARS} characters",
        )
    return name


def moment_ms(name: str, value: str | float) -> int:
    """``value`` in milliseconds since the epoch."""
    epoch_ms = parse_timestamp(value)
    if epoch_ms is None:
        raise field_error(
            name, "be an RFC 3339 timestamp like 2026-01-01T00:00:00.000Z, or a number of milliseconds since 1970"
        )
    return epoch_ms


def object_text(
    raw: Raw,
    name: str = "data",
    *,
    bytes_max: int = limits.TASK_DATA_MAX_BYTES,
    depth_max: int = limits.TASK_DATA_MAX_DEPTH,
) -> bytes:
    """The JSON text of an object, as it came, safe to be handed to any strict reader of JSON.

    ``name`` is the field's; ``bytes_max`` and ``depth_max`` are how long it may be, and how deep.
    """
    data = bytes(raw)
    if data in (b"null", _EMPTY_OBJECT):
        return _EMPTY_OBJECT
    if len(data) > bytes_max:
        message = f"{name} has {len(data)} bytes as JSON, the limit is {bytes_max}."
        raise ContractError(errors.BODY_TOO_LARGE, message)
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise field_error(name, f"be strict JSON: {error}") from None
    if not isinstance(value, dict):
        raise field_error(name, "be a JSON object")
    if _brackets(data) > depth_max and _is_deeper(data, depth_max):
        raise field_error(name, f"nest at most {depth_max} arrays and objects")
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
