"""What comes before an erasure of all that a filter finds, which is an operation: what may refuse it, and schedules."""

from collections.abc import Iterator

from taskd.model.errors import ILLEGAL_STATE, ContractError
from taskd.model.status import Status
from taskd.rql.query import Compare, Contains, Group, Node, Query
from taskd.store.base import TaskStore

_SCHEDULES_PER_STEP = 100
_SHARED_WITH_SCHEDULES = {"data", "functionName", "tags", "priority", "createdByUserId", "createdByApplicationId"}
"""What a filter may ask of tasks and means the same for schedules."""


async def refuse_running(store: TaskStore, where: Node) -> None:
    """Raises ``ContractError`` (``ILLEGAL_STATE``) if a task runs that satisfies ``where``."""
    runs = Compare("eq", ("status",), Status.IN_PROGRESS.value, 0)
    running = Query(Group("and", (where, runs)), limit=1, skip_count=True)
    for task in (await store.find(running, apart_from_bytes=1)).rows:
        raise ContractError(ILLEGAL_STATE, f"Task {task.id} is {Status.IN_PROGRESS}; erase it when it has ended.")


async def remove_schedules(store: TaskStore, where: Node) -> int:
    """Removes the schedules that would make tasks like that, if ``where`` can be asked of them; gives how many.

    It can where it is about ``data``, and about nothing that only tasks have.
    """
    if not is_about_schedules(where):
        return 0
    count = 0
    while found := (await store.find_schedules(Query(where, limit=_SCHEDULES_PER_STEP, skip_count=True))).rows:
        for schedule in found:
            await store.remove_schedule(schedule.id)
        count += len(found)
    return count


def is_about_schedules(where: Node) -> bool:
    """Whether an erasure of ``where`` looks for schedules, too."""
    fields = set(_fields(where))
    return "data" in fields and fields <= _SHARED_WITH_SCHEDULES


def _fields(where: Node) -> Iterator[str]:
    match where:
        case Group():
            for condition in where.conditions:
                yield from _fields(condition)
        case Contains():
            yield where.path[0]  # its condition is about what is inside
        case _:
            yield where.path[0]
