"""What making calls for those who wait takes, whatever kind of call it is."""

from taskd.execution.settings import DispatchSettings
from taskd.execution.synchronous import AttendedCalls
from taskd.model.clock import Clock, system_clock_ms
from taskd.runtime.base import Runtime
from taskd.store.base import TaskStore
from taskd.telemetry.metrics import Telemetry


class Attendant:
    """Makes calls of functions of one store on one runtime."""

    def __init__(
        self,
        store: TaskStore,
        runtime: Runtime,
        settings: DispatchSettings,
        attended: AttendedCalls,
        *,
        clock: Clock = system_clock_ms,
        telemetry: Telemetry | None = None,
    ) -> None:
        self._store = store
        self._runtime = runtime
        self._settings = settings
        self._attended = attended
        self._clock = clock
        self._telemetry = telemetry or Telemetry()
        self._set_up()

    def _set_up(self) -> None:
        """What one kind of call needs beside this."""
