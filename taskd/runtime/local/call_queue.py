"""One call on its way through the local runtime, and the order in which calls wait for a sandbox.

Knows nothing of sandboxes or processes.
"""

import asyncio
import uuid
from collections import deque

from taskd.runtime.base import Invocation, InvocationResult


class Call:
    """An invocation, the future that its caller waits on, and the id that the function sees."""

    __slots__ = ("deadline_ms", "invocation", "outcome", "patience", "request_id", "since_s")

    def __init__(self, invocation: Invocation, outcome: asyncio.Future[InvocationResult]) -> None:
        self.invocation = invocation
        self.outcome = outcome
        self.request_id = str(uuid.uuid4())
        self.deadline_ms = 0
        """When the function's time is up; set when a sandbox takes the call."""
        self.since_s = 0.0
        """When the call began to wait, by the loop's clock."""
        self.patience: asyncio.TimerHandle | None = None
        """Runs out when the call has waited long enough."""

    @property
    def function_name(self) -> str:
        """The function called."""
        return self.invocation.function_name

    def settle(self, result: InvocationResult) -> None:
        """Tells the caller, unless it has gone away or was told already."""
        if not self.outcome.done():
            self.outcome.set_result(result)


class WaitingCalls:
    """Calls that no sandbox has taken yet, oldest first, over all functions and for each.

    A call that is settled while it waits is passed over later: nothing is removed from the middle.
    """

    def __init__(self) -> None:
        self._by_function: dict[str, deque[Call]] = {}

    def add(self, call: Call) -> None:
        """``call`` waits from now on, behind all that are here."""
        self._by_function.setdefault(call.function_name, deque()).append(call)

    def oldest(self) -> Call | None:
        """The call that has waited longest, if any does."""
        heads = [head for name in list(self._by_function) if (head := self.oldest_of(name)) is not None]
        return min(heads, key=lambda call: call.since_s, default=None)

    def oldest_of(self, function_name: str) -> Call | None:
        """The call of one function that has waited longest, if any does."""
        queue = self._by_function.get(function_name)
        while queue:
            if not queue[0].outcome.done():
                return queue[0]
            queue.popleft()
        self._by_function.pop(function_name, None)
        return None

    def take(self, call: Call) -> None:
        """``call``, the oldest of its function, waits no longer."""
        self._by_function[call.function_name].popleft()
        if call.patience is not None:
            call.patience.cancel()

    def take_all(self) -> list[Call]:
        """Empties the line."""
        calls = [call for queue in self._by_function.values() for call in queue]
        self._by_function.clear()
        for call in calls:
            if call.patience is not None:
                call.patience.cancel()
        return calls
