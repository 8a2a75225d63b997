"""Refreshes credentials in the background, so that no call ever waits for them."""

import asyncio
import contextlib
import logging
from collections.abc import Callable

from taskd.model.errors import TaskdError
from taskd.runtime.aws.client.sigv4 import Credentials
from taskd.runtime.aws.environment import CredentialChain

_REFRESH_INTERVAL_S = 60.0
"""How often the chain is asked. It refreshes temporary credentials from 15 minutes before their end."""
_REFRESH_PAUSE_S = 1.0
"""Between two refreshes at least, however often one is requested."""

_log = logging.getLogger(__name__)


class CredentialRefresher:
    """Calls ``on_refresh`` with the credentials whenever they have changed."""

    def __init__(self, profile: str | None, on_refresh: Callable[[Credentials], None]) -> None:
        self._profile = profile
        self._on_refresh = on_refresh
        self._chain = CredentialChain(profile)
        self._current: Credentials | None = None
        self._reload_requested = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> Credentials:
        """The first credentials; :class:`TaskdError`, saying what to set, if there are none."""
        self._current = await self._chain.current()
        self._task = asyncio.create_task(self._run())
        return self._current

    def reload(self) -> None:
        """Everything is read anew soon: environment, files, roles."""
        self._reload_requested.set()

    async def stop(self) -> None:
        """Ends the background work. Idempotent."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _run(self) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_REFRESH_INTERVAL_S):
                    await self._reload_requested.wait()
            await self._refresh()
            await asyncio.sleep(_REFRESH_PAUSE_S)

    async def _refresh(self) -> None:
        """Whatever goes wrong, the credentials at hand stay in use and the next refresh tries again."""
        chain = CredentialChain(self._profile) if self._reload_requested.is_set() else self._chain
        self._reload_requested.clear()
        try:
            found = await chain.current()
        except TaskdError as error:
            _log.warning("AWS credentials could not be renewed, those at hand stay in use: %s", error)
            return
        self._chain = chain
        if found != self._current:
            self._current = found
            self._on_refresh(found)
            _log.info("AWS credentials were renewed; the access key is %s", found.access_key)
