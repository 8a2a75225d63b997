"""The JSON shapes of webhooks and deliveries: what clients read."""

from msgspec import UNSET, Struct, UnsetType
from msgspec.structs import asdict

from taskd.model.delivery import Delivery
from taskd.model.timestamps import format_ms
from taskd.model.webhook import Webhook

INCLUDE_DATA = ("data",)


class WebhookView(Struct, rename="camel", kw_only=True, gc=False):
    """A webhook as clients see it."""

    id: str
    url: str
    events: tuple[str, ...]
    rql: str | UnsetType = UNSET
    description: str | UnsetType = UNSET
    include: tuple[str, ...] | UnsetType = UNSET
    enabled: bool
    disabled_reason: str | UnsetType = UNSET
    """Where taskd itself has disabled it."""
    creation_timestamp: str
    update_timestamp: str
    created_by_application_id: str | UnsetType = UNSET
    created_by_user_id: str | UnsetType = UNSET


class WebhookWithSecretsView(WebhookView, kw_only=True, rename="camel", gc=False):
    """A webhook with what its bodies are signed with: shown when the secrets are new, and never again."""

    secrets: tuple[str, ...]


class DeliveryView(Struct, rename="camel", kw_only=True, gc=False):
    """A delivery as clients see it; ``status`` is ``waiting``, ``delivered`` or ``failed``."""

    id: str
    webhook_id: str
    event: str
    subject_id: str
    """The id of what the event is about, such as a task."""
    status: str
    attempts: int
    creation_timestamp: str
    """When the event happened."""
    next_timestamp: str | UnsetType = UNSET
    """When it is attempted next."""
    attempt_timestamp: str | UnsetType = UNSET
    """When the last attempt ended."""
    status_code: int | UnsetType = UNSET
    """Of the last answer."""
    error: str | UnsetType = UNSET
    """Why the last attempt failed."""


def webhook_view(webhook: Webhook) -> WebhookView:
    """``webhook`` in the contract's shape, without its secrets; fields that are not set are left out."""
    return WebhookView(
        id=webhook.id,
        url=webhook.url,
        events=webhook.events,
        rql=webhook.rql or UNSET,
        description=webhook.description or UNSET,
        include=INCLUDE_DATA if webhook.include_data else UNSET,
        enabled=webhook.enabled,
        disabled_reason=webhook.disabled_reason or UNSET,
        creation_timestamp=format_ms(webhook.creation_ms),
        update_timestamp=format_ms(webhook.update_ms),
        created_by_application_id=webhook.created_by_application_id or UNSET,
        created_by_user_id=webhook.created_by_user_id or UNSET,
    )


def webhook_with_secrets_view(webhook: Webhook) -> WebhookWithSecretsView:
    """``webhook`` with its secrets."""
    shown = asdict(webhook_view(webhook))
    return WebhookWithSecretsView(**shown, secrets=tuple(secret.text for secret in webhook.secrets))


def delivery_view(delivery: Delivery) -> DeliveryView:
    """``delivery`` in the contract's shape; fields that are not set are left out."""
    return DeliveryView(
        id=delivery.id,
        webhook_id=delivery.webhook_id,
        event=delivery.event_type,
        subject_id=delivery.subject_id,
        status=delivery.status.value,
        attempts=delivery.attempts,
        creation_timestamp=format_ms(delivery.creation_ms),
        next_timestamp=format_ms(delivery.next_ms) if delivery.is_waiting else UNSET,
        attempt_timestamp=UNSET if delivery.attempt_ms is None else format_ms(delivery.attempt_ms),
        status_code=UNSET if delivery.status_code is None else delivery.status_code,
        error=delivery.error or UNSET,
    )
