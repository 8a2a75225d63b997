"""What dispatching tells the outside: metrics with bounded labels, and the ``task_failed`` event as a log line."""

import logging
from collections import Counter as Counts
from collections.abc import Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge

from taskd.model.api_request import ApiErrorType
from taskd.model.dispatching import Publication
from taskd.model.status import FINAL, Status
from taskd.model.task import Task, TaskError
from taskd.telemetry.lateness import LatenessHistogram

log = logging.getLogger("taskd.events")


class Telemetry:
    """The measures of this room, in a registry of their own so that two daemons in one process do not mix."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        registry = registry or CollectorRegistry()
        ended = Counter("taskd_tasks_ended", "Tasks that came to an end.", ["status"], registry=registry)
        self._ended = {status: ended.labels(status.value) for status in FINAL}
        self._started = Counter("taskd_tasks_started", "Invocations begun.", registry=registry)
        self._throttled = Counter("taskd_tasks_throttled", "Invocations refused for now.", registry=registry)
        self._refused_settlements = Counter(
            "taskd_settlements_refused", "Ends of tasks that were not this node's any more.", registry=registry
        )
        self._fired = Counter("taskd_schedules_fired", "Tasks made by schedules.", registry=registry)
        self._skipped = Counter(
            "taskd_schedule_occurrences_skipped",
            "Occurrences that had passed when their schedule made its next task, and were left out.",
            registry=registry,
        )
        self._held_back = Counter(
            "taskd_schedule_occurrences_held_back",
            "Occurrences that no task stands for: an earlier one had not ended, or it was too late for them.",
            registry=registry,
        )
        self._published = Counter("taskd_events_published", "Events that were kept.", registry=registry)
        self._dispatched = Counter("taskd_events_dispatched_tasks", "Tasks made of events.", registry=registry)
        self._mails = Counter(
            "taskd_events_mails_not_sent", "Mails that dispatchers ask for, and that nobody sends.", registry=registry
        )
        self._withheld = Counter(
            "taskd_events_withheld",
            "Events that no task was made of although a dispatcher asks for one: a chain of failures came to its end.",
            registry=registry,
        )
        calls = Counter("taskd_api_calls", "Calls of API functions, by what went wrong.", ["error"], registry=registry)
        self._api_calls = {kind: calls.labels("none" if kind is None else kind.value) for kind in (None, *ApiErrorType)}
        expired = Counter("taskd_expired", "What was removed for its age.", ["kind"], registry=registry)
        self._expired = [expired.labels(kind) for kind in ("tasks", "apiRequests", "logLines")]
        self._memory = Gauge("taskd_live_tasks_bytes", "Memory that waiting and running tasks take.", registry=registry)
        self._memory_limit = Gauge(
            "taskd_live_tasks_limit_bytes", "Memory past which no more tasks are created.", registry=registry
        )
        self._lateness = LatenessHistogram()
        registry.register(self._lateness)

    def started(self, tasks: Sequence[Task], now_ms: int) -> None:
        """Tasks are handed to the runtime."""
        self._started.inc(len(tasks))
        for task in tasks:
            self._lateness.observe(max(0, now_ms - task.due_ms))

    def took_memory(self, used_bytes: int, limit_bytes: int) -> None:
        """Tasks that wait or run take so much memory now."""
        self._memory.set(used_bytes)
        self._memory_limit.set(limit_bytes)

    def throttled(self) -> None:
        """An invocation was refused for now."""
        self._throttled.inc()

    def fired(self, skipped: int) -> None:
        """A schedule made a task, and left out ``skipped`` later occurrences."""
        self._fired.inc()
        self._skipped.inc(skipped)

    def held_back(self, occurrences: int) -> None:
        """Times of schedules passed that nothing was made for."""
        self._held_back.inc(occurrences)

    def published(self, publication: Publication) -> None:
        """An event was kept, and tasks were made of it; logs what was not done."""
        self._published.inc()
        if publication.tasks:
            self._dispatched.inc(publication.tasks)
        if not publication.mails and publication.withheld is None:
            return
        event = publication.event
        if publication.mails:
            self._mails.inc(publication.mails)
            log.warning(
                "Event %s (%s): %d mails are not sent, taskd sends none.", event.id, event.type, publication.mails
            )
        if publication.withheld is not None:
            self._withheld.inc()
            log.error("Event %s (%s): no task is made of it: %s.", event.id, event.type, publication.withheld)

    def expired(self, *counts: int) -> None:
        """So many tasks, API requests and log lines were removed for their age."""
        for counter, count in zip(self._expired, counts, strict=True):
            counter.inc(count)

    def called(self, error: ApiErrorType | None) -> None:
        """A call of an API function was answered, with an error of this kind or with what the function returned."""
        self._api_calls[error].inc()

    def settled(self, tasks: Sequence[Task | None]) -> None:
        """Tasks were settled; publishes ``task_failed`` for those that failed.

        ``None`` stands for one that was not this node's any more: some other node tells of its end.
        """
        settled = [task for task in tasks if task is not None]
        self._refused_settlements.inc(len(tasks) - len(settled))
        for status, count in Counts(task.status for task in settled).items():
            if status in self._ended:
                self._ended[status].inc(count)
        for task in settled:
            if task.status is Status.FAILED and task.error is not None:
                _publish_failure(task, task.error)


def _publish_failure(task: Task, error: TaskError) -> None:
    log.warning(
        "task_failed id=%s function=%s type=%s name=%s message=%s",
        *(task.id, task.function_name, error.type, error.name, error.message[:500]),
    )
