"""Which webhooks want to be told of which tasks."""

import asyncio
import logging
import time
from collections.abc import Sequence
from typing import Any

from taskd.model.task import Task
from taskd.model.task_extras import TaskExtras
from taskd.model.webhook import TASK_EVENT_PREFIX, Webhook
from taskd.rql.conditions import Condition, task_condition
from taskd.rql.errors import RqlError
from taskd.rql.matcher import SearchCancelledError
from taskd.store.embedded.catalogue.sql.user_functions import decode_document

log = logging.getLogger(__name__)

_TIME_LIMIT_S = 5.0
"""For the conditions of all webhooks on one task: only patterns, in data of megabytes, take long."""


def looks_at_data(webhooks: Sequence[Webhook]) -> bool:
    """Whether the condition of any of them is about data."""
    conditions = (_condition(webhook) for webhook in webhooks)
    return any(condition is not None and "data" in condition.fields for condition in conditions)


async def matching(tasks: Sequence[Task], webhooks: Sequence[Webhook]) -> dict[str, list[Webhook]]:
    """The webhooks that want to be told of each task, by its id, where there are any.

    Aside of the event loop if there are conditions: those may take long.
    """
    if any(webhook.rql is not None for webhook in webhooks):
        return await asyncio.to_thread(_matching, tasks, webhooks)
    return _matching(tasks, webhooks)


def _matching(tasks: Sequence[Task], webhooks: Sequence[Webhook]) -> dict[str, list[Webhook]]:
    found = {}
    for task in tasks:
        event_type = TASK_EVENT_PREFIX + task.status.value
        if wanting := [webhook for webhook in webhooks if webhook.wants(event_type)]:
            found[task.id] = _satisfied(task, wanting)
    return {task_id: wanted_by for task_id, wanted_by in found.items() if wanted_by}


def _satisfied(task: Task, webhooks: Sequence[Webhook]) -> list[Webhook]:
    if all(webhook.rql is None for webhook in webhooks):
        return list(webhooks)
    record = _record(task, with_data=looks_at_data(webhooks))
    deadline_s = time.monotonic() + _TIME_LIMIT_S
    return [webhook for webhook in webhooks if _holds(webhook, record, deadline_s)]


def _holds(webhook: Webhook, record: dict[str, Any], deadline_s: float) -> bool:
    """Whether the webhook's condition holds; also if it takes too long: rather one delivery too many."""
    condition = _condition(webhook)
    try:
        return condition is None or condition.holds(record, lambda: time.monotonic() > deadline_s)
    except SearchCancelledError:
        log.warning("The condition of webhook %s takes too long on task %s: it is told.", webhook.id, record["id"])
        return True


def _condition(webhook: Webhook) -> Condition | None:
    """The webhook's condition; ``None`` also if it was made by a taskd that understood more: rather too many told."""
    try:
        return None if webhook.rql is None else task_condition(webhook.rql)
    except RqlError as error:
        log.warning("The condition of webhook %s has no meaning here (%s): it is told of all.", webhook.id, error)
        return None


def _record(task: Task, *, with_data: bool) -> dict[str, Any]:
    """``task`` as conditions see it."""
    error, extras = task.error, task.extras or TaskExtras()
    unique = extras.unique
    fields: dict[str, Any] = {
        "id": task.id,
        "status": task.status.value,
        "statusChangedTimestamp": task.status_changed_ms,
        "functionName": task.function_name,
        "data": decode_document(task.data) if with_data else None,
        "startTimestamp": task.start_ms,
        "priority": task.priority,
        "creationTimestamp": task.creation_ms,
        "updateTimestamp": task.status_changed_ms,
        "createdByApplicationId": task.created_by_application_id,
        "createdByUserId": task.created_by_user_id,
        "retriedByTaskId": task.retried_by_task_id,
        "retryForTaskIds": list(task.retry_for_task_ids) or None,
        "error": None if error is None else {"type": error.type.value, "name": error.name, "message": error.message},
        "scheduleId": task.schedule_id,
        "unique": None if unique is None else {"key": unique.key, "while": unique.lasts},
        "replayOfTaskId": extras.replay_of_task_id,
        "replayedByTaskId": extras.replayed_by_task_id,
    }
    return {"tags": list(task.tags), **{name: value for name, value in fields.items() if value is not None}}
