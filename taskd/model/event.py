"""Events: what has happened, for whoever acts on it. The event service keeps them and never changes them."""

from msgspec import Struct

EVENT_CHAIN_MAX = 8
"""How many tasks in a row may each be made because the one before it failed."""


class EventDraft(Struct, frozen=True, gc=False):
    """What somebody tells of; the store makes an :class:`Event` of it. ``content`` is the JSON text of an object."""

    type: str
    content: bytes | None = None
    id: str | None = None
    """The sender's own: with it the event is kept once, however often it is sent within a day."""
    created_by_user_id: str | None = None
    created_by_application_id: str | None = None
    chain: int = 0
    """How many tasks, each made because the one before it failed, led to this."""

    @property
    def owner(self) -> str:
        """Whose id it is: those of two senders never meet."""
        return self.created_by_user_id or self.created_by_application_id or ""


class Event(Struct, frozen=True, gc=False, array_like=True):
    """An event. Persisted as an array in this order: add new fields at the end, with a default."""

    id: str
    type: str
    content: bytes | None
    """The JSON text of an object, as it came in."""
    creation_ms: int
    created_by_user_id: str | None = None
    created_by_application_id: str | None = None
    chain: int = 0


def create(draft: EventDraft, event_id: str, now_ms: int) -> Event:
    """A new event from a draft."""
    return Event(
        id=draft.id or event_id,
        type=draft.type,
        content=draft.content,
        creation_ms=now_ms,
        created_by_user_id=draft.created_by_user_id,
        created_by_application_id=draft.created_by_application_id,
        chain=draft.chain,
    )


class ServiceVersion(Struct, frozen=True, array_like=True):
    """The version of a service that subscribes."""

    major: int
    minor: int
    patch: int


class SubscriptionDraft(Struct, frozen=True):
    """What a service wants to be told of; the store makes a :class:`Subscription` of it."""

    service_name: str
    service_version: ServiceVersion
    event_types: tuple[str, ...]
    retriable: bool = False


class Subscription(Struct, frozen=True, array_like=True):
    """That a service wants events of some types. Kept and listed; persisted in this order, so add at the end."""

    id: str
    service_name: str
    service_version: ServiceVersion
    event_types: tuple[str, ...]
    retriable: bool
    creation_ms: int
    update_ms: int


def subscribe(draft: SubscriptionDraft, subscription_id: str, now_ms: int) -> Subscription:
    """A new subscription from a draft."""
    return Subscription(
        id=subscription_id,
        service_name=draft.service_name,
        service_version=draft.service_version,
        event_types=draft.event_types,
        retriable=draft.retriable,
        creation_ms=now_ms,
        update_ms=now_ms,
    )
