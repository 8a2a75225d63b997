"""Deploying functions: the runtime and the store step by step, so that no step leaves a half-known function.

Changes of one function happen one after the other; changes of different functions at the same time.
"""

import asyncio
from weakref import WeakValueDictionary

from taskd.model import errors
from taskd.model.errors import ContractError
from taskd.model.function import Function
from taskd.runtime.base import Runtime
from taskd.store.base import TaskStore


class Deployments:
    """The functions of ``store``, each deployed to ``runtime``."""

    def __init__(self, store: TaskStore, runtime: Runtime) -> None:
        self._store = store
        self._runtime = runtime
        # a lock lives as long as somebody holds or awaits it
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def create(self, function: Function, code: bytes) -> Function:
        """The function is known and runs ``code``; gives it with its code version.

        :raises ContractError: ``ALREADY_EXISTS``, or what the runtime or the store has against it; then
            there is no trace of it.
        """
        async with self._lock(function.name):
            if self._store.function(function.name) is not None:
                raise ContractError(errors.ALREADY_EXISTS, f"There already is a function {function.name}.")
            prepared = await self._runtime.prepare(function, code)
            try:
                await self._store.put_function(prepared)
                await self._runtime.deploy(prepared)
            except Exception:
                await self._forget(function.name)
                raise
            return prepared

    async def remove(self, name: str) -> None:
        """The function is neither known nor run any longer.

        :raises ContractError: ``RESOURCE_UNKNOWN``.
        """
        async with self._lock(name):
            await self._store.remove_function(name)
            await self._runtime.remove(name)

    def _lock(self, name: str) -> asyncio.Lock:
        return self._locks.setdefault(name, asyncio.Lock())

    async def _forget(self, name: str) -> None:
        await self._runtime.remove(name)
        if self._store.function(name) is not None:
            await self._store.remove_function(name)
