"""What queries see of webhooks: without their secrets."""

from collections.abc import Callable
from typing import Any

import msgspec

from taskd.model.webhook import Webhook
from taskd.store.embedded.catalogue.record_listing import RecordTable
from taskd.store.embedded.catalogue.sql.fields import WEBHOOKS as RESOURCE

_COLUMNS: dict[str, Callable[[Webhook], Any]] = {
    "id": lambda webhook: webhook.id,
    "url": lambda webhook: webhook.url,
    "events": lambda webhook: msgspec.json.encode(webhook.events).decode(),
    "rql": lambda webhook: webhook.rql,
    "description": lambda webhook: webhook.description,
    "include": lambda webhook: '["data"]' if webhook.include_data else None,
    "enabled": lambda webhook: "true" if webhook.enabled else "false",
    "disabled_reason": lambda webhook: webhook.disabled_reason,
    "creation_ms": lambda webhook: webhook.creation_ms,
    "update_ms": lambda webhook: webhook.update_ms,
    "created_by_application_id": lambda webhook: webhook.created_by_application_id,
    "created_by_user_id": lambda webhook: webhook.created_by_user_id,
}

WEBHOOKS: RecordTable[Webhook] = RecordTable(RESOURCE, _COLUMNS)
