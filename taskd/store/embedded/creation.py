"""From drafts to tasks: they get their ids and their numbers, which go on from those that were given out before."""

from collections.abc import Callable, Sequence

from taskd.model import task as transitions
from taskd.model.clock import Clock
from taskd.model.task import TaskDraft
from taskd.store.embedded.events import Added


class Creation:
    """Numbers tasks. What is numbered and then refused leaves a gap, which means nothing."""

    def __init__(self, clock: Clock, new_id: Callable[[], str], last_seq: int) -> None:
        self._clock = clock
        self._new_id = new_id
        self._next_seq = last_seq + 1

    def __call__(self, drafts: Sequence[TaskDraft]) -> Added:
        """The event that the tasks exist, in this order."""
        now_ms = self._clock()
        new_id = self._new_id
        first_seq = self._next_seq
        self._next_seq += len(drafts)
        return Added(
            tuple([transitions.create(draft, new_id(), seq, now_ms) for seq, draft in enumerate(drafts, first_seq)])
        )
