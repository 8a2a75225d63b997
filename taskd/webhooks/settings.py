"""What can be set about webhooks: a small file, so that the configuration need not know what stands on it."""

from typing import Annotated

from msgspec import Struct

from taskd.model import limits


class WebhookSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """The ``[webhooks]`` table of the configuration."""

    allow_networks: tuple[str, ...] = ()
    """Networks, besides all that is globally routable, that webhooks may be in."""
    max_in_flight: Annotated[int, limits.Range(1, 10_000)] = 64
    """Deliveries at once to one webhook alone; where several have many, each has a share."""
