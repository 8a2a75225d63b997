"""What of the functions' start rules is used up: places of what runs or may still run, and when starts are due again.

It changes by events alone, so that a replay gives the same; except that who decides on a start takes its place at once
and gives it back if the start could not be written. What the rules say, and who waits for them, is not known here.
"""

import heapq
from collections.abc import Iterable, Sequence

from msgspec import Struct

from taskd.model.data_key import NO_KEY
from taskd.model.function import Function
from taskd.model.gcra import NEVER_STARTED_NS
from taskd.model.limits import ZOMBIE_MARGIN_S
from taskd.model.start_rules import NO_KEYS, Keys, StartRules, key_reader
from taskd.model.status import Status
from taskd.model.task import ZOMBIE_ERROR_NAME, ErrorType, Task, TaskError

NO_PLACE = 1 << 62
"""Stands for a moment that nobody knows: when something ends."""
_SWEEP_MIN = 1024


class Place(Struct, gc=False, array_like=True):
    """Taken by a task from its start until it can no longer run.

    Persisted as an array in this order: add new fields at the end, with a default.
    """

    task_id: str
    until_ms: int
    """When it has ended even if nobody hears of it."""
    keys: Keys = NO_KEYS
    is_keyed: bool = True
    """Whether ``keys`` are those of the rules that there are now. Without, it counts for every key."""
    before_ns: int = NEVER_STARTED_NS
    after_ns: int = NEVER_STARTED_NS
    """The arrival time of its throttle before and after it."""
    is_zombie: bool = False
    """Whether its task has been settled although it may still run."""


class Usage:
    """What one function uses up of its rules."""

    def __init__(self, rules: StartRules, time_limit_s: int) -> None:
        self.places: dict[str, Place] = {}
        self.by_key: dict[bytes, int] = {}
        """How many places those of a key have; none that have no place."""
        self.unkeyed = 0
        """Places that count for every key."""
        self.arrivals_ns: dict[bytes, int] = {}
        """The state of the throttle, by key."""
        self.large_keys: dict[str, Keys] = {}
        """The keys of tasks whose data is not in memory, as far as they are known."""
        self.is_awaited = False
        """Whether something may wait for a place. Otherwise nobody need be told that one is free."""
        self._sweep_at = _SWEEP_MIN
        self.set_rules(rules, time_limit_s)

    def set_rules(self, rules: StartRules, time_limit_s: int) -> None:
        """These hold from now on. What runs already keeps its place."""
        self.rules = rules
        concurrency, throttle = rules.concurrency, rules.throttle
        self.total = None if concurrency is None else concurrency.total
        self.per_key = None if concurrency is None else concurrency.per_key
        self.gcra = None if throttle is None else throttle.gcra
        self.is_throttled_by_key = throttle is not None and throttle.key is not None
        self.read_keys = key_reader(rules.key_paths)
        self.has_keys = self.read_keys.reads_data
        self._hold_ms = int((time_limit_s + ZOMBIE_MARGIN_S) * 1000)

    def change_rules(self, rules: StartRules, time_limit_s: int) -> None:
        """As :meth:`set_rules`, in the place of others: what has other keys now counts for every key until it ends."""
        at_once, in_time = (now == before for now, before in zip(rules.key_paths, self.rules.key_paths, strict=True))
        if not at_once:
            self._lose_keys()
        if not in_time or rules.throttle is None:
            self.arrivals_ns.clear()
        if not (at_once and in_time):
            self.large_keys.clear()
        self.set_rules(rules, time_limit_s)

    def opens_ms(self, now_ms: int) -> int:
        """When the function as a whole may start another; ``NO_PLACE`` if that depends on what runs."""
        if self.total is not None and len(self.places) >= self.total:
            return NO_PLACE
        if self.gcra is not None and not self.is_throttled_by_key:
            return self.gcra.opens_ms(self.arrivals_ns.get(NO_KEY, NEVER_STARTED_NS), now_ms)
        return now_ms

    def key_opens_ms(self, keys: Keys, now_ms: int) -> int:
        """When another of these keys may start, as far as they decide; as :meth:`opens_ms`, but times come first."""
        if self.is_throttled_by_key and self.gcra is not None:
            opens_ms = self.gcra.opens_ms(self.arrivals_ns.get(keys.in_time, NEVER_STARTED_NS), now_ms)
            if opens_ms > now_ms:
                return opens_ms
        if self.per_key is not None and self.by_key.get(keys.at_once, 0) + self.unkeyed >= self.per_key:
            return NO_PLACE
        return now_ms

    def keys_of(self, task: Task) -> Keys | None:
        """The keys of a task; ``None`` if its data would have to be read for that."""
        if not self.has_keys:
            return NO_KEYS
        data: object = task.data
        return self.read_keys(data) if type(data) is bytes else self.large_keys.get(task.id)

    def take(self, task_id: str, keys: Keys, now_ms: int) -> None:
        """A task starts, and takes its place unless it has it already."""
        if task_id in self.places:
            return
        place = Place(task_id, now_ms + self._hold_ms, keys)
        if self.gcra is not None:
            key = keys.in_time
            place.before_ns = self.arrivals_ns.get(key, NEVER_STARTED_NS)
            place.after_ns = self.arrivals_ns[key] = self.gcra.after(place.before_ns, now_ms)
            if len(self.arrivals_ns) > self._sweep_at:
                self._sweep(now_ms)
        self.put(place)

    def put(self, place: Place) -> None:
        """A task has this place, and had none."""
        self.places[place.task_id] = place
        if not place.is_keyed:
            self.unkeyed += 1
        elif self.per_key is not None:
            self.by_key[place.keys.at_once] = self.by_key.get(place.keys.at_once, 0) + 1

    def give_back(self, task_id: str) -> tuple[Place | None, bool]:
        """The task has not run after all: as if it never had started, as far as none of its key did after it."""
        place = self.free(task_id)
        if place is None or self.gcra is None or self.arrivals_ns.get(place.keys.in_time) != place.after_ns:
            return place, False
        self.arrivals_ns[place.keys.in_time] = place.before_ns
        return place, True

    def free(self, task_id: str) -> Place | None:
        """The task runs no more; gives the place that it had, if it had one."""
        place = self.places.pop(task_id, None)
        if place is None:
            return None
        if not place.is_keyed:
            self.unkeyed -= 1
        elif (count := self.by_key.get(place.keys.at_once, 0)) > 1:
            self.by_key[place.keys.at_once] = count - 1
        else:
            self.by_key.pop(place.keys.at_once, None)
        return place

    def hold_running(self, tasks: Iterable[Task], name: str) -> None:
        """Those that run already when the first rule is set, and whose keys were not read, have a place, too."""
        for task in tasks:
            if task.status is Status.IN_PROGRESS and task.function_name == name and task.id not in self.places:
                self.put(Place(task.id, task.status_changed_ms + self._hold_ms, is_keyed=False))

    def _lose_keys(self) -> None:
        for place in self.places.values():
            place.is_keyed = False
        self.unkeyed = len(self.places)
        self.by_key.clear()

    def _sweep(self, now_ms: int) -> None:
        """Forgets the keys of which one may start as if none had before: as many as there are such keys each time."""
        now_ns = now_ms * 1_000_000
        self.arrivals_ns = {key: arrival_ns for key, arrival_ns in self.arrivals_ns.items() if arrival_ns > now_ns}
        self._sweep_at = _SWEEP_MIN + 2 * len(self.arrivals_ns)


class Freed(Struct, frozen=True, gc=False):
    """A place that is free again, for others of its key; ``None`` for those of every key."""

    function_name: str
    at_once: bytes | None
    in_time: bytes | None = None
    """The key of which one may start earlier than was said, if there is such a key."""


class Usages:
    """Those of all functions that have rules."""

    def __init__(self) -> None:
        self.by_function: dict[str, Usage] = {}
        self.changed: set[str] = set()
        """Functions whose rules were set, changed or dropped since somebody last looked."""
        self.freed: list[Freed] | None = None
        """What became free since somebody last looked; ``None`` if nobody does."""
        self._keyed: set[str] = set()
        """Functions whose rules have keys."""
        self._zombies: list[tuple[int, str, str]] = []
        """A heap of when their time is over, their functions and their ids."""

    def set_function(self, function: Function, tasks: Iterable[Task]) -> None:
        """The function is as it is now; ``tasks`` are all that wait or run."""
        name, rules = function.name, function.start_rules
        usage = self.by_function.get(name)
        if rules is None:
            self.remove_function(name)
        elif usage is None:
            usage = self.by_function[name] = Usage(rules, function.time_limit_s)
            usage.hold_running(tasks, name)
            self.changed.add(name)
        elif usage.rules != rules:
            usage.change_rules(rules, function.time_limit_s)
            self.changed.add(name)
        else:
            usage.set_rules(rules, function.time_limit_s)
        if rules is not None and self.by_function[name].has_keys:
            self._keyed.add(name)
        else:
            self._keyed.discard(name)

    def remove_function(self, name: str) -> None:
        """The function has no rules any more."""
        if self.by_function.pop(name, None) is not None:
            self.changed.add(name)
            self._keyed.discard(name)

    def added_large(self, tasks: Iterable[Task]) -> None:
        """Tasks come with data that will not stay in memory: their keys are read while it is at hand."""
        for task in tasks if self.by_function else ():
            usage = self.by_function.get(task.function_name)
            if usage is not None and usage.has_keys:
                usage.large_keys[task.id] = usage.read_keys(task.data)

    def started(self, tasks: Sequence[Task], keys: Sequence[Keys], at_ms: int) -> None:
        """These have started; with their ``keys``, if any of their functions' rules have some."""
        self.expire(at_ms)
        for place, task in enumerate(tasks):
            usage = self.by_function.get(task.function_name)
            if usage is not None:
                usage.take(task.id, keys[place] if keys else NO_KEYS, at_ms)

    def ended(self, tasks: Iterable[Task]) -> None:
        """These have ended. Whether one may still run, its error says."""
        for task in tasks:
            usage = self.by_function.get(task.function_name)
            if usage is None:
                continue
            usage.large_keys.pop(task.id, None)
            place = usage.places.get(task.id)
            if place is None:
                continue
            if is_zombie(task.error) and place.until_ms > task.status_changed_ms:
                place.is_zombie = True
                self._note_zombie(task.function_name, place)
            else:
                usage.free(task.id)
                self._tell(usage, task.function_name, place)

    def requeued(self, task: Task) -> None:
        """It had not run, and waits again."""
        usage = self.by_function.get(task.function_name)
        if usage is None:
            return
        place, is_earlier = usage.give_back(task.id)
        if place is not None:
            self._tell(usage, task.function_name, place, place.keys.in_time if is_earlier else None)

    def expire(self, now_ms: int) -> None:
        """Frees the places of zombies whose time is over."""
        while self._zombies and self._zombies[0][0] <= now_ms:
            _, name, task_id = heapq.heappop(self._zombies)
            usage = self.by_function.get(name)
            if usage is not None and (place := usage.places.get(task_id)) is not None and place.is_zombie:
                usage.free(task_id)
                self._tell(usage, name, place)

    def restore(self, name: str, places: Iterable[Place], arrivals_ns: Iterable[tuple[bytes, int]]) -> None:
        """The function has these places and this state of its throttle, beside what it has."""
        usage = self.by_function[name]
        for place in places:
            usage.put(place)
            if place.is_zombie:
                self._note_zombie(name, place)
        usage.arrivals_ns.update(arrivals_ns)

    def keys_of(self, tasks: Sequence[Task]) -> tuple[Keys, ...]:
        """The keys under which these have their places; none at all if all of them would be empty."""
        if not self._keyed:
            return ()
        keys = tuple([self._keys_of(task) for task in tasks])
        return keys if any(each is not NO_KEYS for each in keys) else ()

    def give_back(self, tasks: Sequence[Task]) -> None:
        """These do not start after all, although they have taken their places; the last first."""
        for task in reversed(tasks):
            self.requeued(task)

    @property
    def next_expiry_ms(self) -> int | None:
        """When the next place of a zombie becomes free."""
        return self._zombies[0][0] if self._zombies else None

    def _keys_of(self, task: Task) -> Keys:
        usage = self.by_function.get(task.function_name)
        if usage is None or (place := usage.places.get(task.id)) is None:
            return NO_KEYS
        return place.keys if place.keys != NO_KEYS else NO_KEYS

    def _note_zombie(self, name: str, place: Place) -> None:
        heapq.heappush(self._zombies, (place.until_ms, name, place.task_id))

    def _tell(self, usage: Usage, name: str, place: Place, in_time: bytes | None = None) -> None:
        if self.freed is not None and (usage.is_awaited or in_time is not None):
            self.freed.append(Freed(name, place.keys.at_once if place.is_keyed else None, in_time))


def is_zombie(error: TaskError | None) -> bool:
    """Whether a task that ended so may still run."""
    return error is not None and error.name == ZOMBIE_ERROR_NAME and error.type is ErrorType.INVOCATION
