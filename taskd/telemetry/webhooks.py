"""What is counted of webhooks. Labels are statuses, never ids or addresses."""

from collections.abc import Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge

from taskd.model.delivery import Delivery, DeliveryStatus


class WebhookMeasures:
    """The measures of deliveries, in a registry of their own unless there is one."""

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        registry = registry or CollectorRegistry()
        self._made = Counter("taskd_webhook_deliveries", "Deliveries made of events.", registry=registry)
        attempts = Counter(
            "taskd_webhook_attempts",
            "Attempts to deliver, by what became of the delivery.",
            ["status"],
            registry=registry,
        )
        self._attempts = {status: attempts.labels(status.value) for status in DeliveryStatus}
        self._disabled = Counter(
            "taskd_webhooks_disabled", "Webhooks that taskd itself has disabled.", registry=registry
        )
        self._in_flight = Gauge("taskd_webhook_attempts_in_flight", "Attempts under way now.", registry=registry)

    def made(self, deliveries: int) -> None:
        """Deliveries were made."""
        self._made.inc(deliveries)

    def attempted(self, settled: Sequence[Delivery | None]) -> None:
        """Attempts have ended; ``None`` stands for those of deliveries that were gone by then."""
        for delivery in settled:
            if delivery is not None:
                self._attempts[delivery.status].inc()

    def disabled(self) -> None:
        """A webhook was disabled."""
        self._disabled.inc()

    def in_flight(self, attempts: int) -> None:
        """So many attempts are under way."""
        self._in_flight.set(attempts)
