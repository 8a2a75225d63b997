"""Populates a store with many tasks, through its own protocol, as fast as it takes them."""

import asyncio
from collections.abc import Iterator

from taskd.api.validation.task_body import decode_task, task_draft
from taskd.model.caller import EVERYTHING
from taskd.model.clock import system_clock_ms
from taskd.model.task import ErrorType, Task, TaskDraft, TaskError
from taskd.rql.parser import parse
from taskd.store.base import Completed, Failed, Outcome, TaskStore

AT_ONCE = 1_000
HOUR_MS = 3_600_000
_CATCH_UP_EVERY = 20_000
"""Tasks between two waits for the catalogue, which refuses more once it has too many before it."""
_FUNCTIONS = 10
_FAILURES_EVERY = 49
"""Not a multiple of the functions, so that tasks of each of them fail."""


def body(number: int, start_ms: int, data_bytes: int = 100, functions: int = _FUNCTIONS) -> bytes:
    """The body of a request that creates a task; its data has ``data_bytes`` bytes as JSON, and at least some 40."""
    template = f'{{"patient":{number % 1_000},"number":{number},"pad":""}}'
    data = f'{template[:-2]}{"x" * (data_bytes - len(template))}"}}'
    return f'{{"functionName":"noop{number % functions}","startTimestamp":{start_ms},"data":{data}}}'.encode()


def drafts(
    count: int, start_ms: int, data_bytes: int = 100, spread_ms: int = 0, functions: int = _FUNCTIONS
) -> Iterator[list[TaskDraft]]:
    """``count`` drafts in batches, each read from a body of its own as the API does, so that they share nothing.

    They start at even distances within ``spread_ms`` from ``start_ms`` on; their functions take turns.
    """
    now_ms = system_clock_ms()
    for begin in range(0, count, AT_ONCE):
        numbers = range(begin, min(begin + AT_ONCE, count))
        bodies = (body(number, start_ms + number * spread_ms // count, data_bytes, functions) for number in numbers)
        yield [task_draft(decode_task(text), None, now_ms, EVERYTHING) for text in bodies]


async def add_pending(
    store: TaskStore,
    count: int,
    *,
    start_ms: int,
    data_bytes: int = 100,
    per_frame: int = AT_ONCE,
    spread_ms: int = 0,
    functions: int = _FUNCTIONS,
) -> None:
    """Adds ``count`` tasks, ``per_frame`` in one atomic step; returns when they can be read in listings."""
    for number, batch in enumerate(drafts(count, start_ms, data_bytes, spread_ms, functions), 1):
        steps = (batch[begin : begin + per_frame] for begin in range(0, len(batch), per_frame))
        await asyncio.gather(*map(store.add, steps))
        if number * AT_ONCE % _CATCH_UP_EVERY == 0:
            await caught_up(store)
    await caught_up(store)


async def add_finished(store: TaskStore, count: int) -> None:
    """Adds ``count`` tasks that have run, some of which failed; returns when they can be read in listings."""
    for number, batch in enumerate(drafts(count, system_clock_ms()), 1):
        await store.add(batch)
        await store.settle([_end(task) for task in await store.claim(AT_ONCE)])
        if number * AT_ONCE % _CATCH_UP_EVERY == 0:
            await caught_up(store)
    await caught_up(store)


async def caught_up(store: TaskStore) -> None:
    """Returns when listings show everything that was added or settled."""
    await store.find(parse("limit(1)&skipCount()"))


def _end(task: Task) -> Outcome:
    if task.seq % _FAILURES_EVERY:
        return Completed(task.id)
    return Failed(task.id, TaskError(ErrorType.RUNTIME, "ValueError", "One of those that fail."))
