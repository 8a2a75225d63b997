"""The verbs of functions: put, compared with what is there, and removed."""

import functools
from collections.abc import Awaitable, Callable

from taskd.model.errors import RESOURCE_UNKNOWN, ContractError
from taskd.model.function import Function
from taskd.store.base import FunctionChangedError
from taskd.store.embedded import events
from taskd.store.embedded.commit import CommitLog
from taskd.store.embedded.serial import SerialChanges


class Functions:
    """The functions of one store. They change one after the other: an event always fits what came before it."""

    def __init__(self, commits: CommitLog, wait_for_capacity: Callable[[], Awaitable[None]]) -> None:
        """``wait_for_capacity`` waits until more may be created, or raises ``StoreUnavailableError``."""
        self._commits = commits
        self._wait_for_capacity = wait_for_capacity
        self._changes = SerialChanges("functions")
        self.paused: frozenset[str] = frozenset()
        """See ``FunctionRegistry.paused_functions``."""
        self.changing: frozenset[str] = frozenset()
        """The function whose start rules are being changed, if there is one: meanwhile nothing of it may start."""
        self._look_for_paused()

    def get(self, name: str) -> Function | None:
        """See ``FunctionRegistry.function``."""
        return self._commits.state.functions.get(name)

    def by_name(self) -> list[Function]:
        """See ``FunctionRegistry.functions``."""
        return sorted(self._commits.state.functions.values(), key=lambda function: function.name)

    async def put(self, function: Function, expected: Function | None) -> None:
        """See ``FunctionRegistry.put_function``."""
        await self._changes.run(functools.partial(self._put, function, expected))

    async def remove(self, name: str) -> None:
        """See ``FunctionRegistry.remove_function``."""
        await self._changes.run(functools.partial(self._remove, name))

    async def until_changed(self) -> None:
        """Returns when the changes that have been asked for are made."""
        await self._changes.run(_nothing)

    async def _put(self, function: Function, expected: Function | None) -> None:
        await self._wait_for_capacity()
        if self.get(function.name) != expected:
            raise FunctionChangedError(function.name)
        if function.start_rules != (expected.start_rules if expected is not None else None):
            self.changing = frozenset([function.name])
        try:
            await self._commits.submit([events.FunctionPut(function)])
        finally:
            self.changing = frozenset()
        self._look_for_paused()

    async def _remove(self, name: str) -> None:
        if self.get(name) is None:
            raise ContractError(RESOURCE_UNKNOWN, f"There is no function named {name!r}.")
        self._commits.require_writable()
        await self._commits.submit([events.FunctionRemoved(name)])
        self._look_for_paused()

    def _look_for_paused(self) -> None:
        functions = self._commits.state.functions.values()
        self.paused = frozenset(function.name for function in functions if function.paused)


async def _nothing() -> None:
    pass
