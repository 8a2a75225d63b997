"""What other rooms tell of: published in order, however little room there is at the moment."""

import asyncio

from msgspec import Struct

from taskd.model.errors import TOO_MANY_REQUESTS, ContractError
from taskd.model.event import Event, EventDraft
from taskd.rql.parser import parse
from taskd.store.base import TaskStore
from taskd.triggers.system_events import WAITING_MAX, SystemEvents


class Happened(Struct):
    type: str
    content: dict[str, str]


async def published(store: TaskStore) -> list[tuple[str, bytes | None, str | None]]:
    rows = (await store.find_events(parse("limit(100)"))).rows
    return [(event.type, event.content, event.created_by_user_id) for event in rows]


async def test_what_was_told_is_published_in_order_and_by_nobody(store: TaskStore) -> None:
    told = asyncio.Event()
    store.on_published(lambda publication: told.set() if publication.event.type == "user_deleted" else None)
    service = SystemEvents(store)
    await service.start()
    service.tell([Happened("user_created", {"id": "1"}), Happened("user_deleted", {"id": "2"})])
    async with asyncio.timeout(10):
        await told.wait()
    await service.stop()
    assert await published(store) == [("user_created", b'{"id":"1"}', None), ("user_deleted", b'{"id":"2"}', None)]


async def test_what_waits_is_published_at_the_end(store: TaskStore) -> None:
    service = SystemEvents(store)
    service.tell([Happened("user_created", {"id": str(number)}) for number in range(3)])
    await service.stop()
    assert [content for _, content, _ in await published(store)] == [b'{"id":"0"}', b'{"id":"1"}', b'{"id":"2"}']
    await service.stop()


class Cramped(Struct):
    """A store without room, at first."""

    store: TaskStore
    refusals: int

    def now_ms(self) -> int:
        return self.store.now_ms()

    async def publish(self, draft: EventDraft) -> Event:
        if self.refusals:
            self.refusals -= 1
            raise ContractError(TOO_MANY_REQUESTS, "no room")
        return await self.store.publish(draft)


async def test_what_there_is_no_room_for_waits_and_no_more_than_may(store: TaskStore) -> None:
    cramped = Cramped(store, refusals=1)
    service = SystemEvents(cramped)  # type: ignore[arg-type]  # it asks for nothing else
    service.tell([Happened("user_created", {"id": str(number)}) for number in range(WAITING_MAX + 5)])
    assert len(service._waiting) == WAITING_MAX
    service._waiting = type(service._waiting)(list(service._waiting)[:2])
    await service.stop()
    assert await published(store) == []
    await service.stop()
    assert [content for _, content, _ in await published(store)] == [b'{"id":"0"}', b'{"id":"1"}']
