"""Which store a configuration asks for: the only place that names what there is."""

from taskd.model.clock import Clock
from taskd.store.base import TaskStore
from taskd.store.embedded.settings import StoreSettings
from taskd.store.embedded.store import EmbeddedStore


def make_store(settings: StoreSettings, clock: Clock) -> TaskStore:
    """A store that is not started yet."""
    return EmbeddedStore(settings, clock)
