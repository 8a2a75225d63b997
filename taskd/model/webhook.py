"""Webhooks: whom taskd tells of what has happened. What one delivery goes through is in ``delivery.py``.

Knows the rules, not HTTP: how bodies are signed and sent is the business of whoever delivers.
"""

from collections.abc import Collection, Sequence

from msgspec import Struct
from msgspec.structs import replace

from taskd.model import limits
from taskd.model.errors import ILLEGAL_STATE, ContractError
from taskd.model.permissions import Permission
from taskd.model.status import FINAL, Status

TASK_EVENTS = {f"task.{status.value}": status for status in sorted(FINAL)}
"""The types of the events that the end of a task is: ``task.complete``, ``task.failed`` and so on."""
TASK_EVENT_PREFIX = "task."
TEST_EVENT = "webhook.test"
"""What is delivered to a webhook that somebody tries out."""


def is_published(event_type: str) -> bool:
    """Whether it is the type of an event that somebody published: nobody publishes what taskd alone may say."""
    return not event_type.startswith(TASK_EVENT_PREFIX) and event_type != TEST_EVENT


class WebhookSecret(Struct, frozen=True, gc=False, array_like=True):
    """What bodies are signed with. Persisted in this order: add new fields at the end, with a default."""

    text: str
    """``whsec_`` and base64."""
    until_ms: int | None = None
    """When it stops being used, if it was rotated away."""

    def is_in_force(self, now_ms: int) -> bool:
        """Whether bodies are still signed with it."""
        return self.until_ms is None or now_ms < self.until_ms


class WebhookDraft(Struct, frozen=True, gc=False):
    """What a caller asks for; the store makes a :class:`Webhook` of it."""

    url: str
    events: tuple[str, ...]
    secrets: tuple[WebhookSecret, ...]
    rql: str | None = None
    description: str | None = None
    include_data: bool = False
    enabled: bool = True
    created_by_user_id: str | None = None
    created_by_application_id: str | None = None


class Webhook(Struct, frozen=True, gc=False, array_like=True):
    """An address that is told of events. Persisted as an array in this order: add new fields at the end."""

    id: str
    url: str
    events: tuple[str, ...]
    """The types of events that it is told of."""
    secrets: tuple[WebhookSecret, ...]
    """The one in force first, then one that was rotated away."""
    creation_ms: int
    update_ms: int
    rql: str | None = None
    """A condition on what the event is about; ``None`` if there is none."""
    description: str | None = None
    include_data: bool = False
    """Whether bodies have the data, too, where there is room."""
    enabled: bool = True
    disabled_reason: str | None = None
    """Why it is disabled, for people, where taskd itself did it."""
    created_by_user_id: str | None = None
    created_by_application_id: str | None = None

    def wants(self, event_type: str) -> bool:
        """Whether events of this type are delivered to it."""
        return self.enabled and event_type in self.events

    @property
    def sees_tasks(self) -> bool:
        """Whether it is told of tasks."""
        return any(event in TASK_EVENTS for event in self.events)

    @property
    def sees_events(self) -> bool:
        """Whether it is told of events that somebody published."""
        return any(is_published(event) for event in self.events)


def create(draft: WebhookDraft, webhook_id: str, now_ms: int) -> Webhook:
    """A new webhook from a draft."""
    return Webhook(
        id=webhook_id,
        url=draft.url,
        events=draft.events,
        secrets=draft.secrets,
        creation_ms=now_ms,
        update_ms=now_ms,
        rql=draft.rql,
        description=draft.description,
        include_data=draft.include_data,
        enabled=draft.enabled,
        created_by_user_id=draft.created_by_user_id,
        created_by_application_id=draft.created_by_application_id,
    )


def disable(webhook: Webhook, now_ms: int, reason: str | None) -> Webhook:
    """Nothing is delivered to it until it is enabled; what waits goes on waiting, and nothing comes to that."""
    return replace(webhook, enabled=False, disabled_reason=reason, update_ms=now_ms)


def enable(webhook: Webhook, now_ms: int) -> Webhook:
    """What waits is delivered, and what happens from now on."""
    return replace(webhook, enabled=True, disabled_reason=None, update_ms=now_ms)


def is_told_otherwise(kept: Webhook, changed: Webhook) -> bool:
    """Whether others are told after a change, or of other things."""
    before, after = ((each.url, each.events, each.rql, each.include_data) for each in (kept, changed))
    return before != after


def rotate(webhook: Webhook, secret: str, now_ms: int, overlap_ms: int) -> Webhook:
    """Bodies are signed with ``secret`` from now on, and for so long with the one before as well."""
    before = WebhookSecret(webhook.secrets[0].text, now_ms + overlap_ms)
    kept = (before,) if overlap_ms else ()
    return replace(webhook, secrets=(WebhookSecret(secret), *kept), update_ms=now_ms)


def view_permissions(webhook: Webhook) -> list[Permission]:
    """What is needed to be told of all that it is told of."""
    seen = ((webhook.sees_tasks, Permission.VIEW_TASKS), (webhook.sees_events, Permission.VIEW_EVENTS))
    return [permission for sees, permission in seen if sees]


def wanted_statuses(webhooks: Collection[Webhook]) -> frozenset[Status]:
    """The statuses that tasks end with and some webhook is told of."""
    return frozenset(
        status for event, status in TASK_EVENTS.items() if any(webhook.wants(event) for webhook in webhooks)
    )


def require_room(others: Sequence[Webhook]) -> None:
    """Raises ``ContractError`` (``ILLEGAL_STATE``) unless there may be one more webhook beside ``others``."""
    if len(others) >= limits.WEBHOOKS_MAX:
        raise ContractError(ILLEGAL_STATE, f"There are {len(others)} webhooks, and there may be no more; delete one.")
