"""Calls of functions, and the queue in which they wait for a sandbox. Knows nothing of sandboxes or processes."""

import random
from collections import Counter, deque
from collections.abc import Callable, Iterator
from functools import partial

from taskd.runtime.base import Invocation, InvocationResult, ResultCallback

_rng = random.Random()  # noqa: S311 - ids are no secrets


class Call:
    """An invocation, who is told its result, and the id that the function sees."""

    __slots__ = (
        "_on_result",
        "deadline_ms",
        "invocation",
        "on_end",
        "request_id",
        "waiting_since_s",
        "waits_until_s",
    )

    def __init__(self, invocation: Invocation, on_result: ResultCallback) -> None:
        self.invocation = invocation
        self._on_result: ResultCallback | None = on_result
        self.on_end: Callable[[], None] | None = None
        """Called once, when it is settled or abandoned."""
        self.request_id = new_request_id()
        self.deadline_ms = 0
        """When the function's time is up; set when a sandbox takes the call."""
        self.waiting_since_s = 0.0
        """When the call began to wait, by the loop's clock."""
        self.waits_until_s = 0.0
        """When the call has waited for as long as it may."""

    @property
    def function_name(self) -> str:
        """The function called."""
        return self.invocation.function_name

    @property
    def is_settled(self) -> bool:
        """Whether it has a result, or nobody wants one any more."""
        return self._on_result is None

    def settle(self, result: InvocationResult) -> None:
        """Passes ``result`` on, unless there was one before."""
        on_result = self._on_result
        self.abandon()
        if on_result is not None:
            on_result(result)

    def abandon(self) -> None:
        """Nobody wants the result any more: the call is not begun if it still waits."""
        self._on_result = None
        on_end, self.on_end = self.on_end, None
        if on_end is not None:
            on_end()


def new_request_id() -> str:
    """A random UUID as text, in a third of the time that ``uuid.uuid4`` takes."""
    digits = f"{_rng.getrandbits(128):032x}"
    variant = "89ab"[int(digits[16], 16) & 3]
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:]}"


class CallQueue:
    """Calls that no sandbox has taken yet: first those of whoever has fewest sandboxes, then first in, first out.

    So calls that somebody waits for, of one caller or another, and tasks of the queue come to have equally many
    sandboxes where they compete for them (max-min fairness), and none waits for more than a call's end.

    A call that is settled while it waits is skipped later (lazy deletion): nothing is removed from the middle.
    """

    def __init__(self) -> None:
        self._by_function: dict[str, dict[str | None, deque[Call]]] = {}
        """By function, then by owner."""
        self._running: Counter[str | None] = Counter()
        """How many calls of each owner sandboxes have taken."""

    def __iter__(self) -> Iterator[Call]:
        """The calls that wait, in no order."""
        queues = (queue for by_owner in self._by_function.values() for queue in by_owner.values())
        return (call for queue in queues for call in queue if not call.is_settled)

    def add(self, call: Call) -> None:
        """Appends ``call``."""
        by_owner = self._by_function.setdefault(call.function_name, {})
        by_owner.setdefault(call.invocation.owner, deque()).append(call)

    def first(self) -> Call | None:
        """The call whose turn is next, if any waits."""
        heads = [head for name in list(self._by_function) if (head := self.first_of(name)) is not None]
        return min(heads, key=self._turn, default=None)

    def first_of(self, function_name: str) -> Call | None:
        """The call of one function whose turn is next, if any waits."""
        by_owner = self._by_function.get(function_name, {})
        for owner in list(by_owner):
            queue = by_owner[owner]
            while queue and queue[0].is_settled:
                queue.popleft()
            if not queue:
                del by_owner[owner]
        if not by_owner:
            self._by_function.pop(function_name, None)
            return None
        return min([queue[0] for queue in by_owner.values()], key=self._turn)

    def remove(self, call: Call) -> None:
        """Removes ``call``, which is the oldest of its function and its owner."""
        self._by_function[call.function_name][call.invocation.owner].popleft()

    def remove_all(self) -> list[Call]:
        """Empties the queue."""
        calls = list(self)
        self._by_function.clear()
        return calls

    def began(self, call: Call) -> None:
        """A sandbox has taken ``call``; it counts until it has its result."""
        self._running[call.invocation.owner] += 1
        call.on_end = partial(self._ended, call.invocation.owner)

    def _ended(self, owner: str | None) -> None:
        self._running[owner] -= 1
        if not self._running[owner]:
            del self._running[owner]

    def _turn(self, call: Call) -> tuple[int, float]:
        return self._running[call.invocation.owner], call.waiting_since_s
