"""What a snapshot says of webhooks: a small file, so that snapshots need not know what is behind them."""

from collections.abc import Iterator
from itertools import islice

from msgspec.structs import replace

from taskd.store.embedded.events import DeliveriesOwed, DeliveriesPut, WebhookPut, encode_events
from taskd.store.embedded.webhook_state import WebhookState

_CHUNK = 512


def webhook_payloads(state: WebhookState) -> Iterator[bytes]:
    """Payloads of frames that give the same state. What was given is let go of bit by bit."""
    if state.webhooks:
        yield encode_events([WebhookPut(webhook) for webhook in state.webhooks.values()])
    while state.waiting:
        chunk = [state.waiting.pop(delivery_id) for delivery_id in list(islice(state.waiting, _CHUNK))]
        yield encode_events([DeliveriesPut(tuple(chunk))])
    while state.owed:
        tasks = [state.owed.pop(task_id) for task_id in list(islice(state.owed, _CHUNK))]
        # they have ended, so the catalogue has them, or the snapshot would have to wait for it
        yield encode_events([DeliveriesOwed(tuple([replace(task, data=b"") for task in tasks]))])
