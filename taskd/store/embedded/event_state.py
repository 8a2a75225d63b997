"""What a store holds of events and of what is to be done with them: a part of the live state, by the same fold.

Events themselves are history from the moment they are published: only the catalogue knows them.
"""

from collections.abc import Iterator

from taskd.model.dispatcher import Dispatcher
from taskd.model.event import Event, Subscription

_NOBODY: dict[str, Dispatcher] = {}


class EventState:
    """Dispatchers, by id and by the type of their events; subscriptions; and the events that are owed."""

    def __init__(self) -> None:
        self.dispatchers: dict[str, Dispatcher] = {}
        self._by_type: dict[str, dict[str, Dispatcher]] = {}
        self.subscriptions: dict[str, Subscription] = {}
        self.owed: dict[str, None] = {}
        """The ids of tasks that failed when there was no room for an event, in that order."""

        self.count = 0
        """How many events were ever published."""
        self.published: tuple[Event, ...] = ()
        """By the newest frame that published any, until they are taken."""

    def take_published(self) -> tuple[Event, ...]:
        """What the frame that was just applied has published, for the catalogue."""
        published, self.published = self.published, ()
        return published

    def dispatchers_of(self, event_type: str) -> Iterator[Dispatcher]:
        """Those for events of this type, in the order of their creation, however many others there are."""
        return iter(self._by_type.get(event_type, _NOBODY).values())

    def put(self, dispatcher: Dispatcher) -> None:
        """The dispatcher is there, in the place of an earlier state of it."""
        earlier = self.dispatchers.get(dispatcher.id)
        if earlier is not None and earlier.event_type != dispatcher.event_type:
            self._forget_type(earlier)
        self.dispatchers[dispatcher.id] = dispatcher
        self._by_type.setdefault(dispatcher.event_type, {})[dispatcher.id] = dispatcher

    def remove(self, dispatcher_id: str) -> None:
        """The dispatcher is there no more; ``KeyError`` if it was not there."""
        self._forget_type(self.dispatchers.pop(dispatcher_id))

    def _forget_type(self, dispatcher: Dispatcher) -> None:
        alike = self._by_type[dispatcher.event_type]
        del alike[dispatcher.id]
        if not alike:
            del self._by_type[dispatcher.event_type]
