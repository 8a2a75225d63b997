"""Deploying functions: the runtime and the store step by step, so that no step leaves a half-known function.

On one node, changes of one function happen one after the other; changes of different functions at the same time.
Another node may change it meanwhile: the store refuses what was made from an older state, and it is made anew. The
order is always: the runtime readies the code, the store knows the function, the runtime switches over. A process that
ends in between leaves code that nothing refers to, which the runtime clears away at its next start, or a known
function whose code is ready, which the runtime deploys then.
"""

import asyncio
from collections.abc import Awaitable, Callable
from weakref import WeakValueDictionary

from msgspec.structs import replace

from taskd.model import errors
from taskd.model.errors import ContractError
from taskd.model.function import Function
from taskd.runtime.base import Runtime
from taskd.store.base import FunctionChangedError, TaskStore

_ATTEMPTS = 5
"""How often a change is made anew because another node was faster."""

Put = Callable[[Function, Function], Awaitable[None]]
"""Puts the second in the place of the first."""


class Deployments:
    """The functions of ``store``, each deployed to ``runtime``."""

    def __init__(self, store: TaskStore, runtime: Runtime) -> None:
        self._store = store
        self._runtime = runtime
        # a lock lives as long as somebody holds or awaits it
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def create(self, function: Function, code: bytes | None) -> Function:
        """The function is known and runs ``code``, or is an external one; gives it with its code version.

        :raises ContractError: ``ALREADY_EXISTS``, or what the runtime or the store has against it; then
            there is no trace of it.
        """
        async with self._lock(function.name):
            if self._store.function(function.name) is not None:
                raise _exists(function.name)
            prepared = await self._runtime.prepare(function, code)
            try:
                await self._store.put_function(prepared, expected=None)
            except FunctionChangedError as error:
                await self._discard_prepared(prepared)
                raise _exists(function.name) from error
            except Exception:
                await self._discard_prepared(prepared)
                raise
            try:
                await self._deploy(prepared)
            except Exception:
                await self._forget(prepared)
                raise
            return prepared

    async def update(self, name: str, change: Callable[[Function], Function], code: bytes | None) -> None:
        """New calls run what ``change`` makes of the function, with ``code`` if there is any; running ones finish.

        :raises ContractError: ``RESOURCE_UNKNOWN``, or what ``change``, the runtime or the store has against it;
            then all is as it was.
        """

        async def prepare(former: Function) -> Function:
            return await self._runtime.prepare(change(former), code)

        await self._change(name, prepare)

    async def set_enabled(self, name: str, *, enabled: bool, now_ms: int) -> None:
        """The function is enabled or not; also where its code is lost, and could not be prepared.

        :raises ContractError: ``RESOURCE_UNKNOWN``, or what the store has against it.
        """

        async def prepare(former: Function) -> Function:
            return replace(former, enabled=enabled, update_ms=now_ms)

        await self._change(name, prepare)

    async def set_paused(self, name: str, *, paused: bool, reason: str | None, now_ms: int) -> Function:
        """Tasks of the function wait, or go on; gives it as it is then. Its runtime is not asked, nor need it be well.

        :raises ContractError: ``RESOURCE_UNKNOWN``, or what the store has against it.
        """

        async def prepare(former: Function) -> Function:
            return replace(former, paused=paused, pause_reason=reason, update_ms=now_ms)

        await self._change(name, prepare, self._put)
        return self._known(name)

    async def remove(self, name: str) -> None:
        """The function is neither known nor run any longer.

        :raises ContractError: ``RESOURCE_UNKNOWN``.
        """
        async with self._lock(name):
            function = self._store.function(name)
            await self._store.remove_function(name)
            if function is None or not function.external:
                await self._runtime.remove(name)

    def _lock(self, name: str) -> asyncio.Lock:
        return self._locks.setdefault(name, asyncio.Lock())

    def _known(self, name: str) -> Function:
        function = self._store.function(name)
        if function is None:
            raise ContractError(errors.RESOURCE_UNKNOWN, f"There is no function {name}.")
        return function

    async def _change(
        self, name: str, prepare: Callable[[Function], Awaitable[Function]], put: Put | None = None
    ) -> None:
        async with self._lock(name):
            for attempt in range(1, _ATTEMPTS + 1):
                former = self._known(name)
                try:
                    await (put or self._replace)(former, await prepare(former))
                except FunctionChangedError:
                    if attempt == _ATTEMPTS:
                        raise
                else:
                    return

    async def _put(self, former: Function, function: Function) -> None:
        await self._store.put_function(function, expected=former)

    async def _replace(self, former: Function, function: Function) -> None:
        try:
            await self._store.put_function(function, expected=former)
        except Exception:
            await self._discard(function, former)
            raise
        try:
            await self._deploy(function)
        except Exception:
            await self._store.put_function(former, expected=function)
            await self._deploy(former)
            await self._discard(function, former)
            raise

    async def _discard(self, failed: Function, former: Function) -> None:
        if failed.code_version != former.code_version:
            await self._discard_prepared(failed)

    async def _deploy(self, function: Function) -> None:
        if not function.external:
            await self._runtime.deploy(function)

    async def _discard_prepared(self, function: Function) -> None:
        if not function.external:
            await self._runtime.discard(function)

    async def _forget(self, failed: Function) -> None:
        await self._runtime.remove(failed.name)
        await self._runtime.discard(failed)
        if self._store.function(failed.name) == failed:  # or another node has put its own in the place
            await self._store.remove_function(failed.name)


def _exists(name: str) -> ContractError:
    return ContractError(errors.ALREADY_EXISTS, f"There already is a function {name}.")
