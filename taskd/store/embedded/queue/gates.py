"""The gates of all functions that have start rules, in the order of work: a heap by where their best open tasks stand.

An entry may stand too far in front, never too far behind: what it says is looked at again when it comes first. So
nothing has to be moved when something starts, and a function that may start nothing leaves the heap until a place is
free or its moment comes.
"""

import heapq
from collections.abc import Collection, Iterator

from taskd.model.task import Task
from taskd.store.embedded.queue.gate import Gate, Lane
from taskd.store.embedded.queue.plain_gate import PlainGate
from taskd.store.embedded.queue.ready import Ready
from taskd.store.embedded.queue.sorted_runs import IsWaiting, Key, key_of
from taskd.store.embedded.queue.usage import NO_PLACE, Usage, Usages

_UNLISTED = 0
_HELD = -1
_ALARMS_AT_ONCE = 512
"""How many of those that are due are looked at before a call gives what it has: some 1 ms."""

AnyGate = Gate | PlainGate


class Gates:
    """The gates, by function, and what they wait for."""

    def __init__(self, usages: Usages, is_waiting: IsWaiting, run_max: int) -> None:
        self._usages = usages
        self._is_waiting = is_waiting
        self._run_max = run_max
        self.by_function: dict[str, AnyGate] = {}
        self.unread: list[Task] = []
        """Due tasks whose keys are not known before their data is read."""
        self._dead = 0
        self._listed: list[tuple[Key, int, AnyGate]] = []
        self._listings = _UNLISTED
        self._alarms: list[tuple[int, int, Lane | AnyGate]] = []
        self._held: list[AnyGate] = []

    def change_rules(self) -> Iterator[Ready]:
        """Makes gates as the rules are now; gives all tasks of those that were changed, to be added anew."""
        changed = self._usages.changed
        for name in changed:
            gate = self.by_function.pop(name, None)
            if gate is not None:
                gate.listing = _UNLISTED
                yield from gate.release()
            usage = self._usages.by_function.get(name)
            if usage is not None:
                self.by_function[name] = self._gate(name, usage)
        changed.clear()

    def _gate(self, name: str, usage: Usage) -> AnyGate:
        if usage.has_keys:
            return Gate(name, usage, self._run_max, self._set_alarm)
        return PlainGate(name, usage, self._run_max)

    def add(self, task: Task, now_ms: int) -> None:
        """Takes a due task of one of these functions."""
        gate = self.by_function[task.function_name]
        keys = gate.usage.keys_of(task)
        if keys is None:
            self.unread.append(task)
            return
        gate.add(task, keys, now_ms)
        if gate.listing <= _UNLISTED or key_of(task) < gate.listed_at:
            self._list(gate, now_ms)

    def begin(self, now_ms: int, held: Collection[str]) -> None:
        """Looks at what has come up: functions that are held no longer, moments that have come, places free again."""
        if self._held:
            self._release_all_but(held, now_ms)
        self._usages.expire(now_ms)
        self.free(now_ms)
        for _ in range(_ALARMS_AT_ONCE):
            if not self._alarms or self._alarms[0][0] > now_ms:
                return
            self._ring(heapq.heappop(self._alarms)[2], now_ms)

    def free(self, now_ms: int) -> bool:
        """Lets those go on that waited for places which are free by now; says whether there may be any."""
        freed = self._usages.freed
        if not freed:
            return False
        for each in freed:
            gate = self.by_function.get(each.function_name)
            if gate is not None:
                gate.usage.is_awaited = False
                gate.wake(each.at_once, now_ms)
                if each.in_time is not None:
                    gate.look_again(each.in_time, now_ms)
                gate.usage.is_awaited |= gate.has_sleepers
                self._list(gate, now_ms)
        freed.clear()
        return bool(self._listed)

    def best(self, now_ms: int, held: Collection[str]) -> Key | None:
        """Where the best function stands that may start something; :meth:`take` gives its next task."""
        listed = self._listed
        while listed:
            key, listing, gate = listed[0]
            if gate.listing != listing:
                heapq.heappop(listed)
                continue
            if held and gate.name in held:
                heapq.heappop(listed)
                gate.listing = _HELD
                self._held.append(gate)
                continue
            position = self._position(gate, now_ms)
            if position == key:
                return key
            if position is None:
                heapq.heappop(listed)
                gate.listing = _UNLISTED
            else:
                self._listings += 1
                gate.listing, gate.listed_at = self._listings, position
                heapq.heapreplace(listed, (position, self._listings, gate))
        return None

    def take(self, now_ms: int) -> Task | None:
        """The next task of the function that :meth:`best` has found, with its place; ``None`` if none still waits."""
        gate = self._listed[0][2]
        task = gate.take(now_ms, self._is_waiting)
        self._dead += gate.dead
        gate.dead = 0
        return task

    def take_dead(self) -> int:
        """How many tasks that no longer wait were dropped since this was last asked."""
        dead, self._dead = self._dead, 0
        return dead

    def next_ms(self) -> int | None:
        """When one may start, as far as that is known, in the past if one may be able to now."""
        while self._listed and self._listed[0][2].listing != self._listed[0][1]:
            heapq.heappop(self._listed)
        if self._listed:
            return self._listed[0][0][1]
        moments = [self._alarms[0][0]] if self._alarms else []
        expiry_ms = self._usages.next_expiry_ms
        if expiry_ms is not None and any(not gate.is_empty for gate in self.by_function.values()):
            moments.append(expiry_ms)
        return min(moments, default=None)

    def lanes(self) -> Iterator[Ready]:
        """All tasks but those in ``unread``."""
        for gate in self.by_function.values():
            yield from gate.lanes()

    def __len__(self) -> int:
        return sum(map(len, self.by_function.values())) + len(self.unread)

    def _position(self, gate: AnyGate, now_ms: int) -> Key | None:
        """Where the gate stands now; ``None`` if it may start nothing, and then it is looked at when it may."""
        opens_ms = gate.usage.opens_ms(now_ms)
        if opens_ms <= now_ms:
            return gate.position(now_ms)
        if opens_ms == NO_PLACE:
            gate.usage.is_awaited = True
        elif opens_ms != gate.alarm_ms:
            gate.alarm_ms = opens_ms
            self._set_alarm(opens_ms, gate)
        return None

    def _list(self, gate: AnyGate, now_ms: int) -> None:
        """Lets the gate stand where it may belong by now."""
        if gate.listing == _HELD:
            return
        position = self._position(gate, now_ms)
        if position is not None and (gate.listing == _UNLISTED or position < gate.listed_at):
            self._push(gate, position)

    def _push(self, gate: AnyGate, position: Key) -> None:
        self._listings += 1
        gate.listing = self._listings
        gate.listed_at = position
        heapq.heappush(self._listed, (position, self._listings, gate))

    def _set_alarm(self, at_ms: int, lane: Lane | AnyGate) -> None:
        self._listings += 1
        heapq.heappush(self._alarms, (at_ms, self._listings, lane))

    def _ring(self, waiting: Lane | AnyGate, now_ms: int) -> None:
        gate: AnyGate
        if isinstance(waiting, Lane):
            gate = waiting.gate
            if not gate.is_of(waiting) or waiting.turn or waiting.is_asleep:  # it was looked at earlier than was said
                return
            waiting.gate.place(waiting, now_ms)
        else:
            gate = waiting
            gate.alarm_ms = 0
        if self.by_function.get(gate.name) is gate:
            self._list(gate, now_ms)

    def _release_all_but(self, held: Collection[str], now_ms: int) -> None:
        still = [gate for gate in self._held if gate.name in held]
        for gate in self._held:
            if gate.name not in held and self.by_function.get(gate.name) is gate:
                gate.listing = _UNLISTED
                self._list(gate, now_ms)
        self._held = still
