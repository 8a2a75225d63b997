"""Calls of functions, and the queue in which they wait for a sandbox. Knows nothing of sandboxes or processes."""

import asyncio
import uuid
from collections import deque

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
    """Calls that no sandbox has taken yet, first in, first out, over all functions and for each.

    A call that is settled while it waits is skipped later (lazy deletion): nothing is removed from the middle.
    """

    def __init__(self) -> None:
        self._by_function: dict[str, deque[Call]] = {}

    def add(self, call: Call) -> None:
        """Appends ``call``."""
        self._by_function.setdefault(call.function_name, deque()).append(call)

    def oldest(self) -> Call | None:
        """The call that has waited longest, if any does."""
        heads = [head for name in list(self._by_function) if (head := self.oldest_of(name)) is not None]
        return min(heads, key=lambda call: call.waiting_since_s, default=None)

    def oldest_of(self, function_name: str) -> Call | None:
        """The call of one function that has waited longest, if any does."""
        queue = self._by_function.get(function_name)
        while queue:
            if not queue[0].future.done():
                return queue[0]
            queue.popleft()
        self._by_function.pop(function_name, None)
        return None

    def remove(self, call: Call) -> None:
        """Removes ``call``, which is the oldest of its function."""
        self._by_function[call.function_name].popleft()
        if call.wait_timeout is not None:
            call.wait_timeout.cancel()

    def remove_all(self) -> list[Call]:
        """Empties the queue."""
        calls = [call for queue in self._by_function.values() for call in queue]
        self._by_function.clear()
        for call in calls:
            if call.wait_timeout is not None:
                call.wait_timeout.cancel()
        return calls
