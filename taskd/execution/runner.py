"""Running what is due: claim, invoke, settle.

The loop claims as many due tasks as there are free slots, in one durable step, and hands each to the runtime.
What comes back within one turn of the event loop is settled together, in one durable step.
"""

import asyncio
import contextlib
import logging
import random
from collections.abc import Callable, Collection, Sequence
from functools import partial

from taskd.execution.backoff import EVERY_FUNCTION, FunctionPauses, InFlightLimit
from taskd.execution.outcome import Ended, answer_within_s, outcome_of
from taskd.execution.settings import DispatchSettings
from taskd.model import limits
from taskd.model.clock import Clock
from taskd.model.task import FUNCTION_DISABLED_ERROR_NAME, Task
from taskd.model.wire import encode_task
from taskd.runtime.base import (
    FunctionError,
    Invocation,
    InvocationError,
    InvocationResult,
    Runtime,
    Success,
    Throttled,
)
from taskd.store.base import Change, Outcome, Requeued, StoreUnavailableError, TaskStore
from taskd.system.background import AT_ONCE, LOOK_AGAIN_S, BackgroundLoop
from taskd.telemetry.metrics import Telemetry

log = logging.getLogger(__name__)

_RAN = (Success, FunctionError)
_CLAIMED_AT_ONCE = 256
"""Beginning a task takes some 25 µs; between batches the event loop gets to everything else."""


class Runner:
    """Runs the tasks of one store on one runtime. :meth:`start` and :meth:`drain` bracket its life."""

    def __init__(
        self,
        store: TaskStore,
        runtime: Runtime,
        settings: DispatchSettings,
        *,
        clock: Clock | None = None,
        on_fatal: Callable[[BaseException], None] | None = None,
        telemetry: Telemetry | None = None,
        rng: random.Random | None = None,
    ) -> None:
        """``on_fatal`` is told of a fault that running tasks cannot go on after; the daemon is to end then."""
        self._store = store
        self._runtime = runtime
        self._clock = clock or store.now_ms
        self._telemetry = telemetry or Telemetry()
        self._limit = InFlightLimit(settings.max_in_flight)
        self._pauses = FunctionPauses(rng or random.Random())  # noqa: S311 - jitter, not secrets
        self._loop = BackgroundLoop("runner", self._step, self._clock, on_fatal)
        self._idle = asyncio.Event()
        self._idle.set()
        self._in_flight = 0
        self._ended: list[tuple[Task, InvocationResult | Requeued]] = []
        self._settling: set[asyncio.Task[None]] = set()

    @property
    def in_flight(self) -> int:
        """Invocations that have not been answered yet."""
        return self._in_flight

    @property
    def allowed(self) -> int:
        """How many invocations may be in flight now, after throttling."""
        return self._limit.allowed

    async def start(self) -> None:
        """Begins to claim."""
        self._store.on_change(Change.DUE, self._loop.wake)
        self._loop.start()

    async def drain(self, grace_s: float) -> int:
        """Claims no more, and waits for what runs, at most ``grace_s``. Gives how many still run. Idempotent."""
        await self._loop.stop()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(grace_s):
                await self._idle.wait()
        return self._in_flight

    async def join(self) -> None:
        """Waits until all that was claimed is settled. The runtime has stopped, so every call has its answer."""
        await self._idle.wait()

    async def _step(self) -> int | None:
        """Begins what may run now; returns when to look again."""
        free = self._limit.allowed - self._in_flight
        if free <= 0:
            return None
        steady_ms = _steady_ms()
        pause_ms = self._pauses.wait_ms(EVERY_FUNCTION, steady_ms)
        if pause_ms is not None:
            return self._clock() + pause_ms
        tasks = await self._claim(min(free, _CLAIMED_AT_ONCE), self._held(steady_ms))
        if not tasks:
            return self._next_claim_ms(steady_ms)
        self._begin_all(tasks)
        return AT_ONCE

    def _held(self, steady_ms: int) -> Collection[str]:
        """Functions that are throttled for the moment, or paused until somebody resumes them."""
        throttled, paused = self._pauses.paused(steady_ms), self._store.paused_functions()
        return {*throttled, *paused} if paused else throttled

    async def _claim(self, free: int, held: Collection[str]) -> list[Task]:
        try:
            return await self._store.claim(free, held)
        except StoreUnavailableError as error:
            log.warning("Nothing is claimed for now: %s", error)
            await asyncio.sleep(LOOK_AGAIN_S)
            return []

    def _next_claim_ms(self, steady_ms: int) -> int | None:
        """When a task is due, or a pause ends that may have held one back."""
        due_ms, pause_ms = self._store.next_due_ms(), self._pauses.first_end_in_ms(steady_ms)
        if pause_ms is None:
            return due_ms
        return self._clock() + pause_ms if due_ms is None else min(due_ms, self._clock() + pause_ms)

    def _begin_all(self, tasks: Sequence[Task]) -> None:
        now_ms, steady_ms = self._clock(), _steady_ms()
        self._in_flight += len(tasks)
        self._idle.clear()
        self._telemetry.started(tasks, now_ms)
        for task in tasks:
            self._begin(task, now_ms, steady_ms)

    def _begin(self, task: Task, now_ms: int, steady_ms: int) -> None:
        function = self._store.function(task.function_name)
        wait_ms = self._pauses.wait_ms(task.function_name, steady_ms)
        if function is not None and not function.enabled:
            message = f"The function {function.name} is disabled; enable it and create the task anew."
            self._note(task, InvocationError(FUNCTION_DISABLED_ERROR_NAME, message))
        elif wait_ms is not None:
            self._note(task, Requeued(task.id, now_ms + wait_ms))
        else:
            call = Invocation(task.id, task.function_name, encode_task(task), answer_within_s(function))
            self._runtime.begin(call, partial(self._note, task))

    def _note(self, task: Task, result: InvocationResult | Requeued) -> None:
        """Frees the slot, and has the result settled with all others of this turn of the event loop."""
        self._in_flight -= 1
        if not self._ended:
            asyncio.get_running_loop().call_soon(self._settle_soon)
        self._ended.append((task, result))

    def _settle_soon(self) -> None:
        batch, self._ended = self._ended, []
        settling = asyncio.create_task(self._settle(batch), name="settle")
        self._settling.add(settling)
        settling.add_done_callback(self._settled)

    def _settled(self, settling: "asyncio.Task[None]") -> None:
        self._settling.discard(settling)
        self._loop.watch(settling)
        if not self._in_flight and not self._settling and not self._ended:
            self._idle.set()

    async def _settle(self, batch: Sequence[tuple[Task, InvocationResult | Requeued]]) -> None:
        outcomes = [self._outcome(task, result) for task, result in batch]
        self._loop.wake()  # not before: what the results say of pauses and of the limit decides what may be claimed
        self._telemetry.settled(await self._store.settle(outcomes))

    def _outcome(self, task: Task, result: InvocationResult | Requeued) -> Outcome:
        if isinstance(result, _RAN):
            self._limit.succeeded()
            self._pauses.succeeded(task.function_name)
        elif isinstance(result, Requeued):
            return result
        elif isinstance(result, Throttled):
            return self._held_back(task, result)
        return self._end(task, result)

    def _held_back(self, task: Task, refusal: Throttled) -> Outcome:
        """The function did not run: the task waits, and so does everything if nothing can be run."""
        steady_ms = _steady_ms()
        self._telemetry.throttled()
        if not refusal.overload and not refusal.everything:
            waited_ms = self._pauses.not_ready_for_ms(task.function_name, steady_ms)
            if waited_ms > limits.NOT_READY_MAX_S * 1000:
                return self._end(task, InvocationError(refusal.reason, "The function did not become ready in time."))
        if refusal.everything and refusal.overload:
            self._limit.refused(steady_ms)
        elif refusal.everything:  # to try the other tasks, too, would only claim and requeue them again and again
            self._pauses.refused(EVERY_FUNCTION, steady_ms, refusal.retry_after_s)
        wait_ms = self._pauses.refused(task.function_name, steady_ms, refusal.retry_after_s)
        return Requeued(task.id, self._clock() + wait_ms)

    def _end(self, task: Task, result: Ended) -> Outcome:
        return outcome_of(task, self._store.function(task.function_name), result, self._clock())


def _steady_ms() -> int:
    """The event loop's clock, in milliseconds: it is never set, and has no beginning that means anything."""
    return int(asyncio.get_running_loop().time() * 1000)
