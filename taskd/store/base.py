"""The seam: the one protocol through which the dispatcher, the scheduler and the API touch tasks.

Every verb is durable when it returns, and all-or-nothing. Nothing above the seam knows of files, heaps or SQL.
"""

from collections.abc import Callable, Sequence
from typing import Generic, Protocol, TypeVar

from msgspec import Struct

from taskd.model.errors import UNAVAILABLE, ContractError
from taskd.model.function import Function
from taskd.model.logline import LogLine
from taskd.model.task import Task, TaskDraft, TaskError
from taskd.rql.query import Query

T = TypeVar("T")


class Completed(Struct, frozen=True, gc=False):
    """The function returned."""

    task_id: str


class Failed(Struct, frozen=True, gc=False):
    """The task ended badly, and nothing follows."""

    task_id: str
    error: TaskError


class Retried(Struct, frozen=True, gc=False):
    """The task ended badly, and ``successor`` takes its place in the same atomic step."""

    task_id: str
    error: TaskError
    successor: TaskDraft


class Requeued(Struct, frozen=True, gc=False):
    """The function did not run; the task is due again at ``not_before_ms``."""

    task_id: str
    not_before_ms: int


Outcome = Completed | Failed | Retried | Requeued


class Page(Struct, Generic[T], frozen=True):
    """One page of a listing. ``total`` is ``None`` where the query said not to count."""

    rows: list[T]
    total: int | None


class StoreUnavailableError(ContractError):
    """The store cannot make anything durable now; nothing was changed."""

    def __init__(self, message: str) -> None:
        super().__init__(UNAVAILABLE, message)


class TaskStore(Protocol):
    """Keeps tasks, functions and log lines. Unknown ids raise ``ContractError(RESOURCE_UNKNOWN)``."""

    async def start(self) -> None:
        """Opens the store and recovers what an earlier process left."""

    async def stop(self) -> None:
        """Makes everything durable and closes the store. Idempotent."""

    async def add(self, drafts: Sequence[TaskDraft]) -> list[Task]:
        """The tasks exist, in this order, and will be offered when due."""

    async def claim(self, limit: int) -> list[Task]:
        """Up to ``limit`` due tasks, best first; they are durably in progress on return."""

    async def settle(self, outcomes: Sequence[Outcome]) -> list[Task]:
        """Applies the outcomes of tasks in progress; gives the tasks as they are now, in the same order.

        Raises ``IllegalTransitionError``, and applies nothing, if one of them is not in progress.
        """

    async def cancel(self, task_id: str) -> Task:
        """``new`` becomes ``canceled``; ``ContractError(ILLEGAL_STATE)`` from any other status."""

    async def get(self, task_id: str) -> Task:
        """The task as it is now."""

    async def find(self, query: Query) -> Page[Task]:
        """A page of tasks, including everything added or settled before the call.

        Raises ``ContractError``: ``INVALID_RQL`` for a value a field cannot have, ``LONG_QUERY`` past the time limit.
        """

    def running(self) -> list[Task]:
        """The tasks in progress; right after ``start`` these are the orphans of an earlier process."""

    def due_count(self) -> int:
        """How many tasks could be claimed now."""

    def next_due_ms(self) -> int | None:
        """When ``claim`` will next have something; ``None`` if no task waits."""

    def on_due_change(self, callback: Callable[[], None]) -> None:
        """``callback`` is called whenever ``next_due_ms`` may have become earlier."""

    async def put_function(self, function: Function) -> None:
        """The function is known under its name from now on, in place of an earlier one."""

    async def remove_function(self, name: str) -> None:
        """The function is no longer known; its tasks and logs stay."""

    def function(self, name: str) -> Function | None:
        """The function of this name, if it is known."""

    def functions(self) -> list[Function]:
        """All functions, by name."""

    async def append_logs(self, logs: Sequence[tuple[str, Sequence[LogLine]]]) -> None:
        """Keeps log lines, by task id. Seen by the next ``find_logs``; not promised to survive a power cut."""

    async def find_logs(self, task_id: str, since_ms: int, offset: int, limit: int) -> list[LogLine]:
        """Log lines of a task from ``since_ms`` on, in the order they were printed."""

    async def find_function_logs(
        self, function_name: str, since_ms: int, until_ms: int, offset: int, limit: int
    ) -> list[LogLine]:
        """Log lines of all tasks of a function from ``since_ms`` to ``until_ms``, both included, oldest first.

        Raises ``ContractError``: ``LONG_QUERY`` past the time limit.
        """
