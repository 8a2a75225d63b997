"""What queries see of dispatchers and subscriptions, which are few and live in memory."""

import msgspec

from taskd.model.dispatcher import Dispatcher
from taskd.model.event import Subscription
from taskd.model.event_wire import dispatcher_view, subscription_view
from taskd.store.embedded.catalogue.record_listing import RecordTable
from taskd.store.embedded.catalogue.sql.fields import DISPATCHERS, SUBSCRIPTIONS

_encode = msgspec.json.Encoder().encode


def _json(value: object) -> str | None:
    return None if value is None else _encode(value).decode()


DISPATCHER_RECORDS: RecordTable[Dispatcher] = RecordTable(
    DISPATCHERS,
    {
        "id": lambda dispatcher: dispatcher.id,
        "event_type": lambda dispatcher: dispatcher.event_type,
        "name": lambda dispatcher: dispatcher.name,
        "description": lambda dispatcher: dispatcher.description,
        "actions": lambda dispatcher: _json(dispatcher_view(dispatcher).actions),
        "tags": lambda dispatcher: _json(dispatcher.tags),
        "creation_ms": lambda dispatcher: dispatcher.creation_ms,
        "update_ms": lambda dispatcher: dispatcher.update_ms,
    },
)
SUBSCRIPTION_RECORDS: RecordTable[Subscription] = RecordTable(
    SUBSCRIPTIONS,
    {
        "id": lambda subscription: subscription.id,
        "service": lambda subscription: _json(subscription_view(subscription).service),
        "event_types": lambda subscription: _json(subscription.event_types),
        "retriable": lambda subscription: _json(subscription.retriable),
        "creation_ms": lambda subscription: subscription.creation_ms,
        "update_ms": lambda subscription: subscription.update_ms,
    },
)
