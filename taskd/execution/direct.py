"""Direct execution: a task that runs at once, past the queue, for a client who waits for its result.

The task is as durable as any other: it exists, and has begun, before the invocation leaves. A failure is never
tried again, whatever the function's retry policy says: it is told to the client, who is there to decide.
"""

from msgspec import Struct

from taskd.execution.attendant import Attendant
from taskd.execution.attending import failure_of, final, require_callable
from taskd.execution.outcome import Ended, answer_within_s, outcome_of
from taskd.execution.synchronous import Slots
from taskd.model import errors
from taskd.model.function import Function
from taskd.model.task import Task, TaskDraft
from taskd.model.wire import encode_task
from taskd.runtime.base import FunctionError, Invocation, Success


class Executed(Struct, frozen=True):
    """A direct execution that went well: the task as it ended, and what the function returned (JSON text)."""

    task: Task
    result: bytes


class DirectExecutions(Attendant):
    """Executes functions."""

    def _set_up(self) -> None:
        self._slots = Slots(self._settings.max_direct, errors.CONCURRENT_EXECUTIONS, "dispatch.max_direct")

    async def execute(self, function: Function, draft: TaskDraft) -> Executed:
        """Runs a task of ``function`` made from ``draft`` (a direct one) to its end, also if nobody waits any more.

        :raises ContractError: ``FUNCTION_DISABLED``, ``EXECUTION_TIME_LIMIT``, ``CONCURRENT_EXECUTIONS`` or
            ``UNAVAILABLE`` before there is a task; ``NOT_INVOKED`` or ``FUNCTION_FAILED``, with its ``taskId``.
        """
        require_callable(function, errors.EXECUTION_TIME_LIMIT)
        task, result = await self._attended.attend(self._run(function, draft))
        if isinstance(result, Success):
            return Executed(task, result.payload)
        assert task.error is not None, "what did not succeed has failed"
        raise failure_of(task.error, taskId=task.id)

    async def _run(self, function: Function, draft: TaskDraft) -> tuple[Task, Ended]:
        with self._slots.slot():
            task = await self._store.add_started(draft)
            self._telemetry.started([task], self._clock())
            call = Invocation(task.id, function.name, encode_task(task), answer_within_s(function))
            result = final(await self._runtime.invoke(call))
            return await self._settle(task, function, result), result

    async def _settle(self, task: Task, function: Function, result: Ended) -> Task:
        if isinstance(result, Success | FunctionError) and result.logs:
            await self._store.append_logs([(task.id, result.logs)])
        [ended] = await self._store.settle([outcome_of(task, function, result, self._clock())])
        self._telemetry.settled([ended])
        return ended
