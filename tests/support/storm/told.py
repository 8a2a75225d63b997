"""What a receiver of webhooks hears in a storm: every end, under one id, however often it comes."""

from collections import defaultdict
from contextlib import AbstractAsyncContextManager
from typing import Any

from support.http.receiver import Receiver, receiving
from support.storm.schedule_grid import Record

ENDS = ["task.complete", "task.failed", "task.retried", "task.canceled"]


class Told:
    """Listens from the moment that it is entered."""

    def __init__(self) -> None:
        self._listening: AbstractAsyncContextManager[Receiver] = receiving()
        self._receiver = Receiver()

    async def __aenter__(self) -> "Told":
        self._receiver = await self._listening.__aenter__()
        return self

    async def __aexit__(self, *error: Any) -> None:
        await self._listening.__aexit__(*error)

    @property
    def webhook(self) -> Record:
        """The body that makes the webhook."""
        return {"url": self._receiver.url, "events": ENDS}

    @property
    def count(self) -> int:
        """Of how many tasks it was told."""
        return len({received.json["data"]["id"] for received in self._receiver.received})

    def verify(self, tasks: dict[str, Record]) -> None:
        """Asserts that all ends were told, none was told that was not, and each under one id."""
        ids = defaultdict(set)
        for received in self._receiver.received:
            content = received.json["data"]
            ids[content["id"]].add((received.id, content["status"]))
        assert set(ids) == set(tasks), f"untold: {set(tasks) - set(ids)}, invented: {set(ids) - set(tasks)}"
        for task_id, told in ids.items():
            [(_, status)] = told
            assert status == tasks[task_id]["status"], task_id
