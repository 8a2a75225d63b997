"""What the body of a webhook says: thin, so that nobody who only listens learns what a task works on.

The shape is that of Standard Webhooks: ``type``, ``timestamp`` and ``data``, which is about the event.
"""

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from taskd.model import limits
from taskd.model.delivery import Delivery
from taskd.model.event import Event
from taskd.model.task import Task, TaskError
from taskd.model.timestamps import format_ms
from taskd.model.wire import ErrorView

_encode = msgspec.json.Encoder().encode
_TEST_CONTENT = b'{"message":"This is a test."}'


class TaskContent(Struct, rename="camel", gc=False):
    """What is said about a task: that of its fields on the wire which are of few bytes, whatever clients made of it."""

    id: str
    status: str
    function_name: str
    creation_timestamp: str
    start_timestamp: str
    status_changed_timestamp: str
    priority: int
    created_by_user_id: str | UnsetType = UNSET
    created_by_application_id: str | UnsetType = UNSET
    schedule_id: str | UnsetType = UNSET
    retried_by_task_id: str | UnsetType = UNSET
    retry_for_task_ids: tuple[str, ...] | UnsetType = UNSET
    error: ErrorView | UnsetType = UNSET


class EventContent(Struct, rename="camel", gc=False):
    """What is said about an event that somebody published: all but its content."""

    id: str
    creation_timestamp: str
    created_by_user_id: str | UnsetType = UNSET
    created_by_application_id: str | UnsetType = UNSET


class _Body(Struct, gc=False):
    type: str
    timestamp: str
    data: Raw


def task_content(task: Task) -> bytes:
    """The JSON text of an object about ``task``, some hundred bytes and never over 10 kB."""
    return _encode(
        TaskContent(
            id=task.id,
            status=task.status.value,
            function_name=task.function_name,
            creation_timestamp=format_ms(task.creation_ms),
            start_timestamp=format_ms(task.start_ms),
            status_changed_timestamp=format_ms(task.status_changed_ms),
            priority=task.priority,
            created_by_user_id=task.created_by_user_id or UNSET,
            created_by_application_id=task.created_by_application_id or UNSET,
            schedule_id=task.schedule_id or UNSET,
            retried_by_task_id=task.retried_by_task_id or UNSET,
            retry_for_task_ids=task.retry_for_task_ids or UNSET,
            error=UNSET if task.error is None else _error(task.error),
        )
    )


def event_content(event: Event) -> bytes:
    """The JSON text of an object about ``event``, some hundred bytes."""
    return _encode(
        EventContent(
            id=event.id,
            creation_timestamp=format_ms(event.creation_ms),
            created_by_user_id=event.created_by_user_id or UNSET,
            created_by_application_id=event.created_by_application_id or UNSET,
        )
    )


def test_content() -> bytes:
    """What a test says."""
    return _TEST_CONTENT


def body_of(delivery: Delivery, data: bytes | None = None) -> bytes:
    """The body of a request; with ``data``, the JSON text of an object, unless it is too long for that.

    Where it was to be there and is not, ``dataOmitted`` says so.
    """
    if data is None:
        return _body(delivery, delivery.content)
    whole = _body(delivery, delivery.content[:-1] + b',"data":' + data + b"}")
    if len(whole) <= limits.WEBHOOK_BODY_MAX_BYTES:
        return whole
    return without_data(delivery)


def without_data(delivery: Delivery) -> bytes:
    """The body of a request that was to have data, and cannot have it."""
    return _body(delivery, delivery.content[:-1] + b',"dataOmitted":true}')


def _body(delivery: Delivery, content: bytes) -> bytes:
    return _encode(_Body(delivery.event_type, format_ms(delivery.creation_ms), Raw(content)))


def _error(error: TaskError) -> ErrorView:
    most = limits.WEBHOOK_ERROR_TEXT_MAX_CHARS
    return ErrorView(error.type.value, error.name[:most], error.message[:most])
