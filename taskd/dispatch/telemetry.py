"""What dispatching tells the outside: metrics with bounded labels, and the ``task_failed`` event as a log line."""

import logging

from prometheus_client import CollectorRegistry, Counter, Histogram

from taskd.model.status import FINAL, Status
from taskd.model.task import Task

log = logging.getLogger("taskd.events")

_LATENESS_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5, 30, 300)


class Telemetry:
    """The measures of this room, in a registry of their own so that two daemons in one process do not mix."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        registry = registry or CollectorRegistry()
        ended = Counter("taskd_tasks_ended", "Tasks that came to an end.", ["status"], registry=registry)
        self._ended = {status: ended.labels(status.value) for status in FINAL}
        self._started = Counter("taskd_tasks_started", "Invocations begun.", registry=registry)
        self._throttled = Counter("taskd_tasks_throttled", "Invocations refused for now.", registry=registry)
        self._fired = Counter("taskd_schedules_fired", "Tasks made by schedules.", registry=registry)
        self._skipped = Counter(
            "taskd_schedule_occurrences_skipped",
            "Occurrences that had passed when their schedule made its next task, and were left out.",
            registry=registry,
        )
        self._lateness_s = Histogram(
            "taskd_task_lateness_seconds",
            "From when a task was due to when it was handed to the runtime.",
            buckets=_LATENESS_BUCKETS_S,
            registry=registry,
        )

    def started(self, task: Task, now_ms: int) -> None:
        """A task was handed to the runtime."""
        self._started.inc()
        self._lateness_s.observe(max(0, now_ms - task.due_ms) / 1000)

    def throttled(self) -> None:
        """An invocation was refused for now."""
        self._throttled.inc()

    def fired(self, skipped: int) -> None:
        """A schedule made a task, and left out ``skipped`` later occurrences."""
        self._fired.inc()
        self._skipped.inc(skipped)

    def settled(self, task: Task) -> None:
        """A task was settled; publishes ``task_failed`` if it failed."""
        if task.status in self._ended:
            self._ended[task.status].inc()
        if task.status is Status.FAILED and task.error is not None:
            log.warning(
                "task_failed id=%s function=%s type=%s name=%s message=%s",
                *(task.id, task.function_name, task.error.type, task.error.name, task.error.message[:500]),
            )
