"""The due tasks of one function that has start rules, in lanes: one for those that the rules do not tell apart.

A lane is *open* when its next task may start as far as its keys decide. Open lanes take turns within a priority: whose
turn it was goes to the end of the line. Others wait in a line for a place of their key, or for a moment, and are not
looked at before. So a lane costs something when one of its tasks starts or ends, and never because of other lanes.
"""

import heapq
from collections.abc import Callable, Iterator

from taskd.model.start_rules import Keys
from taskd.model.task import Task
from taskd.store.embedded.queue.ready import Ready
from taskd.store.embedded.queue.sorted_runs import IsWaiting, Key
from taskd.store.embedded.queue.usage import NO_PLACE, Usage

_CLOSED = 0
"""The turn of lanes that are not open."""
SetAlarm = Callable[[int, "Lane"], None]
"""Has the lane looked at again at that moment."""


class Lane:
    """Due tasks with the same keys, best first."""

    __slots__ = ("gate", "is_asleep", "keys", "rank", "tasks", "turn")

    def __init__(self, gate: "Gate", keys: Keys, run_max: int) -> None:
        self.gate = gate
        self.keys = keys
        self.tasks = Ready(run_max)
        self.rank = 0
        """Minus the priority of the best task when the lane took its place in a line."""
        self.turn = _CLOSED
        """Where it stands among open lanes of its rank: a number of its own each time."""
        self.is_asleep = False
        """Whether it waits for a place of its key."""


class Gate:
    """What waits for one function's rules. Its owner asks for a task only while the function as a whole may start."""

    def __init__(self, name: str, usage: Usage, run_max: int, set_alarm: SetAlarm) -> None:
        self.name = name
        self.usage = usage
        self.listing = 0
        """Which entry of the owner's is its own; 0 if it has none."""
        self.listed_at: Key = (0, 0, 0)
        """Where that entry stands."""
        self.alarm_ms = 0
        """When the owner looks at it again; 0 if that depends on what runs."""
        self.dead = 0
        """How many tasks that no longer wait were dropped since the owner last looked."""
        self._run_max = run_max
        self._set_alarm = set_alarm
        self._lanes: dict[Keys, Lane] = {}
        self._turns: list[tuple[int, int, Lane]] = []
        """A heap of open lanes by rank and turn. Entries of an earlier turn of theirs are passed over."""
        self._ages: list[tuple[Key, int, Lane]] = []
        """A heap of open lanes by their best tasks; otherwise as ``_turns``."""
        self._sleepers: dict[bytes, list[tuple[int, int, Lane]]] = {}
        """Heaps of lanes that wait for a place, by the key of that; by rank, and in the order in which they came."""
        self._alarmed: dict[bytes, set[Lane]] = {}
        """Lanes that wait for a moment, by the key that it is of."""
        self._last_turn = _CLOSED

    def add(self, task: Task, keys: Keys, now_ms: int) -> None:
        """Takes a due task."""
        lane = self._lanes.get(keys)
        if lane is None:
            lane = self._lanes[keys] = Lane(self, keys, self._run_max)
            lane.tasks.push(task)
            self.place(lane, now_ms)
            return
        lane.tasks.push(task)
        if -task.priority < lane.rank and (lane.turn or lane.is_asleep):
            self.place(lane, now_ms)
        elif lane.turn and -task.priority == lane.rank:
            heapq.heappush(self._ages, (_key_of(task), lane.turn, lane))

    def position(self, now_ms: int) -> Key | None:
        """Where the function stands among others: where the best task of an open lane does. ``None`` if none is open.

        Not whose turn it is: a young task whose turn has come does not lose the place that older ones gave it.
        """
        lane = self._first_open(now_ms)
        if lane is None:
            return None
        ages = self._ages
        while ages[0][1] != ages[0][2].turn:
            heapq.heappop(ages)
        return ages[0][0]

    def take(self, now_ms: int, is_waiting: IsWaiting) -> Task | None:
        """Takes out the next task, which has its place; ``None`` if none that still waits may start now."""
        while (lane := self._first_open(now_ms)) is not None:
            heapq.heappop(self._turns)
            lane.turn = _CLOSED
            task = lane.tasks.pop()
            while task is not None and not is_waiting(task):
                self.dead += 1
                task = lane.tasks.pop() if _is_of_rank(lane) else None
            if task is not None:
                self.usage.take(task.id, lane.keys, now_ms)
            self.place(lane, now_ms)
            if task is not None:
                return task
        return None

    def wake(self, at_once: bytes | None, now_ms: int) -> None:
        """A place is free for this key, or for every key: who waits for it is looked at."""
        for key in [*self._sleepers] if at_once is None else (at_once,):
            self._wake_one(key, now_ms)

    def look_again(self, in_time: bytes, now_ms: int) -> None:
        """One of this key may start earlier than was said to the lanes that wait for their moment."""
        for lane in self._alarmed.pop(in_time, ()):
            if self.is_of(lane):
                self.place(lane, now_ms)

    def place(self, lane: Lane, now_ms: int) -> None:
        """Lets the lane stand where it belongs now."""
        if self._alarmed:
            self._forget_moment(lane)
        if (best := lane.tasks.best()) is None:
            del self._lanes[lane.keys]
            self._left(lane, now_ms)
            return
        lane.rank = -best.priority
        opens_ms = self.usage.key_opens_ms(lane.keys, now_ms)
        if opens_ms <= now_ms:
            self._open(lane, best)
        elif opens_ms == NO_PLACE:
            self._sleep(lane)
        else:
            self._left(lane, now_ms)
            self._await_moment(lane, opens_ms)

    def release(self) -> Iterator[Ready]:
        """Gives all tasks away, and is of no use any more."""
        lanes, self._lanes = self._lanes, {}
        for lane in lanes.values():
            lane.turn = _CLOSED
            yield lane.tasks

    def lanes(self) -> Iterator[Ready]:
        """The tasks, by their keys."""
        return (lane.tasks for lane in self._lanes.values())

    def __len__(self) -> int:
        return sum(len(tasks) for tasks in self.lanes())

    @property
    def is_empty(self) -> bool:
        """Whether nothing waits here."""
        return not self._lanes

    @property
    def has_sleepers(self) -> bool:
        """Whether a lane may wait for a place of its key."""
        return bool(self._sleepers)

    def is_of(self, lane: Lane) -> bool:
        """Whether the lane still has tasks here."""
        return self._lanes.get(lane.keys) is lane

    def _open(self, lane: Lane, best: Task) -> None:
        lane.is_asleep = False
        self._last_turn += 1
        lane.turn = self._last_turn
        heapq.heappush(self._turns, (lane.rank, lane.turn, lane))
        heapq.heappush(self._ages, (_key_of(best), lane.turn, lane))

    def _sleep(self, lane: Lane) -> None:
        """Goes to the end of the line, or nearer to its front if its best task is of a higher priority now."""
        lane.turn = _CLOSED
        lane.is_asleep = True
        self.usage.is_awaited = True
        self._last_turn += 1
        line = self._sleepers.setdefault(lane.keys.at_once, [])
        heapq.heappush(line, (lane.rank, self._last_turn, lane))

    def _left(self, lane: Lane, now_ms: int) -> None:
        """Another may have the place that the lane would have taken next."""
        lane.turn = _CLOSED
        lane.is_asleep = False
        self._wake_one(lane.keys.at_once, now_ms)

    def _wake_one(self, at_once: bytes, now_ms: int) -> None:
        """Opens the first lane in the line that can be, if there is a place."""
        line = self._sleepers.get(at_once)
        while line:
            rank, _, lane = line[0]
            if not lane.is_asleep or not self.is_of(lane) or rank != lane.rank:
                heapq.heappop(line)
                continue
            opens_ms = self.usage.key_opens_ms(lane.keys, now_ms)
            if opens_ms == NO_PLACE:
                return
            heapq.heappop(line)
            lane.is_asleep = False
            if opens_ms > now_ms:
                self._await_moment(lane, opens_ms)
            elif (best := lane.tasks.best()) is not None:
                self._open(lane, best)
                return
        self._sleepers.pop(at_once, None)

    def _await_moment(self, lane: Lane, opens_ms: int) -> None:
        self._alarmed.setdefault(lane.keys.in_time, set()).add(lane)
        self._set_alarm(opens_ms, lane)

    def _forget_moment(self, lane: Lane) -> None:
        lanes = self._alarmed.get(lane.keys.in_time)
        if lanes is not None:
            lanes.discard(lane)
            if not lanes:
                del self._alarmed[lane.keys.in_time]

    def _first_open(self, now_ms: int) -> Lane | None:
        """Whose turn it is; others of its key, or direct executions, may have closed lanes that were open."""
        turns = self._turns
        while turns:
            _, turn, lane = turns[0]
            if lane.turn == turn:
                if self.usage.key_opens_ms(lane.keys, now_ms) <= now_ms:
                    return lane
                self.place(lane, now_ms)
            if turns and turns[0][1] == turn:
                heapq.heappop(turns)
        self._ages.clear()
        return None


def _key_of(task: Task) -> Key:
    return (-task.priority, task.start_ms, task.seq)


def _is_of_rank(lane: Lane) -> bool:
    best = lane.tasks.best()
    return best is not None and -best.priority == lane.rank
