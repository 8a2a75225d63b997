"""Operations in bulk: what is done to all tasks that matched a filter at one moment, one turn after the other.

What matched is fixed when an operation is made; each task is decided again when its turn comes. These are the rules;
they do not know where operations and their lists of matches are kept.
"""

from collections.abc import Callable, Collection, Iterable
from enum import StrEnum
from hashlib import sha256
from math import ceil

from msgspec import Struct
from msgspec.structs import replace

from taskd.model import limits
from taskd.model.errors import ILLEGAL_ARGUMENT, ILLEGAL_STATE, TOO_MANY_REQUESTS, ContractError
from taskd.model.idempotency import IdempotencyKey
from taskd.model.permissions import Permission
from taskd.model.status import FINAL
from taskd.model.task import Task, TaskDraft
from taskd.model.task_extras import TaskExtras, UniqueKey, inherited

_HASHED = "sha256:"
_TURNS_PER_SECOND = 10
"""Of an operation with a rate: so it goes on evenly, and no turn is for nothing."""


class OperationAction(StrEnum):
    """What is done to each task."""

    CANCEL = "cancel"
    REPLAY = "replay"
    DELETE = "delete"
    ERASE = "erase"


PERMISSIONS: dict[OperationAction, tuple[Permission, ...]] = {
    OperationAction.CANCEL: (Permission.CANCEL_TASKS,),
    OperationAction.REPLAY: (Permission.CREATE_TASKS,),
    OperationAction.DELETE: (Permission.DELETE_TASKS,),
    OperationAction.ERASE: (Permission.DELETE_TASKS, Permission.CANCEL_TASKS),
}
"""What whoever asks for an action needs, besides that they may see tasks."""


_ENDS_BY_ITSELF = frozenset(OperationAction) - {OperationAction.ERASE}
"""What is over with the turn of the last task."""


class OperationStatus(StrEnum):
    """Where an operation is in its life; nothing follows any but ``running``."""

    RUNNING = "running"
    DONE = "done"
    ABORTED = "aborted"
    FAILED = "failed"


class OperationDraft(Struct, frozen=True, gc=False):
    """What a caller asks for. ``data``, ``priority`` and ``start_ms`` are for replays, in place of those of the old."""

    action: OperationAction
    rql: str
    """The filter, as it came."""
    rate_per_s: float | None = None
    """How many tasks may have their turn within a second; ``None`` is no limit."""
    data: bytes | None = None
    priority: int | None = None
    start_ms: int | None = None
    created_by_user_id: str | None = None
    created_by_application_id: str | None = None
    key: IdempotencyKey | None = None


class Operation(Struct, frozen=True, gc=False, array_like=True):
    """An operation at one moment. Persisted in this order: add new fields at the end, with a default."""

    id: str
    action: OperationAction
    rql: str
    status: OperationStatus
    matched: int
    """How many tasks matched when it was made."""
    creation_ms: int
    update_ms: int
    done: int = 0
    """To how many tasks it was done."""
    skipped: int = 0
    """How many had their turn, and were not in a state for it any more."""
    next_ms: int = 0
    """When the next tasks have their turn, by its rate."""
    rate_per_s: float | None = None
    data: bytes | None = None
    """The JSON text of an object; let go of when the operation has ended."""
    priority: int | None = None
    start_ms: int | None = None
    created_by_user_id: str | None = None
    created_by_application_id: str | None = None
    error: str | None = None
    """Why it failed, for people."""
    key: IdempotencyKey | None = None
    wait_reason: str | None = None
    """Why it cannot go on at the moment, for people. Never kept: a store tells of it as long as it is so."""

    @property
    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self.status is OperationStatus.RUNNING

    @property
    def is_to_purge(self) -> bool:
        """Whether all tasks have been erased, and files may still have something of them."""
        return self.is_running and self.action is OperationAction.ERASE and self.position >= self.matched

    @property
    def position(self) -> int:
        """How many of the matches have had their turn."""
        return self.done + self.skipped

    @property
    def turn(self) -> int:
        """How many tasks may have their turn at once, at its rate."""
        left = self.matched - self.position
        return left if self.rate_per_s is None else min(left, ceil(self.rate_per_s / _TURNS_PER_SECOND))

    def due_ms(self, now_ms: int) -> int:
        """When more tasks have their turn, if it runs: now, where the clock was set back since."""
        return now_ms if self.next_ms - now_ms > _pause_ms(self, self.turn) else self.next_ms

    def is_due(self, now_ms: int) -> bool:
        """Whether more tasks are to have their turn."""
        return self.is_running and self.due_ms(now_ms) <= now_ms


Objection = Callable[[Operation], str | None]
"""Why an operation may not go on, for people; ``None`` if it may. Must not wait for anything."""


def no_objection(operation: Operation) -> None:
    """For those who let every operation go on."""


def create(draft: OperationDraft, operation_id: str, matched: int, now_ms: int) -> Operation:
    """A new operation, over at once if nothing matched."""
    return Operation(
        id=operation_id,
        action=draft.action,
        rql=draft.rql,
        status=OperationStatus.DONE if draft.action in _ENDS_BY_ITSELF and not matched else OperationStatus.RUNNING,
        matched=matched,
        creation_ms=now_ms,
        update_ms=now_ms,
        next_ms=now_ms,
        rate_per_s=draft.rate_per_s,
        data=draft.data,
        priority=draft.priority,
        start_ms=draft.start_ms,
        created_by_user_id=draft.created_by_user_id,
        created_by_application_id=draft.created_by_application_id,
        key=draft.key,
    )


def advance(operation: Operation, done: int, skipped: int, now_ms: int) -> Operation:
    """The next ``done + skipped`` matches have had their turn."""
    turned = replace(
        operation,
        done=operation.done + done,
        skipped=operation.skipped + skipped,
        next_ms=now_ms + _pause_ms(operation, done + skipped),
        update_ms=now_ms,
    )
    is_over = turned.position >= turned.matched and turned.action in _ENDS_BY_ITSELF
    return _end(turned, OperationStatus.DONE, now_ms) if is_over else turned


def without_filter(operation: Operation) -> Operation:
    """What it looked for may be what is to be forgotten: a hash of it stays, which tells it from others."""
    if operation.rql.startswith(_HASHED):
        return operation
    return replace(operation, rql=_HASHED + sha256(operation.rql.encode()).hexdigest())


def purged(operation: Operation, now_ms: int) -> Operation:
    """An erasure is over: nothing has anything any more of the tasks, all of which have had their turn."""
    return _end(operation, OperationStatus.DONE, now_ms)


def abort(operation: Operation, now_ms: int) -> Operation:
    """No more tasks have their turn; raises ``ContractError`` (``ILLEGAL_STATE``) if it has ended."""
    if not operation.is_running:
        message = f"Operation {operation.id} is {operation.status}; only a running one can be aborted."
        raise ContractError(ILLEGAL_STATE, message)
    return _end(operation, OperationStatus.ABORTED, now_ms)


def fail(operation: Operation, now_ms: int, error: str) -> Operation:
    """It cannot go on, ever; what was done stays."""
    return replace(_end(operation, OperationStatus.FAILED, now_ms), error=error)


def replay_of(task: Task, operation: Operation, now_ms: int) -> TaskDraft | None:
    """The task that does again what ``task`` did, due now unless the operation says otherwise; ``None`` before its end.

    Its creator is the operation's. It belongs to no schedule and is nobody's retry: the link says where it is from. It
    has the old one's unique key, unless that lasts for some seconds, which count from the old one's creation.
    """
    if task.status not in FINAL:
        return None
    return TaskDraft(
        function_name=task.function_name,
        data=task.data if operation.data is None else operation.data,
        start_ms=now_ms if operation.start_ms is None else operation.start_ms,
        priority=task.priority if operation.priority is None else operation.priority,
        tags=task.tags,
        created_by_user_id=operation.created_by_user_id,
        created_by_application_id=operation.created_by_application_id,
        extras=TaskExtras(unique=_unique(task.extras), replay_of_task_id=task.id),
    )


def require_room(others: Iterable[Operation]) -> None:
    """Raises ``ContractError`` (``TOO_MANY_REQUESTS``) if as many operations run as may."""
    running = sum(other.is_running for other in others)
    if running >= limits.OPERATIONS_RUNNING_MAX:
        message = f"{running} operations run, which is the limit; wait for one to end, or abort one."
        raise ContractError(TOO_MANY_REQUESTS, message)


def made_before(key: IdempotencyKey, others: Iterable[Operation], now_ms: int) -> Operation | None:
    """The operation that was made under ``key`` not long ago; raises ``ContractError`` if by another request."""
    kept_from_ms = now_ms - limits.IDEMPOTENCY_KEY_TTL_MS
    for other in others:
        if other.key is not None and other.key.digest == key.digest and other.creation_ms >= kept_from_ms:
            if other.key.fingerprint != key.fingerprint:
                message = "The Idempotency-Key was used for another request before; use a new key for each request."
                raise ContractError(ILLEGAL_ARGUMENT, message)
            return other
    return None


def forgotten(operations: Collection[Operation], now_ms: int) -> list[Operation]:
    """Those that ended, and are too many or too old to be kept. ``operations`` are in the order of their creation."""
    ended = [operation for operation in operations if not operation.is_running]
    too_many = max(0, len(ended) - limits.OPERATIONS_KEPT)
    kept_from_ms = now_ms - limits.OPERATIONS_KEPT_MS
    return ended[:too_many] + [each for each in ended[too_many:] if each.update_ms < kept_from_ms]


def _end(operation: Operation, status: OperationStatus, now_ms: int) -> Operation:
    ended = replace(operation, status=status, update_ms=now_ms, data=None)
    return without_filter(ended) if operation.action is OperationAction.ERASE else ended


def _unique(extras: TaskExtras | None) -> UniqueKey | None:
    kept = inherited(extras)
    return None if kept is None else kept.unique


def _pause_ms(operation: Operation, count: int) -> int:
    return 0 if operation.rate_per_s is None else round(1000 * count / operation.rate_per_s)
