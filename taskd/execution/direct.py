"""Direct execution: a task that runs at once, past the queue, for a client who waits for its result.

The task is as durable as any other: it exists, and has begun, before the invocation leaves. A failure is never
tried again, whatever the function's retry policy says: it is told to the client, who is there to decide.
"""

from msgspec import Struct

from taskd.execution.outcome import Ended, answer_within_s, outcome_of
from taskd.execution.settings import DispatchSettings
from taskd.execution.slots import Slots
from taskd.execution.synchronous import SynchronousCalls, failure_of, final, require_callable
from taskd.model import errors
from taskd.model.clock import Clock
from taskd.model.function import Function
from taskd.model.retry import unknown_outcome
from taskd.model.task import Task, TaskDraft
from taskd.model.wire import encode_task
from taskd.runtime.base import Invocation, Runtime, Success
from taskd.store.base import TaskStore
from taskd.telemetry.metrics import Telemetry

_LOST = "The task was taken from this node while it ran, so its outcome is not known."


class Executed(Struct, frozen=True):
    """A direct execution that went well: the task as it ended, and what the function returned (JSON text)."""

    task: Task
    result: bytes


class DirectExecutions:
    """Executes functions of one store on one runtime."""

    def __init__(
        self,
        store: TaskStore,
        runtime: Runtime,
        settings: DispatchSettings,
        calls: SynchronousCalls,
        *,
        clock: Clock | None = None,
        telemetry: Telemetry | None = None,
    ) -> None:
        self._store = store
        self._runtime = runtime
        self._calls = calls
        self._slots = Slots(settings.max_direct, errors.CONCURRENT_EXECUTIONS, "dispatch.max_direct")
        self._clock = clock or store.now_ms
        self._telemetry = telemetry or Telemetry()

    async def execute(self, function: Function, draft: TaskDraft) -> Executed:
        """Runs a task of ``function`` made from ``draft`` (a direct one) to its end, also if nobody waits any more.

        :raises ContractError: ``FUNCTION_DISABLED``, ``EXECUTION_TIME_LIMIT``, ``CONCURRENT_EXECUTIONS`` or
            ``UNAVAILABLE`` before there is a task; ``NOT_INVOKED`` or ``FUNCTION_FAILED``, with its ``taskId``.
        """
        require_callable(function, errors.EXECUTION_TIME_LIMIT)
        task, result = await self._calls.run(self._run(function, draft))
        if task is None:
            raise failure_of(unknown_outcome(_LOST))
        if isinstance(result, Success):
            return Executed(task, result.payload)
        assert task.error is not None, "what did not succeed has failed"
        raise failure_of(task.error, taskId=task.id)

    async def _run(self, function: Function, draft: TaskDraft) -> tuple[Task | None, Ended]:
        owner = draft.created_by_user_id or draft.created_by_application_id or ""
        with self._slots.slot(owner):
            task = await self._store.add_started(draft)
            self._telemetry.started([task], self._clock())
            call = Invocation(task.id, function.name, encode_task(task), answer_within_s(function), owner)
            result = final(await self._runtime.invoke(call))
            [ended] = await self._store.settle([outcome_of(task, function, result, self._clock())])
            self._telemetry.settled([ended])
            return ended, result
