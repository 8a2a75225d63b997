"""Events and dispatchers of the store in memory: the plainest way to say what they are."""

import itertools
from collections.abc import Callable, Sequence

from msgspec import Struct
from msgspec.structs import replace

from taskd.model import dispatcher as dispatchers
from taskd.model import errors, limits
from taskd.model import event as events
from taskd.model.dispatcher import Dispatcher, DispatcherDraft
from taskd.model.dispatching import Publication, dispatch
from taskd.model.errors import ContractError
from taskd.model.event import Event, EventDraft, Subscription, SubscriptionDraft
from taskd.model.function import Function
from taskd.model.task import TaskDraft


class KnownId(Struct, frozen=True):
    """An event that was sent with an id of its sender's."""

    draft: EventDraft
    event: Event


class SharedEvents:
    """What the nodes share of them."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.known: dict[tuple[str | None, ...], KnownId] = {}
        self.subscriptions: list[Subscription] = []
        self.dispatchers: dict[str, Dispatcher] = {}


class MemoryEvents:
    """A node's door to them."""

    def __init__(
        self,
        shared: SharedEvents,
        *,
        now_ms: Callable[[], int],
        new_id: Callable[[], str],
        create: Callable[[Sequence[TaskDraft]], object],
        function: Callable[[str], Function | None],
        tell_webhooks: Callable[[Event], None],
    ) -> None:
        self._shared = shared
        self._now_ms = now_ms
        self._new_id = new_id
        self._create = create
        self._function = function
        self._tell_webhooks = tell_webhooks
        self.callbacks: list[Callable[[Publication], None]] = []

    def publish(self, draft: EventDraft) -> Event:
        key = (draft.created_by_user_id, draft.created_by_application_id, draft.id)
        known = None if draft.id is None else self._shared.known.get(key)
        if known is not None and known.event.creation_ms >= self._now_ms() - limits.IDEMPOTENCY_KEY_TTL_MS:
            if known.draft != draft:
                raise ContractError(errors.ILLEGAL_ARGUMENT, "The id was used for another event before.")
            return known.event
        event = self.tell(draft)
        if draft.id is not None:
            self._shared.known[key] = KnownId(draft, event)
        return event

    def tell(self, draft: EventDraft) -> Event:
        event = events.create(draft, self._new_id(), self._now_ms())
        alike = [each for each in self._shared.dispatchers.values() if each.event_type == event.type]
        dispatched = dispatch(event, alike, self._function)
        if dispatched.withheld is not None and not event.chain:
            raise ContractError(errors.BODY_TOO_LARGE, dispatched.withheld)
        self._shared.events.append(event)
        self._tell_webhooks(event)
        self._create(dispatched.drafts)
        for callback in self.callbacks:
            callback(Publication(event, len(dispatched.drafts), dispatched.mails, dispatched.withheld))
        return event

    def delete_before(self, before_ms: int, limit: int) -> int:
        old = sorted([each for each in self._shared.events if each.creation_ms < before_ms], key=_creation_ms)[:limit]
        self._shared.events = [event for event in self._shared.events if event not in old]
        return len(old)

    def add_subscription(self, draft: SubscriptionDraft) -> Subscription:
        if len(self._shared.subscriptions) >= limits.SUBSCRIPTIONS_MAX:
            raise ContractError(errors.ILLEGAL_STATE, "There are too many subscriptions.")
        subscription = events.subscribe(draft, self._new_id(), self._now_ms())
        self._shared.subscriptions.append(subscription)
        return subscription

    def add_dispatcher(self, draft: DispatcherDraft) -> Dispatcher:
        ids = (self._new_id() for _ in itertools.count())
        return self._put(dispatchers.create(draft, ids, self._now_ms()))

    def change_dispatcher(self, dispatcher_id: str, change: Callable[[Dispatcher], Dispatcher]) -> Dispatcher:
        changed = change(self._get(dispatcher_id))
        actions = tuple(replace(action, id=action.id or self._new_id()) for action in changed.actions)
        return self._put(replace(changed, actions=actions))

    def remove_dispatcher(self, dispatcher_id: str) -> None:
        self._get(dispatcher_id)
        del self._shared.dispatchers[dispatcher_id]

    def _put(self, dispatcher: Dispatcher) -> Dispatcher:
        others = [other for other in self._shared.dispatchers.values() if other.id != dispatcher.id]
        dispatchers.require_fit(dispatcher, others)
        self._shared.dispatchers[dispatcher.id] = dispatcher
        return dispatcher

    def _get(self, dispatcher_id: str) -> Dispatcher:
        found = self._shared.dispatchers.get(dispatcher_id)
        if found is None:
            raise ContractError(errors.RESOURCE_UNKNOWN, f"There is no dispatcher with the id {dispatcher_id}.")
        return found


def _creation_ms(event: Event) -> int:
    return event.creation_ms
