"""Whole logs in place of truncated ones: fetched from CloudWatch Logs in the background, some seconds after the call.

The tail that came with the response is shown at once and stays if anything goes wrong here: nothing waits for this
module, and nothing fails with it. CloudWatch lets an account search five times a second, so searches are few and
far between, and when too many logs are pending the surplus stays truncated.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from msgspec import Struct

from taskd.model.logline import LogLine
from taskd.runtime.aws.cloudwatch import LogRequest, find_log
from taskd.runtime.aws.sdk_clients import SdkClients
from taskd.runtime.aws.sdk_errors import error_name, error_reason

KeepLog = Callable[[str, Sequence[LogLine]], Awaitable[None]]
"""Stores these lines of the call with this id, in place of those that were stored before."""

_WARNING_INTERVAL_S = 60.0

_log = logging.getLogger(__name__)


class FetchPolicy(Struct, frozen=True):
    """How often CloudWatch is searched."""

    delays_s: tuple[float, ...] = (2.0, 4.0, 8.0, 16.0, 30.0, 60.0)
    """Before each search for one log; after the last the log stays truncated."""
    concurrency: int = 2
    interval_s: float = 0.7
    """After each search, before the next one may begin in its place."""
    pending_max: int = 1000
    """Logs that are waited for at the same time; more are not accepted."""


class LogFetcher:
    """Fetches whole logs and passes them to ``keep``. For one event loop; :meth:`stop` ends it."""

    def __init__(
        self,
        clients: SdkClients,
        keep: KeepLog,
        policy: FetchPolicy | None = None,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._keep = keep
        self._policy = policy or FetchPolicy()
        self._search_clients = [_SearchClient(clients) for _ in range(self._policy.concurrency)]
        self._free: asyncio.Queue[_SearchClient] = asyncio.Queue()
        for client in self._search_clients:
            self._free.put_nowait(client)
        self._fetches: set[asyncio.Task[None]] = set()
        self._warning = _RateLimitedWarning(now_s)

    def submit(self, request: LogRequest) -> None:
        """The log is fetched when CloudWatch has it. Returns at once and never raises."""
        if len(self._fetches) >= self._policy.pending_max:
            self._warning.add(f"{self._policy.pending_max} others are being waited for")
            return
        fetch = asyncio.create_task(self._fetch(request), name="full-log")
        self._fetches.add(fetch)
        fetch.add_done_callback(self._ended)

    async def stop(self) -> None:
        """Gives up what is being waited for. Idempotent."""
        if self._fetches:
            _log.info("%d logs stay cut to their last 4 KB: taskd stops.", len(self._fetches))
        fetches = list(self._fetches)
        for fetch in fetches:
            fetch.cancel()
        await asyncio.gather(*fetches, return_exceptions=True)
        for client in self._search_clients:
            await client.close()

    async def _fetch(self, request: LogRequest) -> None:
        reason = "CloudWatch Logs did not get them in time"
        for delay_s in self._policy.delays_s:
            await asyncio.sleep(delay_s)
            try:
                lines = await self._search(request)
            except (BotoCoreError, ClientError) as error:
                reason = _reason(error)
                continue
            if lines is not None:
                await self._keep(request.call_id, lines)
                return
        self._warning.add(reason)

    async def _search(self, request: LogRequest) -> list[LogLine] | None:
        client = await self._free.get()
        try:
            return await client.search(request)
        finally:
            asyncio.get_running_loop().call_later(self._policy.interval_s, self._free.put_nowait, client)

    def _ended(self, fetch: asyncio.Task[None]) -> None:
        self._fetches.discard(fetch)
        if not fetch.cancelled() and (error := fetch.exception()) is not None:
            _log.error("A log could not be fetched from CloudWatch Logs.", exc_info=error)


class _SearchClient:
    """Searches for one log at a time, with an SDK client that is kept until credentials are to be read anew."""

    def __init__(self, clients: SdkClients) -> None:
        self._clients = clients
        self._generation = -1
        self._client: Any = None
        self._closing = AsyncExitStack()

    async def search(self, request: LogRequest) -> list[LogLine] | None:
        """See :func:`find_log`."""
        if self._generation != self._clients.generation:
            await self.close()
            generation = self._clients.generation
            self._client = await self._closing.enter_async_context(self._clients.open("logs"))
            self._generation = generation
        return await find_log(self._client, request)

    async def close(self) -> None:
        """Closes the client, if there is one. Idempotent."""
        self._generation = -1
        await self._closing.aclose()


class _RateLimitedWarning:
    """Warns of how many logs stay truncated, and why the last of them does; once a minute at most."""

    def __init__(self, now_s: Callable[[], float]) -> None:
        self._now_s = now_s
        self._count = 0
        self._next_s = now_s()

    def add(self, reason: str) -> None:
        """One more."""
        self._count += 1
        if self._now_s() >= self._next_s:
            _log.warning("%d logs stay cut to their last 4 KB: %s", self._count, reason)
            self._count = 0
            self._next_s = self._now_s() + _WARNING_INTERVAL_S


def _reason(error: BotoCoreError | ClientError) -> str:
    if isinstance(error, ClientError):
        return f"CloudWatch Logs answers {error_name(error)}: {error_reason(error)}"
    return str(error)
