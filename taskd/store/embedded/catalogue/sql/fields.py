"""Which fields a resource has on the wire, and where the catalogue keeps them."""

from collections.abc import Mapping

from msgspec import Struct

from taskd.rql.coerce import Kind


class Field(Struct, frozen=True):
    """One field: ``column`` is the SQL that reads it, NULL where the field is absent; JSON is kept as text."""

    column: str
    kind: Kind
    indexed: bool = False
    """Whether records are found by its values, and come in their order, without a look at the others."""


class Resource(Struct, frozen=True):
    """The fields of a resource by their names on the wire.

    ``oldest_first`` is the order of a listing that asks for none, ``sequence`` the column that breaks ties in any.
    """

    fields: Mapping[str, Field]
    sequence: str = "seq"
    oldest_first: str = "seq"


class KeptCounts(Struct, frozen=True):
    """A table with the number of records for each combination of the values of two fields."""

    table: str
    column: str
    """The one with the number; the others are named as those of the records."""
    fields: tuple[str, str]
    """Both are indexed."""


_UNIQUE = (
    "CASE WHEN extras ->> '$[0][0]' IS NOT NULL"
    " THEN json_object('key', extras ->> '$[0][0]', 'while', extras ->> '$[0][1]') END"
)
"""Of the array of a task's extras."""

TASKS = Resource(
    {
        "id": Field("id", Kind.TEXT, indexed=True),
        "status": Field("status", Kind.TEXT, indexed=True),
        "statusChangedTimestamp": Field("status_changed_ms", Kind.TIME),
        "functionName": Field("function_name", Kind.TEXT, indexed=True),
        "data": Field("data", Kind.JSON),
        "startTimestamp": Field("start_ms", Kind.TIME, indexed=True),
        "tags": Field("coalesce(tags, '[]')", Kind.JSON_OF_TEXTS),
        "priority": Field("priority", Kind.NUMBER),
        "creationTimestamp": Field("creation_ms", Kind.TIME, indexed=True),
        "updateTimestamp": Field("status_changed_ms", Kind.TIME),
        "createdByApplicationId": Field("created_by_application_id", Kind.TEXT),
        "createdByUserId": Field("created_by_user_id", Kind.TEXT),
        "retriedByTaskId": Field("retried_by_task_id", Kind.TEXT),
        "retryForTaskIds": Field("retry_for_task_ids", Kind.JSON_OF_TEXTS),
        "error": Field("error", Kind.JSON_OF_TEXTS),
        "scheduleId": Field("schedule_id", Kind.TEXT),
        "unique": Field(_UNIQUE, Kind.JSON),
        "replayOfTaskId": Field("extras ->> 1", Kind.TEXT),
        "replayedByTaskId": Field("extras ->> 3", Kind.TEXT),
    },
    # not just seq: after the column that is filtered by, the indexes hold the time of creation
    oldest_first="creation_ms, seq",
)
"""The table ``tasks``."""

API_REQUESTS = Resource(
    {
        "id": Field("id", Kind.TEXT, indexed=True),
        "functionName": Field("function_name", Kind.TEXT, indexed=True),
        "method": Field("method", Kind.TEXT),
        "path": Field("path", Kind.TEXT),
        "userId": Field("user_id", Kind.TEXT),
        "applicationId": Field("application_id", Kind.TEXT),
        "timestamp": Field("timestamp_ms", Kind.TIME),
        "statusCode": Field("status_code", Kind.NUMBER),
        "duration": Field("duration_ms / 1000.0", Kind.NUMBER),
        "error": Field("error", Kind.JSON_OF_TEXTS),
    },
    sequence="id",
    oldest_first="id",
)
"""The table ``api_requests``."""

EVENTS = Resource(
    {
        "id": Field("id", Kind.TEXT, indexed=True),
        "type": Field("type", Kind.TEXT, indexed=True),
        "content": Field("content", Kind.JSON),
        "creation_timestamp": Field("creation_ms", Kind.TIME, indexed=True),
    }
)
"""The table ``events``. In snake_case, as the event service has it."""

SUBSCRIPTIONS = Resource(
    {
        "id": Field("id", Kind.TEXT),
        "service": Field("service", Kind.JSON),
        "event_types": Field("event_types", Kind.JSON_OF_TEXTS),
        "retriable": Field("retriable", Kind.JSON),
        "creation_timestamp": Field("creation_ms", Kind.TIME),
        "update_timestamp": Field("update_ms", Kind.TIME),
    },
)
DISPATCHERS = Resource(
    {
        "id": Field("id", Kind.TEXT),
        "eventType": Field("event_type", Kind.TEXT),
        "name": Field("name", Kind.TEXT),
        "description": Field("description", Kind.TEXT),
        "actions": Field("actions", Kind.JSON),
        "tags": Field("coalesce(tags, '[]')", Kind.JSON_OF_TEXTS),
        "creationTimestamp": Field("creation_ms", Kind.TIME),
        "updateTimestamp": Field("update_ms", Kind.TIME),
    },
)
"""Both are no tables of the file: :mod:`taskd.store.embedded.catalogue.event_listings` makes their rows."""

DELIVERIES = Resource(
    {
        "id": Field("id", Kind.TEXT, indexed=True),
        "webhookId": Field("webhook_id", Kind.TEXT, indexed=True),
        "event": Field("event_type", Kind.TEXT),
        "subjectId": Field("subject_id", Kind.TEXT, indexed=True),
        "status": Field("status", Kind.TEXT),
        "attempts": Field("attempts", Kind.NUMBER),
        "creationTimestamp": Field("creation_ms", Kind.TIME),
        "nextTimestamp": Field("iif(status = 'waiting', next_ms, NULL)", Kind.TIME),
        "attemptTimestamp": Field("attempt_ms", Kind.TIME),
        "statusCode": Field("status_code", Kind.NUMBER),
        "error": Field("error", Kind.TEXT),
    },
)
"""The table ``webhook_deliveries``."""

WEBHOOKS = Resource(
    {
        "id": Field("id", Kind.TEXT),
        "url": Field("url", Kind.TEXT),
        "events": Field("events", Kind.JSON_OF_TEXTS),
        "rql": Field("rql", Kind.TEXT),
        "description": Field("description", Kind.TEXT),
        "include": Field("include", Kind.JSON_OF_TEXTS),
        "enabled": Field("enabled", Kind.JSON),
        "disabledReason": Field("disabled_reason", Kind.TEXT),
        "creationTimestamp": Field("creation_ms", Kind.TIME),
        "updateTimestamp": Field("update_ms", Kind.TIME),
        "createdByApplicationId": Field("created_by_application_id", Kind.TEXT),
        "createdByUserId": Field("created_by_user_id", Kind.TEXT),
    },
)
"""No table of the file: :mod:`taskd.store.embedded.catalogue.webhook_listing` makes its rows."""

SCHEDULES = Resource(
    {
        "id": Field("id", Kind.TEXT),
        "interval": Field("interval_s", Kind.NUMBER),
        "functionName": Field("function_name", Kind.TEXT),
        "data": Field("data", Kind.JSON),
        "priority": Field("priority", Kind.NUMBER),
        "startTimestamp": Field("start_ms", Kind.TIME),
        "nextTimestamp": Field("next_ms", Kind.TIME),
        "creationTimestamp": Field("creation_ms", Kind.TIME),
        "updateTimestamp": Field("update_ms", Kind.TIME),
        "createdByApplicationId": Field("created_by_application_id", Kind.TEXT),
        "createdByUserId": Field("created_by_user_id", Kind.TEXT),
        "paused": Field("paused", Kind.JSON),
        "pauseReason": Field("pause_reason", Kind.TEXT),
        "cron": Field("cron", Kind.TEXT),
        "timeZone": Field("time_zone", Kind.TEXT),
        "overlap": Field("overlap", Kind.TEXT),
        "catchUpSeconds": Field("catch_up_s", Kind.NUMBER),
        "jitterSeconds": Field("jitter_s", Kind.NUMBER),
        "endTimestamp": Field("end_ms", Kind.TIME),
        "remaining": Field("remaining", Kind.NUMBER),
        "note": Field("note", Kind.TEXT),
        "tags": Field("tags", Kind.JSON_OF_TEXTS),
        "bufferedTimestamp": Field("buffered_ms", Kind.TIME),
        "unique": Field("unique_rule", Kind.JSON),
    },
)
"""No table of the file: :mod:`taskd.store.embedded.catalogue.schedule_listing` makes its rows."""

OPERATIONS = Resource(
    {
        "id": Field("id", Kind.TEXT),
        "action": Field("action", Kind.TEXT),
        "rql": Field("rql", Kind.TEXT),
        "status": Field("status", Kind.TEXT),
        "matched": Field("matched", Kind.NUMBER),
        "done": Field("done", Kind.NUMBER),
        "skipped": Field("skipped", Kind.NUMBER),
        "creationTimestamp": Field("creation_ms", Kind.TIME),
        "updateTimestamp": Field("update_ms", Kind.TIME),
        "ratePerSecond": Field("rate_per_s", Kind.NUMBER),
        "data": Field("data", Kind.JSON),
        "priority": Field("priority", Kind.NUMBER),
        "startTimestamp": Field("start_ms", Kind.TIME),
        "createdByUserId": Field("created_by_user_id", Kind.TEXT),
        "createdByApplicationId": Field("created_by_application_id", Kind.TEXT),
        "error": Field("error", Kind.TEXT),
        "waitReason": Field("wait_reason", Kind.TEXT),
    },
)
"""No table of the file: :mod:`taskd.store.embedded.catalogue.operation_listing` makes its rows."""
