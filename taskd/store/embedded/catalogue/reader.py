"""Reading the catalogue: a few read-only connections, each used by one thread at a time, each listing interruptible."""

import asyncio
import os
import sqlite3
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from taskd.model.errors import LONG_QUERY, ContractError
from taskd.store.embedded.catalogue.fair_pool import FairPool
from taskd.store.embedded.catalogue.schema import open_reader
from taskd.store.embedded.catalogue.sql.user_functions import register_functions
from taskd.system.os_limits import attempt

T = TypeVar("T")


class CatalogueReader:
    """Runs read-only work in threads."""

    def __init__(self, path: Path, time_limit_s: float, at_once: int, *, niceness: int = 0) -> None:
        """Works on ``at_once`` things at a time, with threads that are nicer than the process by ``niceness``."""
        self._time_limit_s = time_limit_s
        self._connections = [open_reader(path) for _ in range(at_once)]
        for connection in self._connections:
            register_functions(connection, time_limit_s)
        self._pool = FairPool(self._connections)
        self._threads = ThreadPoolExecutor(at_once, "taskd-reader", initializer=_lower_priority, initargs=(niceness,))

    async def read(self, work: Callable[[sqlite3.Connection], T], on_behalf_of: str | None = None) -> T:
        """What ``work`` gives on a connection, with one consistent view of the data.

        Where many wait, those on whose behalf it is have a turn each, one after the other.

        :raises ContractError: ``LONG_QUERY`` when it takes longer than the time limit, waiting included.
        """
        try:
            async with asyncio.timeout(self._time_limit_s):
                connection = await self._pool.take(on_behalf_of)
        except TimeoutError:
            raise self._too_long() from None
        try:
            return await self._read_on(connection, work)
        finally:
            self._pool.give_back(connection)

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


def _lower_priority(niceness: int) -> None:
    """Lets the rest of the process go before the calling thread, where a thread can have a priority of its own.

    Never raises, as an initialiser that raises makes the whole pool unusable.
    """
    if sys.platform == "linux" and niceness:
        attempt("lower the priority of threads that scan", lambda: _add_niceness(niceness))


def _add_niceness(niceness: int) -> None:
    thread = threading.get_native_id()
    os.setpriority(os.PRIO_PROCESS, thread, min(19, os.getpriority(os.PRIO_PROCESS, thread) + niceness))


def _in_transaction(connection: sqlite3.Connection, work: Callable[[sqlite3.Connection], T]) -> T:
    connection.execute("BEGIN")
    try:
        return work(connection)
    finally:
        connection.execute("ROLLBACK")
