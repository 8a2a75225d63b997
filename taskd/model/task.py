"""The task, and the named transitions that are the only way its status changes."""

from enum import StrEnum

from msgspec import Struct
from msgspec.structs import replace

from taskd.model.errors import TaskdError
from taskd.model.status import NEXT, Status
from taskd.model.task_extras import OnConflict, TaskExtras


class ErrorType(StrEnum):
    """Whether a function failed by itself or could not be run."""

    RUNTIME = "runtime"
    INVOCATION = "invocation"


class TaskError(Struct, frozen=True, gc=False, array_like=True):
    """Why a task failed: ``name`` is what retry policies match on."""

    type: ErrorType
    name: str
    message: str


ZOMBIE_ERROR_NAME = "zombieTaskCleaned"
"""The name of the error of a task whose outcome cannot be known."""
FUNCTION_DISABLED_ERROR_NAME = "FUNCTION_DISABLED"


class TaskDraft(Struct, frozen=True, gc=False):
    """What a caller asks for; the store makes a :class:`Task` of it. ``data`` is the JSON text of an object."""

    function_name: str
    data: bytes
    start_ms: int
    priority: int = 0
    tags: tuple[str, ...] = ()
    created_by_user_id: str | None = None
    created_by_application_id: str | None = None
    retry_for_task_ids: tuple[str, ...] = ()
    schedule_id: str | None = None
    direct: bool = False
    """Executed at once for a caller who waits, and so never tried again."""
    extras: TaskExtras | None = None
    on_conflict: OnConflict = OnConflict.EXISTING
    """Of its unique key, if it has one."""


class Replacement(Struct, frozen=True, gc=False, array_like=True):
    """What a waiting task takes over of a draft. Persisted in this order: add new fields at the end, with a default."""

    data: bytes
    start_ms: int
    priority: int
    created_by_user_id: str | None
    created_by_application_id: str | None


class Task(Struct, frozen=True, gc=False, array_like=True):
    """A task at one moment. Immutable: a transition gives a new one.

    Every field is persisted, as an array in this order: add new ones at the end, with a default. What a store keeps of
    a task in memory beside these (its place in a queue, that a decision about it is on its way) is the store's own.
    ``gc=False`` keeps a million of them out of the cyclic collector's sight; nothing here can form a cycle.
    """

    id: str
    seq: int
    """A number of the store's own that ascends as tasks are created; breaks ties in the order of work."""
    function_name: str
    data: bytes
    """The JSON text of an object, as it came in."""
    start_ms: int
    priority: int
    creation_ms: int
    status: Status
    status_changed_ms: int
    tags: tuple[str, ...] = ()
    created_by_user_id: str | None = None
    created_by_application_id: str | None = None
    retry_for_task_ids: tuple[str, ...] = ()
    schedule_id: str | None = None
    error: TaskError | None = None
    retried_by_task_id: str | None = None
    not_before_ms: int = 0
    """A requeued task is not due before this, whatever its ``start_ms``."""
    direct: bool = False
    """Executed at once for a caller who waits, and so never tried again."""
    extras: TaskExtras | None = None

    def __lt__(self, other: "Task") -> bool:
        """Of two states of one task, which stand alike in a queue, neither goes first; queues compare nothing else."""
        return False

    @property
    def due_ms(self) -> int:
        """When the task may be claimed."""
        return max(self.start_ms, self.not_before_ms)


class IllegalTransitionError(TaskdError):
    """A transition that the status table does not have; the task is as it was."""

    def __init__(self, task: Task, to: Status) -> None:
        super().__init__(f"Task {task.id} is {task.status}, so it cannot become {to}.")
        self.task = task


def create(draft: TaskDraft, task_id: str, seq: int, now_ms: int) -> Task:
    """A new task from a draft."""
    return Task(
        id=task_id,
        seq=seq,
        function_name=draft.function_name,
        data=draft.data,
        start_ms=draft.start_ms,
        priority=draft.priority,
        creation_ms=now_ms,
        status=Status.NEW,
        status_changed_ms=now_ms,
        tags=draft.tags,
        created_by_user_id=draft.created_by_user_id,
        created_by_application_id=draft.created_by_application_id,
        retry_for_task_ids=draft.retry_for_task_ids,
        schedule_id=draft.schedule_id,
        direct=draft.direct,
        extras=draft.extras,
    )


def start(task: Task, now_ms: int) -> Task:
    """The task is handed to a runtime."""
    _require(task, Status.IN_PROGRESS)
    return replace(task, status=Status.IN_PROGRESS, status_changed_ms=now_ms, not_before_ms=0)


def requeue(task: Task, now_ms: int, not_before_ms: int) -> Task:
    """The runtime refused the call before the function ran; the task waits for another attempt."""
    _require(task, Status.NEW)
    return replace(task, status=Status.NEW, status_changed_ms=now_ms, not_before_ms=not_before_ms)


def complete(task: Task, now_ms: int) -> Task:
    """The function returned."""
    _require(task, Status.COMPLETE)
    return replace(task, status=Status.COMPLETE, status_changed_ms=now_ms)


def fail(task: Task, now_ms: int, error: TaskError) -> Task:
    """The function failed, could not be invoked, or its outcome cannot be known."""
    _require(task, Status.FAILED)
    return replace(task, status=Status.FAILED, status_changed_ms=now_ms, error=error)


def retry(task: Task, now_ms: int, error: TaskError, successor_id: str) -> Task:
    """The task failed and ``successor_id`` takes its place."""
    _require(task, Status.RETRIED)
    return replace(task, status=Status.RETRIED, status_changed_ms=now_ms, error=error, retried_by_task_id=successor_id)


def cancel(task: Task, now_ms: int) -> Task:
    """Somebody called the task off before it started."""
    _require(task, Status.CANCELED)
    return replace(task, status=Status.CANCELED, status_changed_ms=now_ms, not_before_ms=0)


def replacement(draft: TaskDraft) -> Replacement:
    """What can be taken over of ``draft``."""
    created_by = (draft.created_by_user_id, draft.created_by_application_id)
    return Replacement(draft.data, draft.start_ms, draft.priority, *created_by)


def take_over(task: Task, new: Replacement) -> Task:
    """The task, which waits, has the data, start and priority of ``new`` from now on, and is in the name of that."""
    if task.status is not Status.NEW:
        raise IllegalTransitionError(task, Status.NEW)
    return replace(
        task,
        data=new.data,
        start_ms=new.start_ms,
        priority=new.priority,
        created_by_user_id=new.created_by_user_id,
        created_by_application_id=new.created_by_application_id,
    )


def _require(task: Task, to: Status) -> None:
    if to not in NEXT[task.status]:
        raise IllegalTransitionError(task, to)
