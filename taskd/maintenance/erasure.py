"""Erasure: what a filter finds is gone so that nobody can find it any more, however they look."""

from collections.abc import Iterator, Sequence

from msgspec import Struct

from taskd.model.errors import ILLEGAL_STATE, ContractError
from taskd.model.status import Status
from taskd.model.task import Task
from taskd.rql.query import Compare, Contains, Group, Node, Query
from taskd.store.base import TaskStore

OUTSIDE = (
    "backups and other copies of the data directory",
    "what the system's journal keeps of the log",
    "what functions wrote or sent elsewhere, Lambda's own logs included",
    "the audit trail, which has ids and no data",
)
"""Where else something may be: nobody but people can erase it there."""

_TASKS_PER_STEP = 1_000
_SCHEDULES_PER_STEP = 100
_SHARED_WITH_SCHEDULES = {"data", "functionName", "tags", "priority", "createdByUserId", "createdByApplicationId"}
"""What a filter may ask of tasks and means the same for schedules."""


class Erased(Struct, frozen=True, rename="camel"):
    """What was erased, and where nothing could be."""

    tasks: int
    schedules: int
    outside: tuple[str, ...] = OUTSIDE


async def erase(store: TaskStore, where: Node) -> Erased:
    """Erases the tasks that satisfy ``where``, those that wait included, and the schedules that would make more.

    Schedules are looked at where the filter is about ``data``, and about nothing that only tasks have. Nothing of all
    that is in any file of the store on return. Call it again if it fails: what was erased stays so.

    :raises ContractError: ``ILLEGAL_STATE`` while one of the tasks runs, ``INVALID_RQL`` and what the store raises.
    """
    await refuse_running(store, where)
    schedules = await remove_schedules(store, where)
    tasks = 0
    while found := (await store.find(Query(where, limit=_TASKS_PER_STEP, skip_count=True), apart_from_bytes=1)).rows:
        tasks += await _erase_some(store, found)
    await store.purge()
    return Erased(tasks, schedules)


async def _erase_some(store: TaskStore, tasks: Sequence[Task]) -> int:
    for task in tasks:
        if task.status is Status.NEW:
            await store.cancel(task.id)
    count = await store.erase_tasks([task.id for task in tasks])
    if not count:
        raise _one_runs(tasks[0].id)
    return count


async def refuse_running(store: TaskStore, where: Node) -> None:
    """Raises ``ContractError`` (``ILLEGAL_STATE``) if a task runs that satisfies ``where``."""
    runs = Compare("eq", ("status",), Status.IN_PROGRESS.value, 0)
    running = Query(Group("and", (where, runs)), limit=1, skip_count=True)
    for task in (await store.find(running, apart_from_bytes=1)).rows:
        raise _one_runs(task.id)


def _one_runs(task_id: str) -> ContractError:
    return ContractError(ILLEGAL_STATE, f"Task {task_id} is {Status.IN_PROGRESS}; erase it when it has ended.")


async def remove_schedules(store: TaskStore, where: Node) -> int:
    """Removes the schedules that would make tasks like that, if ``where`` can be asked of them; gives how many."""
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
