"""Calls of functions, and the queue in which they wait for a sandbox. Knows nothing of sandboxes or processes."""

import asyncio
import functools
import uuid
from collections import Counter, deque

from taskd.runtime.base import Invocation, InvocationResult


class Call:
    """An invocation, the future that its caller waits on, and the id that the function sees."""

    __slots__ = ("deadline_ms", "future", "invocation", "request_id", "wait_timeout", "waiting_since_s")

    def __init__(self, invocation: Invocation, future: asyncio.Future[InvocationResult]) -> None:
        self.invocation = invocation
        self.future = future
        self.request_id = str(uuid.uuid4())
        self.deadline_ms = 0
        """When the function's time is up; set when a sandbox takes the call."""
        self.waiting_since_s = 0.0
        """When the call began to wait, by the loop's clock."""
        self.wait_timeout: asyncio.TimerHandle | None = None
        """Fires when the call has waited for as long as it may."""

    @property
    def function_name(self) -> str:
        """The function called."""
        return self.invocation.function_name

    def settle(self, result: InvocationResult) -> None:
        """Returns ``result`` to the caller, unless it has cancelled the call or has a result already."""
        if not self.future.done():
            self.future.set_result(result)


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
            while queue and queue[0].future.done():
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
        if call.wait_timeout is not None:
            call.wait_timeout.cancel()

    def remove_all(self) -> list[Call]:
        """Empties the queue."""
        calls = [call for by_owner in self._by_function.values() for queue in by_owner.values() for call in queue]
        self._by_function.clear()
        for call in calls:
            if call.wait_timeout is not None:
                call.wait_timeout.cancel()
        return calls

    def began(self, call: Call) -> None:
        """A sandbox has taken ``call``; it counts until it has its result."""
        self._running[call.invocation.owner] += 1
        call.future.add_done_callback(functools.partial(self._ended, call.invocation.owner))

    def _ended(self, owner: str | None, _: "asyncio.Future[InvocationResult]") -> None:
        self._running[owner] -= 1
        if not self._running[owner]:
            del self._running[owner]

    def _turn(self, call: Call) -> tuple[int, float]:
        return self._running[call.invocation.owner], call.waiting_since_s
