"""Clients of a storm: each creates tasks of many kinds, cancels some, and enters what it was told in the ledger."""

import asyncio
import itertools
import random
from typing import Any, Protocol

from aiohttp import ClientError
from support.storm.ledger import Ledger
from support.storm.start_rules import LANES, LIMITED, LIMITED_MS, THROTTLED
from support.storm.unique import REFUSED, TAG, unique_rule

from taskd.model.clock import Clock

FUNCTION = "run-logger"
"""Which most tasks are of."""
FUNCTIONS = {FUNCTION: 957, LIMITED: 40, THROTTLED: 3}
"""How often a task is of which."""
PAUSE_MAX_S = 0.15
"""At most this long between two tasks of a client."""
DURATIONS_MS = {0: 6, 5: 3, 30: 2, 300: 1}
"""How long functions take, and how often that is so: four sandboxes are busy most of the time, and keep up."""
FAR_MS = (20 * 60_000, 90 * 60_000)
"""So far ahead lie tasks that only a clock that jumps brings near."""
UNAVAILABLE = {429: 1429, 503: 1503}
"""The refusals that a storm may cause: HTTP status and code."""
_numbers = itertools.count()


class TaskApi(Protocol):
    """What a client talks to: a daemon that may die and come back elsewhere meanwhile."""

    async def call(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """The status and the JSON of the answer."""


class Rounds(Protocol):
    """What tasks are tagged with for the operation that is to find them."""

    @property
    def failing_tag(self) -> str:
        """Of what fails for good."""

    @property
    def far_tag(self) -> str:
        """Of what lies far ahead."""


class Client:
    """One client; its choices are its generator's."""

    def __init__(
        self,
        api: TaskApi,
        ledger: Ledger,
        clock: Clock,
        rng: random.Random,
        rounds: Rounds,
        *,
        has_rules: bool = False,
    ) -> None:
        """``has_rules``: there are functions with start rules, too."""
        self._api = api
        self._ledger = ledger
        self._clock = clock
        self._rng = rng
        self._rounds = rounds
        self._functions = FUNCTIONS if has_rules else {FUNCTION: 1}

    async def work(self, stopping: asyncio.Event) -> None:
        """Creates and cancels until it is over."""
        while not stopping.is_set():
            try:
                await self._one_task()
                await asyncio.sleep(self._rng.random() * PAUSE_MAX_S)
            except (ClientError, OSError, TimeoutError):  # the daemon is down
                await asyncio.sleep(0.02)

    async def create(self, **body: Any) -> tuple[int, Any]:
        """Creates a task of these fields, and enters it in the ledger."""
        key = body["data"]["key"]
        self._ledger.attempts[key] += 1
        if "unique" in body:
            self._ledger.unique.ask(key)
        status, task = await self._api.call("POST", "", {"functionName": FUNCTION, **body})
        if status == 200:
            self._ledger.created.add(task["id"])
            if "unique" in body:
                self._ledger.unique.answer(key, task)
        elif "unique" not in body or task["code"] != REFUSED:
            assert UNAVAILABLE.get(status) == task["code"], task
        return status, task

    async def _one_task(self) -> None:
        rng = self._rng
        data: dict[str, Any] = unique_key() | {
            "ms": rng.choices([*DURATIONS_MS], [*DURATIONS_MS.values()])[0],
            "fails": rng.random() < 0.1,
            "padding": "x" * rng.choice([0, 0, 0, 1_500]),
            "lane": rng.randrange(LANES),
            "fatal": rng.random() < 0.05,
        }
        name = rng.choices([*self._functions], [*self._functions.values()])[0]
        if name == LIMITED:
            data["ms"] = LIMITED_MS
        kind = rng.choices(["now", "soon", "far"], [17, 2, 1])[0]
        start_ms = {"now": None, "soon": rng.randrange(500), "far": rng.randrange(*FAR_MS)}[kind]
        start = {} if start_ms is None else {"startTimestamp": self._clock() + start_ms}
        far_tag = self._rounds.far_tag
        tags = [self._rounds.failing_tag] * data["fatal"] + [far_tag] * (kind == "far")
        unique = unique_rule(rng)
        tags += [TAG] * len(unique)
        more = {"tags": tags, "priority": rng.randrange(3), **unique, **start}
        status, task = await self.create(functionName=name, data=data, **more)
        if status != 200:
            await asyncio.sleep(0.05)
        elif kind == "soon" or (kind == "far" and rng.random() < 0.3):
            await self._cancel(task["id"])
        elif kind == "far" and far_tag in task["tags"]:  # not another's
            self._ledger.far[task["id"]] = far_tag

    async def _cancel(self, task_id: str) -> None:
        status, answer = await self._api.call("POST", f"/{task_id}/cancel")
        if status == 200:
            self._ledger.canceled.add(task_id)
        else:
            assert answer["code"] in (27, *UNAVAILABLE.values()), answer


def unique_key() -> dict[str, str]:
    """By what a creation is known again, also if its answer was lost."""
    return {"key": f"k{next(_numbers)}"}
