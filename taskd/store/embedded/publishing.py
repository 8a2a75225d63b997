"""From events to a frame: what is published, and what comes with it in the same step."""

import functools
from asyncio import Future
from collections.abc import Callable, Sequence
from typing import Any

from msgspec import Struct

from taskd.model import event as rules
from taskd.model import limits
from taskd.model.clock import Clock
from taskd.model.dispatching import Dispatched, Publication, dispatch
from taskd.model.errors import BODY_TOO_LARGE, ContractError
from taskd.model.event import Event, EventDraft
from taskd.model.task import TaskDraft
from taskd.store.embedded import events
from taskd.store.embedded.commit import CommitLog
from taskd.store.embedded.creation import Creation
from taskd.store.embedded.live_memory import LiveMemory

Also = Callable[[Sequence[Event]], list[events.Event]]
"""What else is to be in the frame that publishes these. Must not wait for anything."""


class Step(Struct):
    """What publishes some events, not yet on its way."""

    frame: list[events.Event]
    publications: list[Publication]
    admitted_bytes: int = 0
    """See :meth:`LiveMemory.admit`."""


class Publishing:
    """Prepares the steps that publish, and tells of them once they are taken."""

    def __init__(
        self,
        commits: CommitLog,
        creation: Creation,
        memory: LiveMemory,
        clock: Clock,
        *,
        new_id: Callable[[], str],
        live_tasks_max: int,
        callbacks: Sequence[Callable[[Publication], None]],
    ) -> None:
        """``callbacks`` are called after each event that was published."""
        self._commits = commits
        self._creation = creation
        self._memory = memory
        self._clock = clock
        self._new_id = new_id
        self._live_tasks_max = live_tasks_max
        self.also: list[Also] = []
        """For whoever follows events: what each says comes into the same frame."""
        self._callbacks = callbacks

    def step(self, drafts: Sequence[EventDraft], owed_task_ids: Sequence[str] = ()) -> Step:
        """What publishes events of ``drafts``, each with its tasks.

        :raises ContractError: ``TOO_MANY_REQUESTS`` if there is no room for the tasks; ``BODY_TOO_LARGE`` if they are
            too large together, which those of one event of the system never are.
        """
        now_ms = self._clock()
        published = tuple([rules.create(draft, self._new_id(), now_ms) for draft in drafts])
        state = self._commits.state
        dispatched = [
            dispatch(event, state.events.dispatchers_of(event.type), state.functions.get) for event in published
        ]
        step = Step([events.Published(published, tuple(owed_task_ids))], _publications(published, dispatched))
        self._add_tasks(step, [draft for each in dispatched for draft in each.drafts])
        for also in self.also:
            step.frame += also(published)
        return step

    def _add_tasks(self, step: Step, drafts: list[TaskDraft]) -> None:
        if not drafts:
            return
        if sum([len(draft.data) for draft in drafts]) > limits.DISPATCHED_MAX_BYTES:
            raise ContractError(BODY_TOO_LARGE, "These events make too much for one step.")
        self._commits.require_room(self._live_tasks_max)
        step.admitted_bytes = self._memory.admit(drafts)
        step.frame.append(self._creation(drafts))

    def watch(self, step: Step, done: "Future[Any]") -> None:
        """``done`` is when the frame of ``step`` has come to its end."""
        self._memory.hold(step.admitted_bytes, done)
        if self._callbacks:
            done.add_done_callback(functools.partial(self._tell, step))

    def _tell(self, step: Step, done: "Future[Any]") -> None:
        if done.cancelled() or done.exception() is not None:
            return
        for publication in step.publications:
            for callback in self._callbacks:
                callback(publication)


def _publications(published: Sequence[Event], dispatched: Sequence[Dispatched]) -> list[Publication]:
    return [
        Publication(event, len(each.drafts), each.mails, each.withheld)
        for event, each in zip(published, dispatched, strict=True)
    ]
