"""The seam: the one protocol through which the dispatcher, the scheduler and the API touch tasks.

Every verb is durable when it returns, and all-or-nothing. Nothing above the seam knows of files, heaps or SQL.
"""

from collections.abc import Callable, Sequence
from typing import Generic, Protocol, TypeVar

from msgspec import Struct

from taskd.model.api_request import ApiRequest
from taskd.model.errors import UNAVAILABLE, ContractError
from taskd.model.function import Function
from taskd.model.idempotency import IdempotencyKey
from taskd.model.logline import LogLine
from taskd.model.schedule import Schedule, ScheduleDraft
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


class Occurrence(Struct, frozen=True, gc=False):
    """What a schedule made when it was due, and how many later occurrences had passed by then and were left out."""

    task: Task
    skipped: int


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

    async def add(self, drafts: Sequence[TaskDraft], key: IdempotencyKey | None = None) -> list[Task]:
        """The tasks exist, in this order, and will be offered when due.

        With a ``key`` that was used before and has not expired, nothing is added: gives the tasks of that first use,
        as they are now. Raises ``ContractError``: ``ILLEGAL_ARGUMENT`` if the key came with another request then,
        ``RESOURCE_UNKNOWN`` if those tasks are gone, ``TOO_MANY_REQUESTS`` if no more keys can be remembered.
        """

    async def add_started(self, draft: TaskDraft) -> Task:
        """The task exists and is durably in progress on return: no ``claim`` ever offers it.

        Not to be cancelled: the task would be in progress with nobody to run it.
        """

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

    async def add_schedule(self, draft: ScheduleDraft) -> Schedule:
        """The schedule exists, and will be fired; ``ContractError(ILLEGAL_STATE)`` if there are too many."""

    async def remove_schedule(self, schedule_id: str) -> None:
        """The schedule makes no more tasks; those it made stay."""

    async def find_schedules(self, query: Query) -> Page[Schedule]:
        """A page of schedules; raises what :meth:`find` raises."""

    async def fire(self, limit: int) -> list[Occurrence]:
        """Up to ``limit`` due schedules have made one task each and moved on to their next time, in one step."""

    def next_fire_ms(self) -> int | None:
        """When ``fire`` will next have something; ``None`` if there is no schedule."""

    def on_schedule_added(self, callback: Callable[[], None]) -> None:
        """``callback`` is called whenever ``next_fire_ms`` may have become earlier."""

    async def append_logs(self, logs: Sequence[tuple[str, Sequence[LogLine]]]) -> None:
        """Keeps log lines, by task id. Seen by the next ``find_logs``; not promised to survive a power cut."""

    async def replace_logs(self, task_id: str, lines: Sequence[LogLine]) -> None:
        """Keeps these log lines in place of those that were kept for this id, as :meth:`append_logs` does."""

    async def find_logs(self, task_id: str, since_ms: int, offset: int, limit: int) -> list[LogLine]:
        """Log lines of a task or an API request from ``since_ms`` on, in the order they were printed."""

    async def begin_api_request(self) -> str:
        """The id for an API request that comes in now; raises ``StoreUnavailableError`` if it could not be kept."""

    async def end_api_request(self, request: ApiRequest, lines: Sequence[LogLine]) -> None:
        """Keeps the request and what its function printed. Seen by the next reader; may not survive a power cut."""

    async def api_request(self, request_id: str) -> ApiRequest:
        """The API request of this id."""

    async def find_api_requests(self, query: Query) -> Page[ApiRequest]:
        """A page of API requests, including every one that ended before the call. Raises as ``find`` does."""

    async def find_function_logs(
        self, function_name: str, since_ms: int, until_ms: int, offset: int, limit: int
    ) -> list[LogLine]:
        """Log lines of all tasks of a function from ``since_ms`` to ``until_ms``, both included, oldest first.

        Raises ``ContractError``: ``LONG_QUERY`` past the time limit.
        """
