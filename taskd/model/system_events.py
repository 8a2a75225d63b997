"""Events that taskd itself tells of, and what their content says. Nobody has created them."""

import msgspec
from msgspec import Struct

from taskd.model.event import EventDraft
from taskd.model.task import Task, TaskError

TASK_FAILED = "task_failed"
USER_CREATED = "user_created"
USER_DELETED = "user_deleted"
PASSWORD_UPDATED = "password_update_completed"  # noqa: S105  the name of an event

_encode = msgspec.json.Encoder().encode


class _Failure(Struct):
    type: str
    name: str
    message: str


class _FailedTask(Struct, rename="camel"):
    """In camelCase, whatever the event service does elsewhere: so the vendor has it."""

    id: str
    function_name: str
    error: _Failure


class _Id(Struct):
    id: str


class _UserId(Struct):
    user_id: str


def task_failed(task: Task, error: TaskError | None = None) -> EventDraft:
    """``task`` comes to its end with ``error``, or has come to it with its own, and nothing takes its place."""
    error = error or task.error
    assert error is not None, "tasks that failed have an error"
    failure = _Failure(error.type.value, error.name, error.message)
    chain = 0 if task.extras is None else task.extras.event_chain
    return EventDraft(TASK_FAILED, _encode(_FailedTask(task.id, task.function_name, failure)), chain=chain)


def user_created(user_id: str) -> EventDraft:
    """There is a user more."""
    return EventDraft(USER_CREATED, _encode(_Id(user_id)))


def user_deleted(user_id: str) -> EventDraft:
    """There is a user less."""
    return EventDraft(USER_DELETED, _encode(_Id(user_id)))


def password_updated(user_id: str) -> EventDraft:
    """A user has another password."""
    return EventDraft(PASSWORD_UPDATED, _encode(_UserId(user_id)))
