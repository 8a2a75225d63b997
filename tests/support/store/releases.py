"""What a release leaves on a disk: a journal with a snapshot, a catalogue, and what a client saw.

``PYTHONPATH=tests python -m support.store.releases tests/fixtures/v1`` wrote the fixtures of version 1. They are never
written again: a version that changes a format gets a directory of its own, and must start on every earlier one.
"""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import msgspec
from support.clocks import FakeClock

from taskd.model.function import Function, PermissionMode, RetryPolicy
from taskd.model.logline import LogLine
from taskd.model.schedule import ScheduleDraft
from taskd.model.task import ErrorType, Task, TaskDraft, TaskError
from taskd.model.wire import encode_task, function_view
from taskd.rql.parser import parse
from taskd.store.base import Completed, Failed, Requeued, Retried
from taskd.store.embedded.settings import StoreSettings
from taskd.store.embedded.store import EmbeddedStore

ERROR = TaskError(ErrorType.RUNTIME, "TypeError", "näh")
FUNCTION = Function(
    *("greet", "index.handler", "python3.11", 5, "c0de", "says hello", False, 60, 256, {"KEY": "välue"}),
    *(PermissionMode.ALL_USERS, 7, RetryPolicy(enabled=True, errors_to_retry=("TypeError",))),
)


async def open_store(data: Path, clock: FakeClock) -> EmbeddedStore:
    """A store whose segments hold one group each."""
    store = EmbeddedStore(StoreSettings(data=str(data), segment_mib=0), clock)
    await store.start()
    return store


async def seen(store: EmbeddedStore) -> dict[str, Any]:
    """What clients can see: every task, function and schedule."""
    tasks = [json.loads(encode_task(task)) for task in (await store.find(parse("limit(100)"))).rows]
    schedules = (await store.find_schedules(parse("limit(100)"))).rows
    return {
        "tasks": tasks,
        "functions": json.loads(msgspec.json.encode([function_view(function) for function in store.functions()])),
        "schedules": [[schedule.id, schedule.next_ms, schedule.data.decode()] for schedule in schedules],
    }


async def write(directory: Path) -> None:
    """A history in which everything happens once before a snapshot and once after it."""
    clock = FakeClock()
    store = await open_store(directory, clock)
    await store.put_function(FUNCTION, None)
    await store.put_function(Function("gone", "i.h", "nodejs20.x", 1, "c0de"), None)
    await store.remove_function("gone")
    await store.add_schedule(ScheduleDraft("greet", b'{"s":1}', 60_000, clock()))
    await _everything_happens(store, clock)
    await store.compact()
    await _everything_happens(store, clock)
    await store.replace_logs((await store.find(parse("status=complete"))).rows[0].id, [LogLine(clock(), "a line")])
    expected = await seen(store)
    await store.stop()
    (directory / "expected.json").write_text(json.dumps(expected, indent=1, ensure_ascii=False) + "\n")
    for name in ("lock", "journal/reserve"):
        (directory / name).unlink()


async def _everything_happens(store: EmbeddedStore, clock: FakeClock) -> None:
    drafts = [TaskDraft("greet", b'{"n":%d}' % n, clock(), n, ("t\u00e4g",), "u" * 24, "a" * 24) for n in range(7)]
    tasks = await store.add(drafts)
    await store.cancel(tasks[0].id)
    await store.fire(10)
    clock.advance(1)
    running: list[Task] = await store.claim(5)
    successor = TaskDraft("greet", running[2].data, clock() + 2_000, retry_for_task_ids=(running[2].id,))
    await store.settle([Completed(running[0].id), Failed(running[1].id, ERROR)])
    await store.settle([Retried(running[2].id, ERROR, successor), Requeued(running[3].id, clock() + 9)])


if __name__ == "__main__":
    asyncio.run(write(Path(sys.argv[1])))
