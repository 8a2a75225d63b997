"""Changes that are made one after the other: each sees what the one before it has left."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class SerialChanges:
    """Makes one change at a time, to its end, also when its caller is cancelled: its frame is on its way then."""

    def __init__(self, name: str) -> None:
        """``name`` is what the asyncio tasks are called."""
        self._name = name
        self._turn = asyncio.Lock()

    async def run(self, change: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """What ``change`` gives, when its turn has come."""
        return await asyncio.shield(asyncio.create_task(self._in_turn(change), name=self._name))

    async def _in_turn(self, change: Callable[[], Coroutine[Any, Any, T]]) -> T:
        async with self._turn:
            return await change()
