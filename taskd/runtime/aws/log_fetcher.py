"""Whole logs in place of cut ones: fetched from CloudWatch Logs in the background, some seconds after the call.

The tail that came with the answer is shown at once and stays if anything goes wrong here: nothing waits for this
room, and nothing fails with it. CloudWatch lets an account search five times a second, so the looks are few and
far between, and when too many logs wait the surplus is left as it is.
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
from taskd.runtime.aws.cloudwatch import WantedLog, find_log
from taskd.runtime.aws.sdk_clients import SdkClients
from taskd.runtime.aws.sdk_errors import error_name, error_reason

KeepLog = Callable[[str, Sequence[LogLine]], Awaitable[None]]
"""Keeps these lines of the call with this id, in place of those that were kept before."""

_COMPLAIN_EVERY_S = 60.0

_log = logging.getLogger(__name__)


class Pace(Struct, frozen=True):
    """How hard CloudWatch is asked."""

    delays_s: tuple[float, ...] = (2.0, 4.0, 8.0, 16.0, 30.0, 60.0)
    """Before each look for one log; after the last the log is given up."""
    at_once: int = 2
    rest_s: float = 0.7
    """After each look, before the next one may begin in its place."""
    waiting_max: int = 1000
    """Logs that are waited for at the same time; more are not taken on."""


class FullLogs:
    """Hands whole logs to ``keep``. For one event loop; :meth:`stop` ends it."""

    def __init__(
        self, clients: SdkClients, keep: KeepLog, pace: Pace | None = None, now_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._keep = keep
        self._pace = pace or Pace()
        self._lookers = [_Looker(clients) for _ in range(self._pace.at_once)]
        self._free: asyncio.Queue[_Looker] = asyncio.Queue()
        for looker in self._lookers:
            self._free.put_nowait(looker)
        self._fetches: set[asyncio.Task[None]] = set()
        self._complaint = _Complaint(now_s)

    def want(self, wanted: WantedLog) -> None:
        """Has the log fetched when CloudWatch has got it. Returns at once and never raises."""
        if len(self._fetches) >= self._pace.waiting_max:
            self._complaint.add(f"{self._pace.waiting_max} others are being waited for")
            return
        fetch = asyncio.create_task(self._fetch(wanted), name="full-log")
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
        for looker in self._lookers:
            await looker.close()

    async def _fetch(self, wanted: WantedLog) -> None:
        reason = "CloudWatch Logs did not get them in time"
        for delay_s in self._pace.delays_s:
            await asyncio.sleep(delay_s)
            try:
                lines = await self._look(wanted)
            except (BotoCoreError, ClientError) as error:
                reason = _reason(error)
                continue
            if lines is not None:
                await self._keep(wanted.call_id, lines)
                return
        self._complaint.add(reason)

    async def _look(self, wanted: WantedLog) -> list[LogLine] | None:
        looker = await self._free.get()
        try:
            return await looker.look(wanted)
        finally:
            asyncio.get_running_loop().call_later(self._pace.rest_s, self._free.put_nowait, looker)

    def _ended(self, fetch: asyncio.Task[None]) -> None:
        self._fetches.discard(fetch)
        if not fetch.cancelled() and (error := fetch.exception()) is not None:
            _log.error("A log could not be fetched from CloudWatch Logs.", exc_info=error)


class _Looker:
    """Looks for one log at a time, with a client that is kept until credentials are to be read anew."""

    def __init__(self, clients: SdkClients) -> None:
        self._clients = clients
        self._generation = -1
        self._client: Any = None
        self._closing = AsyncExitStack()

    async def look(self, wanted: WantedLog) -> list[LogLine] | None:
        """See :func:`find_log`."""
        if self._generation != self._clients.generation:
            await self.close()
            generation = self._clients.generation
            self._client = await self._closing.enter_async_context(self._clients.open("logs"))
            self._generation = generation
        return await find_log(self._client, wanted)

    async def close(self) -> None:
        """Closes the client, if there is one. Idempotent."""
        self._generation = -1
        await self._closing.aclose()


class _Complaint:
    """Says in the log how many logs stay cut, and why the last of them does; once a minute at most."""

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
            self._next_s = self._now_s() + _COMPLAIN_EVERY_S


def _reason(error: BotoCoreError | ClientError) -> str:
    if isinstance(error, ClientError):
        return f"CloudWatch Logs answers {error_name(error)}: {error_reason(error)}"
    return str(error)
