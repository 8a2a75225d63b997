"""Reading the catalogue: a few read-only connections, each used by one thread at a time, each listing interruptible."""

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from taskd.model.errors import LONG_QUERY, ContractError
from taskd.store.catalogue.functions import register_functions
from taskd.store.catalogue.schema import open_reader

T = TypeVar("T")
READERS = 2
"""Listings at once: more would take the interpreter from the event loop for longer than they are worth."""


class CatalogueReader:
    """Runs read-only work in threads."""

    def __init__(self, path: Path, time_limit_s: float) -> None:
        self._time_limit_s = time_limit_s
        self._connections = [open_reader(path) for _ in range(READERS)]
        self._free: asyncio.LifoQueue[sqlite3.Connection] = asyncio.LifoQueue()
        for connection in self._connections:
            register_functions(connection, time_limit_s)
            self._free.put_nowait(connection)
        self._threads = ThreadPoolExecutor(READERS, thread_name_prefix="taskd-reader")

    async def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """What ``work`` gives on a connection, with one consistent view of the data.

        :raises ContractError: ``LONG_QUERY`` when it takes longer than the time limit, waiting included.
        """
        try:
            async with asyncio.timeout(self._time_limit_s):
                connection = await self._free.get()
        except TimeoutError:
            raise self._too_long() from None
        try:
            return await self._read_on(connection, work)
        finally:
            self._free.put_nowait(connection)

    def close(self) -> None:
        """Ends running reads and closes the connections. Idempotent."""
        for connection in self._connections:
            connection.interrupt()
        self._threads.shutdown()
        for connection in self._connections:
            connection.close()
        self._connections = []

    async def _read_on(self, connection: sqlite3.Connection, work: Callable[[sqlite3.Connection], T]) -> T:
        loop = asyncio.get_running_loop()
        alarm = loop.call_later(self._time_limit_s, connection.interrupt)
        reading = loop.run_in_executor(self._threads, _in_transaction, connection, work)
        try:
            # shielded: the connection is free for others only when its thread is done with it
            return await asyncio.shield(reading)
        except asyncio.CancelledError:
            connection.interrupt()
            await asyncio.wait([reading])
            raise
        except sqlite3.OperationalError as error:
            # a function called by SQL cannot be interrupted: it gives up by itself at the limit, with a plain error
            if error.sqlite_errorcode == sqlite3.SQLITE_INTERRUPT or loop.time() >= alarm.when():
                raise self._too_long() from None
            raise
        finally:
            alarm.cancel()

    def _too_long(self) -> ContractError:
        return ContractError(
            LONG_QUERY,
            f"The listing took longer than {self._time_limit_s:g} seconds and was stopped. Narrow the filter, for "
            f"example by status, functionName or creationTimestamp.",
        )


def _in_transaction(connection: sqlite3.Connection, work: Callable[[sqlite3.Connection], T]) -> T:
    connection.execute("BEGIN")
    try:
        return work(connection)
    finally:
        connection.execute("ROLLBACK")
