"""An event and its tasks are there together or not at all, whenever the daemon dies."""

import asyncio
import json
import random
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientError, ClientSession, ClientTimeout
from support.daemon.process import DaemonProcess, api_of, running_daemon

pytestmark = pytest.mark.slow

EVENTS = 500
SENDERS = 10
KILLS = 10
SEED = 20_26
FAR_FUTURE = "2999-01-01T00:00:00.000Z"


class Senders:
    """Those who tell of events until they are answered, and kills whenever so many were."""

    def __init__(self, daemon: DaemonProcess, session: ClientSession, rng: random.Random) -> None:
        self.daemon = daemon
        self.session = session
        self.rng = rng
        self.answered: dict[str, str] = {}
        """The ids of events by what tells them apart."""
        self.progress = asyncio.Condition()
        self.up = asyncio.Event()
        self.up.set()

    async def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        async with self.session.post(self.daemon.url + path, json=body) as response:
            assert response.status == 200, await response.text()
            return dict(await response.json())

    async def tell_all(self, sender: int) -> None:
        for number in range(EVENTS // SENDERS):
            await self.tell(f"{sender}-{number}", own_id=number % 2 == 0)

    async def tell(self, name: str, *, own_id: bool) -> None:
        """Tries until it is answered; half of the events have an id of their own, and so are the same when sent again.

        Of the others, a try that broke off may have left an event that nobody was told of.
        """
        body = {"type": "order", "content": {"name": name}, **({"id": f"evt-{name}"} if own_id else {})}
        while True:
            await self.up.wait()
            try:
                event = await self.post("/events/v1", body)
            except (ClientError, OSError):
                continue
            async with self.progress:
                self.answered[name] = event["id"]
                self.progress.notify_all()
            return

    async def kill_repeatedly(self) -> None:
        for count in sorted(self.rng.sample(range(1, EVENTS - 20), KILLS)):
            async with self.progress:
                await self.progress.wait_for(partial(self.has_answers, count))
            await asyncio.sleep(self.rng.random() / 50)
            self.up.clear()
            await self.daemon.kill()
            await self.daemon.start()
            self.up.set()

    def has_answers(self, count: int) -> bool:
        return len(self.answered) >= count


async def all_events(session: ClientSession, url: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    while True:
        async with session.get(f"{url}/events/v1?limit(100,{len(found)})") as response:
            page = await response.json()
        found += page["data"]
        if len(found) >= page["page"]["total"]:
            return found


async def test_an_event_that_was_answered_has_exactly_its_six_tasks_through_ten_kills(tmp_path: Path) -> None:
    action = {"type": "task", "functionName": "later", "startTimestamp": FAR_FUTURE}
    async with (
        running_daemon(tmp_path, '[log]\nlevel = "warning"\n') as daemon,
        api_of(daemon) as api,
        ClientSession(timeout=ClientTimeout(total=60)) as session,
    ):
        senders = Senders(daemon, session, random.Random(SEED))
        for _ in range(3):
            await senders.post("/dispatchers/v1", {"eventType": "order", "actions": [action, action]})
        await asyncio.gather(senders.kill_repeatedly(), *(senders.tell_all(sender) for sender in range(SENDERS)))
        events = await all_events(session, daemon.url)
        made = Counter(json.dumps(task["data"]["event"], sort_keys=True) for task in await api.all_tasks())
        assert await daemon.stop() == 0

    assert made == {json.dumps(event, sort_keys=True): 6 for event in events}
    kept = Counter(event["id"] for event in events)
    assert len(senders.answered) == EVENTS
    assert set(senders.answered.values()) <= set(kept)
    assert max(kept.values()) == 1
    # what nobody was told of, one at most for each sender and kill, is whole as well
    assert EVENTS <= len(events) <= EVENTS + SENDERS * KILLS
    names = Counter(event["content"]["name"] for event in events)
    assert all(names[name] == 1 for name, event_id in senders.answered.items() if event_id.startswith("evt-"))
