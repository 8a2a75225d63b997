"""The parts of a daemon that run tasks, in this process: store, runtime and runner; the AWS runtime against a stub."""

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from msgspec import Struct

from taskd.execution.runner import Runner
from taskd.execution.settings import DispatchSettings
from taskd.model.clock import Clock, system_clock_ms
from taskd.model.status import FINAL
from taskd.model.task import Task
from taskd.runtime.aws.runtime import AwsRuntime
from taskd.runtime.aws.settings import AwsSettings
from taskd.runtime.base import Runtime
from taskd.store.embedded.settings import StoreSettings
from taskd.store.embedded.store import EmbeddedStore
from taskd.system.gc_freeze import FrozenHeap, shorten_switch_interval
from taskd.telemetry.metrics import Telemetry

REGION = "eu-west-1"
AWS_ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "not a secret",
    "AWS_REGION": REGION,
    "AWS_DEFAULT_REGION": REGION,
}


class EndCounter(Telemetry):
    """Counts tasks that came to an end."""

    def __init__(self, wanted: int) -> None:
        super().__init__()
        self._left = wanted
        self.reached: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when as many tasks as wanted have ended; raises what dispatching has failed of."""

    def settled(self, tasks: Sequence[Task | None]) -> None:
        """Tasks were settled."""
        super().settled(tasks)
        self._left -= sum(task is not None and task.status in FINAL for task in tasks)
        if self._left <= 0 and not self.reached.done():
            self.reached.set_result(None)

    def fail(self, error: BaseException) -> None:
        """Dispatching goes on no longer."""
        if not self.reached.done():
            self.reached.set_exception(error)


class Engine(Struct, frozen=True):
    """A store that is open, and a runner that has not begun."""

    store: EmbeddedStore
    runner: Runner
    ends: EndCounter


@asynccontextmanager
async def open_store(
    folder: Path, segment_mib: int = 64, clock: Clock = system_clock_ms
) -> AsyncIterator[EmbeddedStore]:
    """A store in ``folder``, with the heap and the interpreter that a daemon has, stopped at the end."""
    shorten_switch_interval()
    store = EmbeddedStore(StoreSettings(data=str(folder), segment_mib=segment_mib), clock)
    heap = FrozenHeap()
    await store.start()
    heap.start()
    try:
        yield store
    finally:
        heap.stop()
        await store.stop()


@asynccontextmanager
async def open_engine(folder: Path, url: str, in_flight: int, wanted: int) -> AsyncIterator[Engine]:
    """An engine on the data in ``folder`` that invokes at ``url``, counts ``wanted`` ends and stops."""
    os.environ.update(AWS_ENVIRONMENT)
    async with open_store(folder) as store:
        runtime = AwsRuntime(AwsSettings(region=REGION, endpoint_url=url))
        await runtime.start([])
        async with running_on(store, runtime, in_flight, wanted) as engine:
            yield engine


@asynccontextmanager
async def running_on(store: EmbeddedStore, runtime: Runtime, in_flight: int, wanted: int) -> AsyncIterator[Engine]:
    """An engine of a store and a runtime that have started; both runner and runtime are stopped at the end."""
    ends = EndCounter(wanted)
    settings = DispatchSettings(max_in_flight=in_flight)
    runner = Runner(store, runtime, settings, on_fatal=ends.fail, telemetry=ends)
    try:
        yield Engine(store, runner, ends)
    finally:
        await runner.drain(10)
        await runtime.stop()
        await runner.join()
