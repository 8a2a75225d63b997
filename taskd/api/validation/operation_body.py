"""The body that asks for an operation in bulk, and the draft that it asks for."""

from typing import Annotated

from msgspec import Meta, Raw, Struct, field

from taskd.api.validation.body_decoder import BodyDecoder, Number, field_error, priority_of
from taskd.api.validation.task_body import moment_ms, object_text
from taskd.model import errors, limits
from taskd.model.caller import Caller
from taskd.model.errors import ContractError
from taskd.model.idempotency import IdempotencyKey
from taskd.model.operation import OperationAction, OperationDraft
from taskd.rql.parser import parse_filter
from taskd.rql.query import Node

_ACTION_RULE = f"one of {', '.join(OperationAction)}"
_FOR_REPLAYS = ("data", "priority", "startTimestamp")


class OperationBody(Struct, rename="camel", kw_only=True, gc=False):
    """``POST /operations``: what to do to all tasks that match."""

    action: Annotated[OperationAction, Meta(description=_ACTION_RULE)]
    rql: Annotated[str, Meta(description="a string: a filter in RQL, as in the query string of a listing")]
    dry_run: Annotated[bool | None, Meta(description="true or false")] = None
    rate_per_second: Annotated[Number | None, Meta(description="a number of tasks per second")] = None
    data: Raw = field(default_factory=Raw)
    """Empty where it is not given. This, ``priority`` and ``start_timestamp`` are for replays alone."""
    priority: Annotated[Number | None, Meta(description="a whole number")] = None
    start_timestamp: Annotated[
        str | Number | None, Meta(description="an RFC 3339 timestamp or a number of milliseconds")
    ] = None


decode_operation = BodyDecoder(OperationBody)


def operation_draft(body: OperationBody, caller: Caller, key: IdempotencyKey | None) -> OperationDraft:
    """What ``body`` asks for, in the name of ``caller``.

    :raises ContractError: ``FIELD_FORMAT`` naming the field and its rule; ``ILLEGAL_ARGUMENT``; ``BODY_TOO_LARGE``.
    """
    _require_use(body)
    return OperationDraft(
        action=body.action,
        rql=body.rql,
        rate_per_s=_rate_per_s(body.rate_per_second),
        data=_data(body.data),
        priority=None if body.priority is None else priority_of("priority", body.priority, 0),
        start_ms=None if body.start_timestamp is None else moment_ms("startTimestamp", body.start_timestamp),
        created_by_user_id=caller.user_id,
        created_by_application_id=caller.application_id,
        key=key,
    )


def filter_of(body: OperationBody) -> Node:
    """The filter of ``body``. None at all is refused: an empty text is a mistake more often than it means everything.

    :raises ContractError: ``FIELD_FORMAT`` or ``INVALID_RQL``.
    """
    where = parse_filter(body.rql)
    if where is None:
        raise field_error("rql", "say which tasks are meant; gt(creationTimestamp,0) is for all of them")
    return where


def _require_use(body: OperationBody) -> None:
    """Raises ``ContractError`` if ``body`` says of new tasks how they are to be, and makes none."""
    values = (bytes(body.data) not in (b"", b"null"), body.priority is not None, body.start_timestamp is not None)
    given = [name for name, is_given in zip(_FOR_REPLAYS, values, strict=True) if is_given]
    if given and body.action is not OperationAction.REPLAY:
        message = f"{', '.join(given)}: only a replay makes new tasks, which could have that."
        raise ContractError(errors.ILLEGAL_ARGUMENT, message)


def _rate_per_s(value: float | None) -> float | None:
    least, most = limits.OPERATION_RATE_MIN_PER_S, limits.OPERATION_RATE_MAX_PER_S
    if value is not None and not least <= value <= most:
        raise field_error("ratePerSecond", f"be a number from {least} to {most}")
    return value


def _data(raw: Raw) -> bytes | None:
    if bytes(raw) in (b"", b"null"):
        return None
    data = object_text(raw)
    if len(data) > limits.OPERATION_DATA_MAX_BYTES:
        message = f"data has {len(data)} bytes as JSON, an operation's limit is {limits.OPERATION_DATA_MAX_BYTES}."
        raise ContractError(errors.BODY_TOO_LARGE, message)
    return data
