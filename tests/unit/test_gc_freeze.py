"""The garbage collector leaves alone what has survived it, and still finds cycles in the end."""

import gc
import weakref
from collections.abc import Iterator

import pytest

from taskd.system import gc_freeze
from taskd.system.gc_freeze import FrozenHeap


class Node:
    """Something that can be part of a cycle."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture
def heap(monkeypatch: pytest.MonkeyPatch) -> Iterator[FrozenHeap]:
    monkeypatch.setattr(gc_freeze, "_GROWTH_MIN", 0)
    heap = FrozenHeap()
    heap.start()
    yield heap
    heap.stop()
    gc.collect()


def is_looked_at(thing: object) -> bool:
    return any(seen is thing for seen in gc.get_objects())


def test_young_objects_are_looked_through_more_rarely_until_the_end() -> None:
    before = gc.get_threshold()
    heap = FrozenHeap()
    heap.start()
    assert gc.get_threshold() == (gc_freeze._YOUNG_MAX, *before[1:])
    heap.stop()
    assert gc.get_threshold() == before


@pytest.mark.usefixtures("heap")
def test_what_survived_a_full_collection_is_not_looked_at_again() -> None:
    waiting = [object()]
    assert is_looked_at(waiting)
    gc.collect(0)
    assert is_looked_at(waiting)
    gc.collect()
    assert not is_looked_at(waiting)


@pytest.mark.usefixtures("heap")
def test_a_cycle_that_was_frozen_while_it_lived_is_found_when_the_heap_has_doubled() -> None:
    node = Node()
    ended = weakref.ref(node)
    gc.collect()
    del node
    gc.collect()
    assert ended() is not None
    crowd: list[list[object]] = [[] for _ in range(gc.get_freeze_count() + 1_000)]
    gc.collect()
    gc.collect()
    assert ended() is None
    assert not is_looked_at(crowd)


def test_stopping_leaves_everything_to_the_collector() -> None:
    before = list(gc.callbacks)
    other = FrozenHeap()
    other.start()
    assert len(gc.callbacks) == len(before) + 1
    other.stop()
    assert gc.callbacks == before
    assert gc.get_freeze_count() == 0
