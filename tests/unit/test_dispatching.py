"""The data of tasks that are made of events: what was there, byte for byte, and the event."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskd.model.dispatcher import Action, ActionType, Dispatcher
from taskd.model.dispatching import dispatch, with_event
from taskd.model.event import Event
from taskd.store.embedded.event_state import EventState

EVENT = b'{"id":"1"}'
names = st.sampled_from(("event", "even", 'e"', "\\", "é", "")) | st.text(max_size=3)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=8,
)


@given(data=st.dictionaries(names, values, max_size=4), indent=st.none() | st.just(1), ascii_only=st.booleans())
def test_whatever_the_data_is_the_event_comes_to_it(data: dict[str, Any], indent: int | None, ascii_only: bool) -> None:
    text = json.dumps(data, indent=indent, ensure_ascii=ascii_only).encode()
    made = with_event(text, EVENT)
    pairs = json.loads(made, object_pairs_hook=list)
    assert [name for name, _ in pairs].count("event") == 1
    assert json.loads(made) == {**data, "event": {"id": "1"}}


@pytest.mark.parametrize("data", [b"{}", b"{ }", b' {"a" : 1.50,"b":[ ]} ', b'{"even":"x", "a":{"b":"event"}}'])
def test_all_else_stays_as_it_came(data: bytes) -> None:
    kept = data.rstrip().removesuffix(b"}").rstrip()
    assert with_event(data, EVENT).startswith(kept) or b'"event"' in data
    assert with_event(data, EVENT).endswith(b'"event":' + EVENT + b"}")


def test_dispatchers_are_found_by_type_and_no_other_is_looked_at() -> None:
    state = EventState()
    run = Action("a", ActionType.TASK, function_name="f")
    for number in range(10_000):
        state.put(Dispatcher(f"{number:024x}", f"type-{number // 2}", (run,), 0, 0))
    found = list(state.dispatchers_of("type-7"))
    assert [each.id for each in found] == [f"{14:024x}", f"{15:024x}"]
    assert list(state.dispatchers_of("none")) == []
    made = dispatch(Event("1", "type-7", None, 5), state.dispatchers_of("type-7"), lambda _: None)
    assert [draft.function_name for draft in made.drafts] == ["f", "f"]
    for each in found:
        state.remove(each.id)
    assert list(state.dispatchers_of("type-7")) == []
