"""Which store a configuration asks for: the only place that names what there is."""

from taskd.model.clock import Clock
from taskd.store.base import TaskStore
from taskd.store.embedded.settings import StoreSettings
from taskd.store.embedded.store import EmbeddedStore


def make_store(settings: StoreSettings, clock: Clock, *, gives_back_space: bool = False) -> TaskStore:
    """A store that is not started yet. One that ``gives_back_space`` does so when much of its history is removed."""
    return EmbeddedStore(settings, clock, gives_back_space=gives_back_space)
