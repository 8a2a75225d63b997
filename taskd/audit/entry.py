"""Entries of the audit trail: what they say, and what a query may ask of them. None holds a secret."""

import re
from enum import StrEnum
from typing import Any

from msgspec import UNSET, Struct, UnsetType

from taskd.model.timestamps import format_ms
from taskd.rql.coerce import Kind

_TEXT_MAX_CHARS = 512
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


class Action(StrEnum):
    """What somebody did."""

    TASKS_CANCEL = "tasks.cancel"
    TASKS_DELETE = "tasks.delete"
    OPERATIONS_CREATE = "operations.create"
    OPERATIONS_ABORT = "operations.abort"
    SCHEDULES_CREATE = "schedules.create"
    SCHEDULES_UPDATE = "schedules.update"
    SCHEDULES_PAUSE = "schedules.pause"
    SCHEDULES_RESUME = "schedules.resume"
    SCHEDULES_DELETE = "schedules.delete"
    FUNCTIONS_CREATE = "functions.create"
    FUNCTIONS_UPDATE = "functions.update"
    FUNCTIONS_ENABLE = "functions.enable"
    FUNCTIONS_DISABLE = "functions.disable"
    FUNCTIONS_PAUSE = "functions.pause"
    FUNCTIONS_RESUME = "functions.resume"
    FUNCTIONS_DELETE = "functions.delete"
    EVERYTHING_PAUSE = "everything.pause"
    EVERYTHING_RESUME = "everything.resume"
    FUNCTIONS_VIEW_ENVIRONMENT = "functions.viewEnvironment"
    DISPATCHERS_CREATE = "dispatchers.create"
    DISPATCHERS_UPDATE = "dispatchers.update"
    DISPATCHERS_DELETE = "dispatchers.delete"
    SUBSCRIPTIONS_CREATE = "subscriptions.create"
    WEBHOOKS_CREATE = "webhooks.create"
    WEBHOOKS_UPDATE = "webhooks.update"
    WEBHOOKS_ROTATE = "webhooks.rotate"
    WEBHOOKS_DELETE = "webhooks.delete"
    WEBHOOKS_REDELIVER = "webhooks.redeliver"
    WEBHOOKS_TEST = "webhooks.test"
    LOGINS_CREATE = "logins.create"
    LOGINS_END = "logins.end"
    ROLES_CREATE = "roles.create"
    ROLES_UPDATE = "roles.update"
    ROLES_DELETE = "roles.delete"
    USERS_ADD = "users.add"
    USERS_REMOVE = "users.remove"
    USERS_SET_PASSWORD = "users.setPassword"  # noqa: S105  the name of what was done
    PERMISSIONS_GRANT = "permissions.grant"
    PERMISSIONS_REVOKE = "permissions.revoke"
    APPLICATIONS_ADD = "applications.add"
    APPLICATIONS_REMOVE = "applications.remove"
    TOKENS_ADD = "tokens.add"
    TOKENS_REVOKE = "tokens.revoke"
    KEY_ROTATE = "key.rotate"
    ACCOUNTS_RELOAD = "accounts.reload"
    JOURNAL_REPAIR = "journal.repair"


class Outcome(StrEnum):
    """What became of it."""

    DONE = "done"
    FAILED = "failed"
    UNKNOWN = "unknown"
    """The process ended in between: it may have been done."""


class Entry(Struct, omit_defaults=True):
    """One line of the trail. A later line of the same ``id`` says what became of it, and nothing else anew."""

    id: str
    at_ms: int = 0
    action: str = ""
    outcome: str = Outcome.UNKNOWN.value
    error: str = ""
    """The name of the error that it failed with."""
    user_id: str = ""
    application_id: str = ""
    token_id: str = ""
    operator: str = ""
    """Who did it on the daemon's own machine: the name of the user of the operating system."""
    address: str = ""
    subject_type: str = ""
    subject_id: str = ""
    detail: dict[str, str] = {}


class AuditEntryView(Struct, rename="camel"):
    """What somebody did, as clients see it: ``userId``, ``applicationId`` and ``tokenId`` of a caller, or the
    ``operator``, a user of the daemon's own machine. ``outcome`` is ``done``, ``failed`` (with the ``error``'s name) or
    ``unknown``, if the process ended in between."""

    id: str
    creation_timestamp: str
    action: str
    outcome: str
    subject_type: str
    subject_id: str | UnsetType = UNSET
    error: str | UnsetType = UNSET
    user_id: str | UnsetType = UNSET
    application_id: str | UnsetType = UNSET
    token_id: str | UnsetType = UNSET
    operator: str | UnsetType = UNSET
    address: str | UnsetType = UNSET
    detail: dict[str, str] | UnsetType = UNSET


KINDS = {
    **dict.fromkeys(("id", "action", "outcome", "subjectType", "subjectId", "error"), Kind.TEXT),
    **dict.fromkeys(("userId", "applicationId", "tokenId", "operator", "address"), Kind.TEXT),
    "creationTimestamp": Kind.TIME,
    "detail": Kind.JSON_OF_TEXTS,
}
"""What the fields of an entry hold, for queries."""


def document(entry: Entry) -> dict[str, Any]:
    """``entry`` as queries see it: with its time in milliseconds, without what it does not say."""
    fields = {
        "id": entry.id,
        "creationTimestamp": entry.at_ms,
        "action": entry.action,
        "outcome": entry.outcome,
        "subjectType": entry.subject_type,
        "subjectId": entry.subject_id,
        "error": entry.error,
        "userId": entry.user_id,
        "applicationId": entry.application_id,
        "tokenId": entry.token_id,
        "operator": entry.operator,
        "address": entry.address,
        "detail": entry.detail,
    }
    return {name: value for name, value in fields.items() if value}


def view(entry: Entry) -> AuditEntryView:
    """``entry`` in the contract's shape."""
    return AuditEntryView(
        id=entry.id,
        creation_timestamp=format_ms(entry.at_ms),
        action=entry.action,
        outcome=entry.outcome,
        subject_type=entry.subject_type,
        subject_id=entry.subject_id or UNSET,
        error=entry.error or UNSET,
        user_id=entry.user_id or UNSET,
        application_id=entry.application_id or UNSET,
        token_id=entry.token_id or UNSET,
        operator=entry.operator or UNSET,
        address=entry.address or UNSET,
        detail=entry.detail or UNSET,
    )


def plain(text: str) -> str:
    """``text`` as an entry may hold it: of some length, without what steers terminals."""
    shown = text if len(text) <= _TEXT_MAX_CHARS else f"{text[:_TEXT_MAX_CHARS]}…"
    return _UNPRINTABLE.sub("\N{REPLACEMENT CHARACTER}", shown)
