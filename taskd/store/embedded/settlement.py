"""The ends of tasks: outcomes become events, as far as their tasks are still this process's to settle."""

import asyncio
import contextlib
import functools
from collections.abc import Iterable, Sequence
from itertools import islice

from taskd.model.clock import Clock
from taskd.model.errors import ContractError
from taskd.model.retry import successor_of, unknown_outcome
from taskd.model.status import Status
from taskd.model.system_events import task_failed
from taskd.model.task import Task
from taskd.store import base
from taskd.store.base import Outcome, Requeued, StoreUnavailableError
from taskd.store.embedded import events
from taskd.store.embedded.catalogue.catalogue import Catalogue
from taskd.store.embedded.commit import CommitLog
from taskd.store.embedded.creation import Creation
from taskd.store.embedded.events import Event
from taskd.store.embedded.large_data import LargeData, up_to_bytes
from taskd.store.embedded.publishing import Publishing
from taskd.store.embedded.serial import SerialChanges
from taskd.store.embedded.stored_data import stored_data

_TRY_AGAIN_S = 1.0
_REAPED_AT_ONCE_BYTES = 16 << 20
"""Of large data that is read back."""
_DIED = "The daemon stopped while the task was running, so its outcome is not known."


class Settlement:
    """Settles tasks of the live state; ``abandoned`` are those that an earlier process had in progress."""

    def __init__(
        self,
        commits: CommitLog,
        catalogue: Catalogue,
        creation: Creation,
        clock: Clock,
        *,
        abandoned: Iterable[str],
        large: LargeData,
        publishing: Publishing,
    ) -> None:
        self._commits = commits
        self._catalogue = catalogue
        self._creation = creation
        self._clock = clock
        self._large = large
        self._publishing = publishing
        self._abandoned = dict.fromkeys(abandoned)
        self._reaps = SerialChanges("reap")
        self._being_settled: set[str] = set()
        """Tasks with an outcome that is put down, or waits to be: no reservation lasts from one attempt to the next."""

    async def settle(self, outcomes: Sequence[Outcome]) -> list[Task | None]:
        """See ``TaskQueue.settle``."""
        ours = self._ours(outcomes)
        if not ours:
            return [None] * len(outcomes)
        settled = await self._commit(list(ours.values()))
        return [settled[outcome.task_id] if ours.get(outcome.task_id) is outcome else None for outcome in outcomes]

    async def reap(self, limit: int) -> list[Task]:
        """See ``TaskQueue.reap``. The directory's lock says who is dead: every process but this one."""
        return await self._reaps.run(functools.partial(self._reap, limit))

    async def _reap(self, limit: int) -> list[Task]:
        first = list(islice(self._abandoned, limit))
        if not first:
            return []
        ids = await self._load(first)
        settled = await self._commit([self._zombie(self._commits.state.tasks[task_id]) for task_id in ids])
        for task_id in ids:
            del self._abandoned[task_id]
        return [settled[task_id] for task_id in ids]

    async def _load(self, ids: Sequence[str]) -> Sequence[str]:
        """Puts the data of some of these tasks into memory, for their successors, and gives which they are."""
        tasks = list(up_to_bytes([self._commits.state.tasks[task_id] for task_id in ids], _REAPED_AT_ONCE_BYTES))
        while True:
            try:
                await self._large.load(tasks)
            except StoreUnavailableError:
                await asyncio.sleep(_TRY_AGAIN_S)
            else:
                return [task.id for task in tasks]

    def _ours(self, outcomes: Sequence[Outcome]) -> dict[str, Outcome]:
        """The outcomes that can be applied, by task; the first one where there are two for a task."""
        ours: dict[str, Outcome] = {}
        for outcome in outcomes:
            task = self._commits.state.tasks.get(outcome.task_id)
            if task is not None and task.status is Status.IN_PROGRESS and self._is_open(task.id):
                ours.setdefault(task.id, outcome)
        return ours

    def _is_open(self, task_id: str) -> bool:
        """Whether the end of this task in progress is this process's to say, and nothing was said of it yet."""
        return (
            task_id not in self._being_settled
            and task_id not in self._abandoned
            and self._commits.is_free(task_id)  # a caller may have been cancelled while its frame was on its way
        )

    async def _commit(self, outcomes: Sequence[Outcome]) -> dict[str, Task]:
        """Puts the outcomes down, however long the disk takes: an outcome is never given up."""
        ids = tuple(outcome.task_id for outcome in outcomes)
        logs = [
            (outcome.task_id, outcome.logs)
            for outcome in outcomes
            if not isinstance(outcome, Requeued) and outcome.logs
        ]
        if logs:
            self._catalogue.put_logs(logs)  # before the frame: whoever sees the end sees the lines
        self._being_settled.update(ids)
        try:
            changed = await self._write(outcomes, ids)
        finally:
            self._being_settled.difference_update(ids)
        return {task.id: task for task in changed}

    async def _write(self, outcomes: Sequence[Outcome], ids: Sequence[str]) -> list[Task]:
        if any(isinstance(outcome, base.Failed) for outcome in outcomes):
            with contextlib.suppress(StoreUnavailableError):
                if (published := self._publish(outcomes, ids)) is not None:
                    return await published
        while True:
            try:
                return await self._commits.submit(self._events(outcomes), ids, essential=True)
            except StoreUnavailableError:
                await asyncio.sleep(_TRY_AGAIN_S)

    def _publish(self, outcomes: Sequence[Outcome], ids: Sequence[str]) -> "asyncio.Future[list[Task]] | None":
        """Ends the tasks, and says of those that failed that they did; ``None`` if there is no room for that now."""
        state = self._commits.state
        failures = [
            task_failed(state.tasks[outcome.task_id], outcome.error)
            for outcome in outcomes
            if isinstance(outcome, base.Failed)
        ]
        try:
            self._commits.require_writable()
            self._catalogue.require_capacity()
            step = self._publishing.step(failures)
        except ContractError:
            return None
        done = self._commits.submit([*self._events(outcomes, owes=False), *step.frame], ids)
        self._publishing.watch(step, done)
        return done

    def _events(self, outcomes: Sequence[Outcome], *, owes: bool = True) -> list[Event]:
        """What the outcomes are to the journal; ``owes``: the events that say who failed are still to come."""
        now_ms = self._clock()
        completed = tuple(outcome.task_id for outcome in outcomes if isinstance(outcome, base.Completed))
        batch: list[Event] = [events.Completed(completed, now_ms)] if completed else []
        for outcome in outcomes:
            if not isinstance(outcome, base.Completed):
                batch += self._other_end(outcome, now_ms, owes=owes)
        return batch

    def _other_end(self, outcome: base.Failed | base.Retried | Requeued, now_ms: int, *, owes: bool) -> list[Event]:
        if isinstance(outcome, base.Failed):
            return [events.Failed(outcome.task_id, now_ms, outcome.error, owes)]
        if isinstance(outcome, Requeued):
            return [events.Requeued(outcome.task_id, now_ms, outcome.not_before_ms)]
        added = self._creation([outcome.successor])
        return [events.Retried(outcome.task_id, now_ms, outcome.error, added.tasks[0].id), added]

    def _zombie(self, task: Task) -> base.Failed | base.Retried:
        error = unknown_outcome(_DIED)
        if stored_data(task) is not None:  # nothing can be made of what is lost
            return base.Failed(task.id, error)
        function = self._commits.state.functions.get(task.function_name)
        successor = successor_of(task, function, error, self._clock())
        return base.Failed(task.id, error) if successor is None else base.Retried(task.id, error, successor)
