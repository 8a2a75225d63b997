"""The JSON shapes of the contract, made from the model: what clients and functions read."""

from typing import Any

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from taskd.model.function import Function
from taskd.model.logline import LogLine
from taskd.model.schedule import Schedule
from taskd.model.task import Task, TaskError
from taskd.model.timestamps import format_ms


class TaskErrorView(Struct, gc=False):
    """Why a task failed."""

    type: str
    name: str
    message: str


class TaskView(Struct, rename="camel", gc=False):
    """A task as clients see it, and as functions get it for their event."""

    id: str
    status: str
    status_changed_timestamp: str
    function_name: str
    data: Raw
    start_timestamp: str
    tags: tuple[str, ...]
    priority: int
    creation_timestamp: str
    update_timestamp: str
    created_by_application_id: str | UnsetType = UNSET
    created_by_user_id: str | UnsetType = UNSET
    retried_by_task_id: str | UnsetType = UNSET
    retry_for_task_ids: tuple[str, ...] | UnsetType = UNSET
    error: TaskErrorView | UnsetType = UNSET
    schedule_id: str | UnsetType = UNSET


def task_view(task: Task) -> TaskView:
    """``task`` in the contract's shape; fields that are not set are left out."""
    changed = format_ms(task.status_changed_ms)
    return TaskView(
        id=task.id,
        status=task.status.value,
        status_changed_timestamp=changed,
        function_name=task.function_name,
        data=Raw(task.data),
        start_timestamp=format_ms(task.start_ms),
        tags=task.tags,
        priority=task.priority,
        creation_timestamp=format_ms(task.creation_ms),
        update_timestamp=changed,
        created_by_application_id=task.created_by_application_id or UNSET,
        created_by_user_id=task.created_by_user_id or UNSET,
        retried_by_task_id=task.retried_by_task_id or UNSET,
        retry_for_task_ids=task.retry_for_task_ids or UNSET,
        error=_error_view(task.error),
        schedule_id=task.schedule_id or UNSET,
    )


def _error_view(error: TaskError | None) -> TaskErrorView | UnsetType:
    if error is None:
        return UNSET
    return TaskErrorView(type=error.type.value, name=error.name, message=error.message)


_encoder = msgspec.json.Encoder()


def encode_task(task: Task) -> bytes:
    """The JSON text of ``task`` in the contract's shape."""
    return _encoder.encode(task_view(task))


class ScheduleView(Struct, rename="camel", gc=False):
    """A schedule as clients see it."""

    id: str
    interval: int | float
    """Seconds."""
    function_name: str
    data: Raw
    priority: int
    start_timestamp: str
    next_timestamp: str
    creation_timestamp: str
    update_timestamp: str
    created_by_application_id: str | UnsetType = UNSET
    created_by_user_id: str | UnsetType = UNSET


def schedule_view(schedule: Schedule) -> ScheduleView:
    """``schedule`` in the contract's shape; fields that are not set are left out."""
    seconds, ms = divmod(schedule.interval_ms, 1000)
    return ScheduleView(
        id=schedule.id,
        interval=schedule.interval_ms / 1000 if ms else seconds,
        function_name=schedule.function_name,
        data=Raw(schedule.data),
        priority=schedule.priority,
        start_timestamp=format_ms(schedule.start_ms),
        next_timestamp=format_ms(schedule.next_ms),
        creation_timestamp=format_ms(schedule.creation_ms),
        update_timestamp=format_ms(schedule.update_ms),
        created_by_application_id=schedule.created_by_application_id or UNSET,
        created_by_user_id=schedule.created_by_user_id or UNSET,
    )


def function_row(function: Function) -> dict[str, Any]:
    """A function as a listing shows it."""
    return {
        "name": function.name,
        "description": function.description,
        "updateTimestamp": format_ms(function.update_ms),
    }


def function_details(function: Function) -> dict[str, Any]:
    """Everything about a function but its code."""
    return {
        "name": function.name,
        "description": function.description,
        "enabled": function.enabled,
        "entryPoint": function.entry_point,
        "runtime": function.runtime,
        "timeLimit": function.time_limit_s,
        "memoryLimit": function.memory_limit_mb,
        "environmentVariables": {name: {"value": value} for name, value in function.environment.items()},
        "executionOptions": {
            "permissionMode": function.permission_mode.value,
            "defaultPriority": function.default_priority,
        },
        "retryPolicy": {
            "enabled": function.retry_policy.enabled,
            "errorsToRetry": list(function.retry_policy.errors_to_retry),
        },
        "updateTimestamp": format_ms(function.update_ms),
    }


def function_log_line(line: LogLine) -> dict[str, Any]:
    """A line of a function's log."""
    return {"message": line.message, "eventTimestamp": format_ms(line.timestamp_ms)}


def log_line(line: LogLine) -> dict[str, Any]:
    """A line of a task's log."""
    return {"message": line.message, "timestamp": format_ms(line.timestamp_ms)}
