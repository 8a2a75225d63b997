"""What tests ask of a store by its own verbs, in a word."""

from taskd.model.status import Status
from taskd.model.task import Task
from taskd.rql.parser import parse
from taskd.store.base import Completed, Outcome, TaskStore


async def in_progress(store: TaskStore) -> list[Task]:
    """The first hundred tasks in progress, by whichever node."""
    return (await store.find(parse(f"status={Status.IN_PROGRESS.value}&limit(100)"))).rows


async def trouble(store: TaskStore) -> str | None:
    """What is wrong with the store now, if anything."""
    return (await store.status()).trouble


async def lost_history(store: TaskStore) -> str | None:
    """Which history was found lost, if any."""
    return (await store.status()).lost_history


async def settle_one(store: TaskStore, outcome: Outcome) -> Task:
    """The task as it is after the outcome, which must be this node's to settle."""
    [task] = await store.settle([outcome])
    assert task is not None
    return task


async def complete(store: TaskStore, *tasks: Task) -> list[Task]:
    """The tasks, which this node has in progress, after they are complete."""
    settled = await store.settle([Completed(task.id) for task in tasks])
    return [task for task in settled if task is not None]


async def memory_used(store: TaskStore) -> int:
    """What tasks that wait or run take of this node's memory, in bytes."""
    memory = (await store.status()).memory
    assert memory is not None
    return memory.used_bytes
