"""The seam: the one protocol through which everything above touches tasks, whichever store keeps them.

Every verb is durable when it returns, and all-or-nothing. Nothing above the seam knows of files, heaps, SQL, or of how
many processes there are. A *node* is one process with an open store; any number of nodes may share what a store keeps,
as far as the store says so. What a node claims is its own until it settles it, or until it is dead; who is dead is
for the store to say.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from enum import Enum
from types import MappingProxyType
from typing import Generic, Protocol, TypeVar

from msgspec import Struct

from taskd.model.api_request import ApiRequest
from taskd.model.delivery import Attempt, Delivery
from taskd.model.dispatcher import Dispatcher, DispatcherDraft
from taskd.model.dispatching import Publication
from taskd.model.errors import ILLEGAL_STATE, UNAVAILABLE, ContractError
from taskd.model.event import Event, EventDraft, Subscription, SubscriptionDraft
from taskd.model.function import Function
from taskd.model.idempotency import IdempotencyKey
from taskd.model.logline import LogLine
from taskd.model.operation import Objection as OperationObjection
from taskd.model.operation import Operation, OperationDraft
from taskd.model.operation import no_objection as no_operation_objection
from taskd.model.pause import Pause
from taskd.model.retention import Retention
from taskd.model.schedule import Schedule, ScheduleDraft
from taskd.model.task import Task, TaskDraft, TaskError
from taskd.model.webhook import Webhook, WebhookDraft
from taskd.rql.query import Node as RqlNode
from taskd.rql.query import Query

T = TypeVar("T")

NO_FUNCTIONS: frozenset[str] = frozenset()


class Completed(Struct, frozen=True, gc=False):
    """The function returned, and printed ``logs``."""

    task_id: str
    logs: tuple[LogLine, ...] = ()


class Failed(Struct, frozen=True, gc=False):
    """The task ended badly, and nothing follows."""

    task_id: str
    error: TaskError
    logs: tuple[LogLine, ...] = ()


class Retried(Struct, frozen=True, gc=False):
    """The task ended badly, and ``successor`` takes its place in the same atomic step."""

    task_id: str
    error: TaskError
    successor: TaskDraft
    logs: tuple[LogLine, ...] = ()


class Requeued(Struct, frozen=True, gc=False):
    """The function did not run; the task is due again at ``not_before_ms``."""

    task_id: str
    not_before_ms: int


class UniqueResult(Struct, frozen=True, gc=False):
    """What a creation is answered with."""

    task: Task
    conflict: bool = False
    """Whether the task was there already, with the key of the one that was asked for."""


Outcome = Completed | Failed | Retried | Requeued


class Occurrence(Struct, frozen=True, gc=False):
    """What a schedule made when it was due, and how many later occurrences had passed by then and were left out.

    Where they had to be looked for one by one, no more than :data:`taskd.model.firing.COUNTED_MAX` were counted.
    """

    task: Task
    skipped: int


class Fired(Struct, frozen=True):
    """What became of schedules that were due."""

    occurrences: list[Occurrence]
    paused: list[Schedule]
    """Those that were paused, because of an objection or since they cannot go on, as they are now."""
    held_back: int = 0
    """How many times passed that nothing was made for: an earlier task had not ended, or it was too late for them."""


Objection = Callable[[Schedule], str | None]
"""Why a schedule may not make tasks any more, for people; ``None`` if it may. Must not wait for anything."""
ScheduleChange = Callable[[Schedule], Schedule]
"""What becomes of a schedule as it is now. Must not wait for anything."""


DispatcherChange = Callable[[Dispatcher], Dispatcher]
"""What becomes of a dispatcher as it is now. Must not wait for anything."""
WebhookChange = Callable[[Webhook], Webhook]
"""What becomes of a webhook as it is now. Must not wait for anything."""


class FannedOut(Struct, frozen=True):
    """What became of events that webhooks are to be told of."""

    events: int
    """How many were looked at."""
    deliveries: int
    disabled: list[Webhook]
    """Those for which too many deliveries would wait, as they are now."""


def no_objection(schedule: Schedule) -> None:
    """For those who let every schedule make tasks."""


class Page(Struct, Generic[T], frozen=True):
    """One page of a listing. ``total`` is ``None`` where the query said not to count."""

    rows: list[T]
    total: int | None
    apart: Mapping[int, int] = MappingProxyType({})
    """The rows, by their place, that came without their long data, and how many bytes it has."""
    scanned: bool = False
    """Whether everything there is had to be looked at."""


class Node(Struct, frozen=True):
    """A process that takes part. ``id`` is of this incarnation: a process that starts anew is another node."""

    id: str
    host: str
    started_ms: int
    beat_ms: int
    """When the node last showed that it lives."""


class Expired(Struct, frozen=True):
    """How much was removed since it was over for longer than it is kept."""

    tasks: int
    api_requests: int
    log_lines: int
    """Those that went before their task or API request."""
    is_last: bool
    """Whether everything there is was looked at since the last time that it was."""


class MemoryUse(Struct, frozen=True):
    """What the tasks that wait or run take of this node's memory, and past what none are created."""

    used_bytes: int
    limit_bytes: int


class StoreStatus(Struct, frozen=True):
    """How the store is, as this node sees it."""

    due: int
    """Tasks that are due and wait; those of functions that are held back count, too."""
    trouble: str | None
    """What is wrong now, for people; ``None`` when all is well."""
    lost_history: str | None
    """Which part of the history of ended tasks was found lost, for people."""
    nodes: tuple[Node, ...]
    """All that live, this one first."""
    indexing: str | None = None
    """Which indexes are being built, for people."""
    memory: MemoryUse | None = None
    """``None`` where tasks are not kept in memory."""


class Change(Enum):
    """What a node can ask to be told of."""

    DUE = "due"
    """Work may be due earlier than the last claim that came back empty could tell."""
    SCHEDULES = "schedules"
    """A schedule may be due earlier than ``next_fire_ms`` said."""
    OPERATIONS = "operations"
    """An operation may have something to do earlier than ``next_operation_ms`` said."""
    DELIVERIES = "deliveries"
    """There may be something to deliver, or to make deliveries of, earlier than was known."""
    FUNCTIONS = "functions"
    """Another node has changed what ``functions`` gives. A node's own changes are known to whoever made them."""


class StoreUnavailableError(ContractError):
    """The store cannot make anything durable now; nothing was changed."""

    def __init__(self, message: str) -> None:
        super().__init__(UNAVAILABLE, message)


class FunctionChangedError(ContractError):
    """The function is not, or no longer, what the caller took it for; nothing was changed. Read it anew."""

    def __init__(self, name: str) -> None:
        super().__init__(ILLEGAL_STATE, f"The function {name} was changed by somebody else just now; try again.")


class Lifecycle(Protocol):
    """A node takes part from :meth:`start` to :meth:`stop`."""

    async def start(self) -> None:
        """Opens the store, and recovers what needs it."""

    async def stop(self) -> None:
        """Makes everything durable and closes the store. Idempotent."""

    def now_ms(self) -> int:
        """The clock that decides what is due: every node's, whatever its own says."""

    async def status(self) -> StoreStatus:
        """What is due, what is wrong, which nodes there are."""

    def on_change(self, change: Change, callback: Callable[[], None]) -> None:
        """``callback`` is called, on the event loop, after such a change; changes close together may be one call.

        A hint that may be late, or lost with the connection it came by: whoever acts on it looks now and then anyway.
        """


class TaskQueue(Protocol):
    """What becomes of tasks. Unknown ids raise ``ContractError(RESOURCE_UNKNOWN)``.

    Ids ascend in the order in which one node creates. Among equally urgent tasks the one that was created first goes
    first; between nodes that create at the same time the store decides, once and for all.
    """

    async def add(self, drafts: Sequence[TaskDraft], key: IdempotencyKey | None = None) -> list[Task]:
        """The tasks exist, in this order, and will be offered when due.

        With a ``key`` that was used before and has not expired, nothing is added: gives the tasks of that first use,
        as they are now. Raises ``ContractError``: ``ILLEGAL_ARGUMENT`` if the key came with another request then,
        ``RESOURCE_UNKNOWN`` if those tasks are gone, ``TOO_MANY_REQUESTS`` if no more keys can be remembered.
        """

    async def add_unique(self, drafts: Sequence[TaskDraft], key: IdempotencyKey | None = None) -> list[UniqueResult]:
        """As :meth:`add`, which looks at no unique keys; gives for each, in this order, a new task or who has its key.

        Of any number of calls at once, on any nodes, one makes the task of a key; two with the same key in one call are
        as two calls, one after the other. A waiting task takes over what ``OnConflict.REPLACE`` says: data, start,
        priority, and in whose name it is; nothing comes between that and its start. ``key`` has what was answered
        answered again. Raises ``ContractError`` as :meth:`add` does, ``TOO_MANY_REQUESTS`` also if no more unique keys
        can be remembered, ``RESOURCE_UNKNOWN`` if who has a key is gone; ``UniqueConflictError``, which is one.
        """

    async def add_started(self, draft: TaskDraft) -> Task:
        """The task exists and is durably in progress by this node on return: no ``claim`` ever offers it.

        Not to be cancelled: the task would be in progress with nobody to run it. Raises ``ContractError``:
        ``CONCURRENT_EXECUTIONS`` if its function's start rules have no room for it.
        """

    async def claim(self, limit: int, held: Collection[str] = NO_FUNCTIONS) -> list[Task]:
        """Up to ``limit`` due tasks, best first, but none of the functions ``held``.

        Nor any for which its function's start rules have no room: neither now nor ever are more in progress, on all
        nodes together, than these allow. What ended as ``zombieTaskCleaned`` counts for as long as it may still run.
        Tasks of one function and priority whose keys differ take turns.

        They are durably in progress by this node on return. What is held back stands in nobody's way.
        Not to be cancelled: the tasks would be in progress with nobody to run them.
        """

    async def settle(self, outcomes: Sequence[Outcome]) -> list[Task | None]:
        """Applies each outcome whose task is in progress by this node, log lines along with it.

        Gives for each, in the same order, the task as it is now; or ``None`` where the task was not, or no longer, this
        node's to settle, which changes nothing and concerns no other outcome. Never raises ``StoreUnavailableError``:
        an outcome is not given up, so this waits as long as it takes.
        """

    async def reap(self, limit: int) -> list[Task]:
        """Settles up to ``limit`` tasks that dead nodes had claimed: nobody can know whether they ran to their end.

        Each fails as ``zombieTaskCleaned``, or is retried where its function's policy covers that. Gives them as they
        are now; none when no dead node has left anything. As :meth:`settle`, never unavailable.
        """

    async def cancel(self, task_id: str) -> Task:
        """``new`` becomes ``canceled``; ``ContractError(ILLEGAL_STATE)`` from any other status."""

    def next_due_ms(self) -> int | None:
        """When a claim will next have something, as far as this node knows; ``None`` if no task waits."""


class TaskRecords(Protocol):
    """What tasks are and were."""

    async def get(self, task_id: str) -> Task:
        """The task as it is now."""

    async def ended(self, task_id: str) -> Task:
        """The task as it is once it is final: returns when that is so, whichever node ends it. May be cancelled."""

    async def find(
        self, query: Query, *, on_behalf_of: str | None = None, apart_from_bytes: int | None = None
    ) -> Page[Task]:
        """A page of tasks, including everything added or settled by this node before the call.

        Tasks whose data has ``apart_from_bytes`` or more come with empty ``data`` and are in the page's ``apart``; it
        is read with ``read_data``. So a page takes little memory however large its tasks are.

        ``on_behalf_of`` is a key of whoever asks: where listings must wait for one another, callers take turns, so that
        those of one caller hold up another's by no more than one of theirs. Those without a key are one caller's.

        Raises ``ContractError``: ``INVALID_RQL`` for a value a field cannot have, ``LONG_QUERY`` past the time limit.
        """

    async def read_data(self, task_id: str, begin: int, size_bytes: int) -> bytes:
        """The part of a task's ``data`` from byte ``begin`` on, up to ``size_bytes`` of it. It never changes.

        Raises ``ContractError``: ``RESOURCE_UNKNOWN`` if the task is gone.
        """

    async def delete_tasks(self, ids: Collection[str]) -> int:
        """Those of these tasks that have ended are gone for good, their log lines with them; gives how many these were.

        Others stay as they are: those that wait or run, and ids that nobody knows. A thousand at once are enough.
        """


class FunctionRegistry(Protocol):
    """What can be run. A node has a view of all functions in memory, since it is asked for with every task.

    The view is as new as the node's own last change and the last ``Change.FUNCTIONS``; what it may miss for that long
    is decided anew by :meth:`put_function`, which compares with what is kept, not with the view.
    """

    def function(self, name: str) -> Function | None:
        """The function of this name in this node's view, if it is known."""

    def functions(self) -> list[Function]:
        """All functions in this node's view, by name."""

    def paused_functions(self) -> Collection[str]:
        """The names of the paused ones in this node's view. Asked for with every claim."""

    async def put_function(self, function: Function, expected: Function | None) -> None:
        """The function is known under its name from now on, in the place of ``expected``.

        ``None`` expects that there is none of this name. Raises :class:`FunctionChangedError` if it is otherwise; this
        node's view then is as new as what was found.
        """

    async def remove_function(self, name: str) -> None:
        """The function is no longer known; its tasks and logs stay."""


class Pausable(Protocol):
    """Everything can be paused: nothing is started then, by any node, over restarts, too; what runs goes on."""

    async def pause_all(self, pause: Pause) -> Pause:
        """Once this returns nothing more is claimed, and ``add_started`` raises ``ContractError`` (``UNAVAILABLE``).

        Gives the pause as it is now: if there was one already, it lasts from then on.
        """

    async def resume_all(self) -> None:
        """What is due is claimed again, by every node."""

    def pause(self) -> Pause | None:
        """The pause in this node's view, ``None`` if there is none."""


class ScheduleRegistry(Protocol):
    """What makes tasks again and again."""

    async def add_schedule(self, draft: ScheduleDraft) -> Schedule:
        """The schedule exists, and will be fired; ``ContractError(ILLEGAL_STATE)`` if there are too many."""

    async def remove_schedule(self, schedule_id: str) -> None:
        """The schedule makes no more tasks; those it made stay."""

    async def schedule(self, schedule_id: str) -> Schedule:
        """The schedule as it is now; ``ContractError(RESOURCE_UNKNOWN)`` if there is none of this id."""

    async def change_schedule(self, schedule_id: str, change: ScheduleChange) -> Schedule:
        """The schedule is from now on what ``change`` makes of it; gives it as it is then.

        Nothing comes between. What ``change`` raises is raised, and nothing has changed then; so it is if it gives the
        schedule as it was.
        """

    async def find_schedules(self, query: Query) -> Page[Schedule]:
        """A page of schedules; raises what ``find`` raises."""

    async def fire(self, limit: int, objection: Objection = no_objection) -> Fired:
        """Up to ``limit`` due schedules have taken their step, as :func:`taskd.model.firing.fire` has it, all in one.

        So each has made one task or none, and moved on to its next time; what is still due is for the next call.
        Those that there is an ``objection`` to are paused instead, in the same step. Of any number of nodes that call
        this at once, one makes a given occurrence.
        """

    def next_fire_ms(self) -> int | None:
        """When ``fire`` will next have something, as far as this node knows; ``None`` if there is no schedule."""


class OperationRecords(Protocol):
    """What is done to many tasks, a few at a time. See :mod:`taskd.model.operation`."""

    async def add_operation(
        self, draft: OperationDraft, where: RqlNode, *, on_behalf_of: str | None = None
    ) -> Operation:
        """The operation exists, with all tasks that satisfy ``where`` now: what happens later changes nothing of that.

        With a key that was used before and has not expired, gives the operation of that first use. ``on_behalf_of`` as
        for ``find``. Raises ``ContractError``: ``ILLEGAL_ARGUMENT`` if the key came with another request then,
        ``TOO_MANY_REQUESTS`` if as many run as may, and what ``find`` raises.
        """

    async def advance_operations(
        self, limit: int, objection: OperationObjection = no_operation_objection
    ) -> list[Operation]:
        """Of each operation that is due, up to ``limit`` matches have had their turn, in the order of their creation.

        What was done to them and how far the operation is are one step: of any number of nodes that call this at once,
        whatever becomes of them, one does it. Gives the operations that have moved on or ended, as they are now. Those
        that there is an ``objection`` to fail; what cannot go on now has a ``wait_reason``, and is tried again.
        """

    async def abort_operation(self, operation_id: str) -> Operation:
        """No more of its matches have their turn; ``ContractError(ILLEGAL_STATE)`` if it has ended."""

    async def operation(self, operation_id: str) -> Operation:
        """The operation as it is now; ``ContractError(RESOURCE_UNKNOWN)`` if there is none, or no more, of this id."""

    async def find_operations(self, query: Query) -> Page[Operation]:
        """A page of operations; raises what ``find`` raises."""

    def next_operation_ms(self) -> int | None:
        """When ``advance_operations`` will next have something, as far as this node knows; ``None`` if none runs."""


class WebhookRegistry(Protocol):
    """Whom to tell of what happens."""

    async def add_webhook(self, draft: WebhookDraft) -> Webhook:
        """The webhook exists, and is told of what happens from now on.

        Raises ``ContractError(ILLEGAL_STATE)`` if there are too many.
        """

    async def remove_webhook(self, webhook_id: str) -> None:
        """The webhook is gone, with all that waits for it and all that is known of what was delivered to it."""

    async def webhook(self, webhook_id: str) -> Webhook:
        """The webhook as it is now; ``ContractError(RESOURCE_UNKNOWN)`` if there is none of this id."""

    async def change_webhook(self, webhook_id: str, change: WebhookChange) -> Webhook:
        """The webhook is from now on what ``change`` makes of it; otherwise as :meth:`change_schedule`."""

    async def find_webhooks(self, query: Query) -> Page[Webhook]:
        """A page of webhooks; raises what ``find`` raises."""


class Deliveries(Protocol):
    """What webhooks are told. A delivery is made for each event that a webhook wants, once, and made durably.

    The end of a task is such an event. Whoever ends it does not wait for that: what is *owed* since is kept with it.
    """

    async def fan_out(self, limit: int) -> FannedOut:
        """For up to ``limit`` events that are owed, the deliveries to every enabled webhook that wants them exist.

        All in one step, after which these are owed no more. A webhook for which too many would wait is disabled.
        Of any number of nodes that call this at once, one makes the deliveries of a given event.
        """

    def due_webhooks(self) -> list[str]:
        """The ids of enabled webhooks with deliveries that are due, as far as this node knows."""

    async def begin_deliveries(self, webhook_id: str, limit: int) -> list[Delivery]:
        """Up to ``limit`` due deliveries to an enabled webhook, the longest due first: this node's to attempt.

        No other call gives them, until they are settled or this node is dead: then they are attempted once more.
        """

    async def settle_deliveries(self, attempts: Sequence[Attempt]) -> list[Delivery | None]:
        """Each is as :func:`taskd.model.delivery.after` has it; gives them so, ``None`` for those that are gone.

        Raises ``StoreUnavailableError``: nothing has changed, and they are still this node's.
        """

    async def deliver(self, webhook_id: str, event_type: str, subject_id: str, content: bytes) -> Delivery:
        """A delivery to this webhook exists, whatever the webhook wants to be told of."""

    async def redeliver(self, webhook_id: str, delivery_id: str) -> Delivery:
        """The delivery is attempted at once, and as often as a new one, whatever became of it before.

        Raises ``ContractError(RESOURCE_UNKNOWN)`` if there is none of this id to this webhook.
        """

    async def find_deliveries(self, webhook_id: str, query: Query) -> Page[Delivery]:
        """A page of the deliveries to a webhook, the newest of those that have ended and all that wait; as ``find``."""

    async def forget_deliveries(self, subject_ids: Sequence[str]) -> None:
        """Nothing about these is delivered any more, and nothing known of what was."""

    def next_delivery_ms(self) -> int | None:
        """When something is to be delivered, or to be fanned out, as far as this node knows; ``None`` if nothing is."""


class LogRecords(Protocol):
    """What functions printed. Log lines are seen by the next reader; they are not promised to survive a power cut."""

    async def replace_logs(self, task_id: str, lines: Sequence[LogLine]) -> None:
        """Keeps these lines in place of those that were kept for this id: the whole log, where it comes late."""

    async def find_logs(self, task_id: str, since_ms: int, offset: int, limit: int) -> list[LogLine]:
        """Log lines of a task or an API request from ``since_ms`` on, in the order they were printed.

        Up to ``limit``, but none after those that reach ``LOG_PAGE_MAX_BYTES`` together.
        """

    async def find_function_logs(
        self,
        function_name: str,
        since_ms: int,
        until_ms: int,
        offset: int,
        limit: int,
        *,
        on_behalf_of: str | None = None,
    ) -> list[LogLine]:
        """Log lines of all tasks of a function from ``since_ms`` to ``until_ms``, both included, oldest first.

        As many as ``find_logs`` gives.
        ``on_behalf_of`` as for ``find``. Raises ``ContractError``: ``LONG_QUERY`` past the time limit.
        """


class ApiRequestRecords(Protocol):
    """What calls of API functions left behind; the newest of them are kept."""

    async def begin_api_request(self) -> str:
        """The id for an API request that comes in now; raises ``StoreUnavailableError`` if it could not be kept."""

    async def end_api_request(self, request: ApiRequest, lines: Sequence[LogLine]) -> None:
        """Keeps the request and what its function printed. Seen by the next reader; may not survive a power cut."""

    async def api_request(self, request_id: str) -> ApiRequest:
        """The API request of this id."""

    async def find_api_requests(self, query: Query, *, on_behalf_of: str | None = None) -> Page[ApiRequest]:
        """A page of API requests, including every one that ended before the call; otherwise as ``find``."""


class EventRecords(Protocol):
    """What has happened. A task that fails for good has its ``task_failed`` published in the step that it ends in.

    Where there is no room for that then, the event is owed: the task ends nevertheless, and :meth:`publish_owed` does
    the rest. Every event comes with the tasks that dispatchers make of it, in one step.
    """

    async def publish(self, draft: EventDraft) -> Event:
        """The event is kept, and so is a task for every action of every dispatcher of its type, all or none.

        With an ``id`` that its sender has used before, and not a day ago, nothing is kept or made: gives that event.
        Raises ``ContractError``: ``ILLEGAL_ARGUMENT`` if it was another event then, ``BODY_TOO_LARGE`` if its tasks
        would be too large together, ``TOO_MANY_REQUESTS`` if there is no room for them or for one more id.
        """

    async def publish_owed(self, limit: int) -> int:
        """Publishes up to ``limit`` owed events; gives how many are owed no more. Raises what :meth:`publish` does."""

    def on_published(self, callback: Callable[[Publication], None]) -> None:
        """``callback`` is called, on the event loop, after each event that this node has published."""

    async def find_events(self, query: Query, *, on_behalf_of: str | None = None) -> Page[Event]:
        """A page of events, including every one published by this node before the call; otherwise as ``find``."""

    async def delete_events_before(self, before_ms: int, limit: int) -> int:
        """The oldest events, up to ``limit`` of those older than that, are gone; gives how many."""

    async def add_subscription(self, draft: SubscriptionDraft) -> Subscription:
        """The subscription is kept; ``ContractError(ILLEGAL_STATE)`` if there are too many."""

    async def find_subscriptions(self, query: Query) -> Page[Subscription]:
        """A page of subscriptions; raises what ``find`` raises."""


class DispatcherRegistry(Protocol):
    """What is to be done when there is an event. ``ContractError(RESOURCE_UNKNOWN)`` where there is none of an id.

    Both verbs that put one raise what :func:`taskd.model.dispatcher.require_fit` does.
    """

    async def add_dispatcher(self, draft: DispatcherDraft) -> Dispatcher:
        """Events that are published from now on are seen by it. It and its actions have got their ids."""

    async def change_dispatcher(self, dispatcher_id: str, change: DispatcherChange) -> Dispatcher:
        """The dispatcher is from now on what ``change`` makes of it, where actions without an id get one.

        Nothing comes between. What ``change`` raises is raised, and nothing has changed then.
        """

    async def remove_dispatcher(self, dispatcher_id: str) -> None:
        """It makes no more tasks; those that it made stay."""

    async def find_dispatchers(self, query: Query) -> Page[Dispatcher]:
        """A page of dispatchers; raises what ``find`` raises."""


class ExpiringRecords(Protocol):
    """What is over, and kept for a while."""

    async def expire(self, retention: Retention) -> Expired:
        """A bit of what is over for longer than it is kept is gone, tasks with their log lines.

        How long that is, a function says itself, or else ``retention`` does. Called again and again it gets to all of
        it, and then begins anew. Each call takes some milliseconds and holds nothing else up.
        """


class ErasableRecords(Protocol):
    """What must be gone so that nobody can find it any more, however they look."""

    async def erase_tasks(self, ids: Collection[str]) -> int:
        """As ``delete_tasks``; and nothing that stays names these tasks, or knows what was asked for in creating them.

        Events that name these tasks, or that they were made of, are gone, and so is what webhooks were told of them, or
        were still to be. Where another task did name one, as what it
        is a retry or a replay of, it has an id that no task has. What the files hold of them goes with the next
        ``purge``. Call it again if it fails.
        Events that name these tasks, or that they were made of, are gone, and nobody is told of any of these any more.
        Where another task did name one, as what it is a retry or a replay of, it has an id that no task has. What the
        files hold of them goes with the next ``purge``. Call it again if it fails.
        """

    async def purge(self) -> None:
        """No file of the store has anything any more of what was deleted, removed or erased before the call.

        Damaged files that were put aside are deleted. May take seconds for each million tasks, in which listings wait.
        Raises ``StoreUnavailableError`` if it cannot be done now; whatever has been done of it stays so.
        """


class TaskStore(
    Lifecycle,
    TaskQueue,
    TaskRecords,
    FunctionRegistry,
    ScheduleRegistry,
    EventRecords,
    DispatcherRegistry,
    Pausable,
    OperationRecords,
    LogRecords,
    ApiRequestRecords,
    ExpiringRecords,
    ErasableRecords,
    WebhookRegistry,
    Deliveries,
    Protocol,
):
    """All of it behind one: what a node opens."""
