"""Events whose catalogue is lost: those that the journal still has come back, and the loss of others is said."""

from pathlib import Path

from support.clocks import FakeClock
from support.store.views import lost_history

from taskd.model.dispatcher import Action, ActionType, DispatcherDraft
from taskd.model.event import EventDraft
from taskd.rql.parser import parse
from taskd.store.embedded.settings import StoreSettings
from taskd.store.embedded.store import EmbeddedStore


async def started(data: Path) -> EmbeddedStore:
    """With a segment for every frame, so that all but the last can be compacted away."""
    store = EmbeddedStore(StoreSettings(data=str(data), segment_mib=0), FakeClock())
    await store.start()
    return store


def lose_catalogue(data: Path) -> None:
    for file in data.glob("catalogue.db*"):
        file.unlink()


async def test_events_that_were_compacted_away_are_said_to_be_lost_and_their_tasks_are_not(tmp_path: Path) -> None:
    store = await started(tmp_path)
    run = Action("", ActionType.TASK, function_name="f")
    await store.add_dispatcher(DispatcherDraft("order", (run,)))
    first = await store.publish(EventDraft("order", id="evt-1"))
    await store.publish(EventDraft("order"))  # when this is written, the segment before it is sealed
    await store.compact()
    kept = await store.publish(EventDraft("order"))
    await store.stop()
    lose_catalogue(tmp_path)
    store = await started(tmp_path)
    assert "nor the 2 events that were published" in (await lost_history(store) or "")
    assert (await store.find_events(parse(""))).rows == [kept]
    assert (await store.find(parse(""))).total == 3
    assert await store.publish(EventDraft("order", id="evt-1")) == first
    assert (await store.find(parse(""))).total == 3
    await store.stop()
