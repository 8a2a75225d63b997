"""Unique keys on both stores, whatever happens: the one in memory says what the one on disk has to answer.

Among what happens are restarts, which read the journal again, with a segment, and so soon a snapshot, for each commit.
"""

import asyncio
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.clocks import FakeClock
from support.disk.in_memory import memory_directory
from support.store.memory_store import MemoryStore, SharedRecords

from taskd.model.errors import ContractError
from taskd.model.idempotency import IdempotencyKey
from taskd.model.task import ErrorType, Task, TaskDraft, TaskError
from taskd.model.task_extras import OnConflict, TaskExtras, UniqueKey, WhileKind, inherited
from taskd.store.base import Completed, Outcome, Requeued, Retried, TaskStore
from taskd.store.embedded.settings import StoreSettings
from taskd.store.embedded.store import EmbeddedStore

ERROR = TaskError(ErrorType.RUNTIME, "E", "m")
LARGE = b'{"a":"%b"}' % (b"x" * 2000)

wanted = st.tuples(
    st.sampled_from("kl"),
    st.sampled_from((WhileKind.PENDING, WhileKind.ACTIVE, 2, None)),
    st.sampled_from(OnConflict),
    st.integers(-1, 1),
)
steps = st.one_of(
    st.tuples(st.just("ask"), st.lists(wanted, min_size=1, max_size=3)),
    st.tuples(st.just("ask_keyed"), st.lists(wanted, min_size=2, max_size=2)),
    st.tuples(st.just("claim"), st.integers(1, 2)),
    st.tuples(st.just("settle"), st.integers(0, 2)),
    st.tuples(st.just("cancel"), st.integers(0, 5)),
    st.tuples(st.just("pass"), st.sampled_from((0, 500, 1999, 2000))),
    st.tuples(st.just("die"), st.none()),
    st.tuples(st.just("delete"), st.integers(0, 5)),
)


class Both:
    """The two stores, and how the tasks of one are called in the other: by the order in which they were made."""

    def __init__(self, root: Path) -> None:
        self.clock = FakeClock()
        self._data = Path(tempfile.mkdtemp(dir=root)) / "data"
        self._model = MemoryStore(SharedRecords(self.clock))
        self._store = self._open()
        self._names: list[dict[str, int]] = [{}, {}]
        self._running: list[list[Task]] = [[], []]

    async def start(self) -> None:
        await self._model.start()
        await self._store.start()

    async def stop(self) -> None:
        await self._store.stop()

    async def do(self, name: str, argument: Any) -> None:
        if name == "die":
            await self._die()
        elif name == "pass":
            self.clock.advance(argument)
        else:
            answers = [await self._one(place, name, argument) for place in range(2)]
            assert answers[0] == answers[1], (name, argument)

    async def _one(self, place: int, name: str, argument: Any) -> Any:
        store: TaskStore = (self._store, self._model)[place]
        try:
            if name.startswith("ask"):
                key = IdempotencyKey(b"key", repr(argument).encode()) if name == "ask_keyed" else None
                results = await store.add_unique([self._draft(each) for each in argument], key)
                return [(self._named(place, result.task), result.conflict) for result in results]
            if name == "cancel":
                names = {number: task_id for task_id, number in self._names[place].items()}
                return self._named(place, await store.cancel(names[argument])) if argument in names else None
            if name == "delete":
                names = {number: task_id for task_id, number in self._names[place].items()}
                return await store.delete_tasks([names[argument]]) if argument in names else None
            if name == "claim":
                self._running[place] += (claimed := await store.claim(argument))
                return [self._named(place, task) for task in claimed]
            return await self._settle(place, store, argument)
        except ContractError as error:
            return error.kind

    async def _settle(self, place: int, store: TaskStore, choice: int) -> Any:
        if not self._running[place]:
            return None
        task = self._running[place].pop(0)
        successor = TaskDraft("f", task.data, self.clock() + 700, extras=inherited(task.extras))
        outcomes: list[Outcome] = [
            Completed(task.id),
            Requeued(task.id, self.clock() + 300),
            Retried(task.id, ERROR, successor),
        ]
        [settled] = await store.settle([outcomes[choice]])
        assert settled is not None
        if settled.retried_by_task_id is not None:
            self._named(place, await store.get(settled.retried_by_task_id))
        return self._named(place, await store.get(task.id))  # what waits again may have come without its data

    def _draft(self, asked: tuple[str, WhileKind | int | None, OnConflict, int]) -> TaskDraft:
        key, lasts, on_conflict, priority = asked
        extras = None if lasts is None else TaskExtras(unique=UniqueKey(key, lasts))
        data = LARGE if priority > 0 else b"{}"
        return TaskDraft("f", data, self.clock(), priority, extras=extras, on_conflict=on_conflict)

    def _named(self, place: int, task: Task) -> tuple[Any, ...]:
        number = self._names[place].setdefault(task.id, len(self._names[place]))
        return number, task.status, task.data, task.priority, task.start_ms, task.extras

    async def _die(self) -> None:
        """What was in progress would become a zombie: only what waits is left to a process that ends."""
        if self._running[0]:
            return
        await self._store.stop()
        self._store = self._open()
        await self._store.start()

    def _open(self) -> EmbeddedStore:
        return EmbeddedStore(StoreSettings(data=str(self._data), segment_mib=0), self.clock, _fail)


def _fail(error: BaseException) -> None:
    raise error


@pytest.fixture(scope="module")
def memory() -> Iterator[Path]:
    with memory_directory() as root:
        yield root


@settings(max_examples=120, deadline=None)
@given(script=st.lists(steps, min_size=1, max_size=30))
def test_both_stores_answer_alike(memory: Path, script: list[tuple[str, Any]]) -> None:
    async def run() -> None:
        both = Both(memory)
        await both.start()
        try:
            for name, argument in script:
                await both.do(name, argument)
        finally:
            await both.stop()

    asyncio.run(run())
