"""Operations of a storm: each goes over what was made for its round, at its rate, while faults come."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple

from support.storm.ledger import Ledger
from support.storm.schedule_grid import Record

RATE_PER_S = 40
"""So that most go on over a fault."""

Call = Callable[[str, str, object], Awaitable[Any]]
"""Method, path and body of a call that must succeed, and its answer."""


class Round(NamedTuple):
    """What is known of the operations of one round when they are made."""

    replay_id: str
    cancel_id: str
    failed: frozenset[str]
    """Tasks of the round that had been seen to fail for good."""
    far: frozenset[str]
    """Those of a far future that were acknowledged, and whose cancelling was not asked for."""


class Operations:
    """All rounds of a storm. Clients tag what they make with the tag of the round that goes on."""

    def __init__(self, call: Call, ledger: Ledger) -> None:
        self._call = call
        self._ledger = ledger
        self._rounds: list[Round] = []

    @property
    def failing_tag(self) -> str:
        """Of what fails for good: the next replay finds it."""
        return f"failing-{len(self._rounds)}"

    @property
    def far_tag(self) -> str:
        """Of what lies far ahead: the next cancelling finds it."""
        return f"far-{len(self._rounds)}"

    async def begin(self) -> None:
        """Replays what failed in this round, and cancels what waits; another round begins."""
        failing_tag, far_tag = self.failing_tag, self.far_tag
        failed = self._ledger.failed_with(failing_tag)
        far = self._ledger.waiting_far(far_tag)
        key = f"replay {len(self._rounds)}"
        data = {"key": key, "ms": 0, "fails": False, "lane": 0}
        replay = await self._add("replay", f"eq(status,failed)&eq(tags,{failing_tag})", data=data)
        self._ledger.attempts[key] = replay["matched"]
        cancel = await self._add("cancel", f"eq(status,new)&eq(tags,{far_tag})")
        self._rounds.append(Round(replay["id"], cancel["id"], frozenset(failed), frozenset(far)))

    async def _add(self, action: str, rql: str, **more: object) -> Record:
        body = {"action": action, "rql": rql, "ratePerSecond": RATE_PER_S, **more}
        return dict(await self._call("POST", "/operations", body))

    async def are_over(self) -> bool:
        """Whether none goes on."""
        return not (await self._call("GET", "/operations?status=running&limit(1)", None))["data"]

    async def verify(self, tasks: Mapping[str, Record]) -> None:
        """Asserts that each has done what it said to all that matched, once."""
        replays = [task for task in tasks.values() if "replayOfTaskId" in task]
        replayed = [task["replayOfTaskId"] for task in replays]
        assert len(set(replayed)) == len(replayed), "something was replayed twice"
        for number, its_round in enumerate(self._rounds):
            replay = await self._ended(its_round.replay_id)
            mine = [old for old in replayed if f"failing-{number}" in tasks[old]["tags"]]
            assert len(mine) == replay["done"], f"{len(mine)} were replayed: {replay}"
            left = its_round.failed - set(mine)
            assert all("unique" in tasks[task_id] for task_id in left), f"not replayed: {left}"
            assert len(left) <= replay["skipped"], replay
            cancel = await self._ended(its_round.cancel_id)
            waiting = [task_id for task_id in its_round.far if tasks[task_id]["status"] == "new"]
            assert not waiting, f"not canceled: {waiting}, {cancel}"
        for task in replays:
            assert tasks[task["replayOfTaskId"]]["replayedByTaskId"] == task["id"], task

    async def _ended(self, operation_id: str) -> Record:
        found = dict(await self._call("GET", f"/operations/{operation_id}", None))
        assert found["status"] == "done", found
        assert found["done"] + found["skipped"] == found["matched"], found
        return found
