"""The pool of kept connections, and the queue of those who wait for one. Knows nothing of what is sent over them.

As many connections are opened as there are calls in flight, a bounded number at a time. Whatever becomes
free first, a new connection or a used one, goes to the longest waiter; so nobody waits while a connection is idle.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Generic, Protocol, TypeVar

from taskd.runtime.aws.client.connection import Connection
from taskd.runtime.aws.client.connector import ConnectError

CONNECTS_MAX = 64
"""Connections being opened at once."""

W = TypeVar("W")
W_contra = TypeVar("W_contra", contravariant=True)


class PoolUser(Protocol[W_contra]):
    """Waits for connections."""

    def assign(self, waiter: W_contra, connection: Connection) -> bool:
        """The waiter gets ``connection``. Returns whether it is used."""

    def fail(self, waiter: W_contra, reason: str) -> None:
        """The waiter gets no connection."""


class ConnectionPool(Generic[W]):
    """Keeps connections for reuse, last in, first out.

    ``idle_s`` is how long an unused connection is kept; ``now_s`` is a monotonic clock in seconds.
    """

    def __init__(
        self,
        user: PoolUser[W],
        connect: Callable[[], Awaitable[Connection]],
        *,
        idle_s: float,
        now_s: Callable[[], float],
    ) -> None:
        self._user = user
        self._connect = connect
        self._idle_s = idle_s
        self._now_s = now_s
        self._open: set[Connection] = set()
        self._idle: dict[Connection, float] = {}
        """Idle connections and since when, longest idle first."""
        self._waiters: OrderedDict[W, None] = OrderedDict()
        self._connects: set[asyncio.Task[None]] = set()
        self._expiry_timer: asyncio.TimerHandle | None = None
        self._all_closed = asyncio.Event()

    def acquire(self) -> Connection | None:
        """A kept connection that can be used, if there is one."""
        while self._idle:
            connection, since_s = self._idle.popitem()
            if self._can_be_reused(connection, since_s):
                return connection
            connection.abort("it was idle for too long")
        return None

    def enqueue(self, waiter: W) -> None:
        """The waiter is assigned a connection, or fails, later; unless it is cancelled before."""
        self._waiters[waiter] = None
        self._open_as_needed()

    def cancel(self, waiter: W) -> None:
        """The waiter no longer waits."""
        self._waiters.pop(waiter, None)

    def release(self, connection: Connection) -> None:
        """The connection is free again."""
        if not connection.is_usable:
            return
        while self._waiters:
            if self._user.assign(self._waiters.popitem(last=False)[0], connection):
                return
        self._idle[connection] = self._now_s()
        self._arm_expiry()

    def discard(self, connection: Connection) -> None:
        """The connection is closed."""
        self._idle.pop(connection, None)
        self._open.discard(connection)
        if not self._open:
            self._all_closed.set()

    async def close(self, reason: str) -> None:
        """Fails all waiters and closes all connections."""
        while self._waiters:
            self._fail_longest_waiter(reason)
        if self._expiry_timer is not None:
            self._expiry_timer.cancel()
        await self._end_connects()
        self._all_closed.clear()
        for connection in list(self._open):
            connection.abort(reason)
        if self._open:
            await self._all_closed.wait()

    def _can_be_reused(self, connection: Connection, since_s: float) -> bool:
        """Looks at the socket itself: the peer may have closed it, and the event loop not know of it yet."""
        return connection.is_usable and self._now_s() - since_s <= self._idle_s and not connection.is_readable()

    def _open_as_needed(self) -> None:
        while len(self._connects) < min(CONNECTS_MAX, len(self._waiters)):
            task = asyncio.create_task(self._open_one())
            self._connects.add(task)
            task.add_done_callback(self._connect_ended)

    async def _open_one(self) -> None:
        """A failure is the longest waiter's; the others get attempts of their own."""
        try:
            connection = await self._connect()
        except ConnectError as error:
            self._fail_longest_waiter(str(error))
            return
        if connection.is_usable:
            self._open.add(connection)
            self.release(connection)
        else:
            self._fail_longest_waiter("The connection was closed as soon as it was open.")

    def _fail_longest_waiter(self, reason: str) -> None:
        if self._waiters:
            self._user.fail(self._waiters.popitem(last=False)[0], reason)

    def _connect_ended(self, task: asyncio.Task[None]) -> None:
        self._connects.discard(task)
        if not task.cancelled():
            self._open_as_needed()

    async def _end_connects(self) -> None:
        for task in self._connects:
            task.cancel()
        if self._connects:
            await asyncio.wait(self._connects)

    def _arm_expiry(self) -> None:
        if self._expiry_timer is None:
            self._expiry_timer = asyncio.get_running_loop().call_later(self._idle_s, self._close_expired)

    def _close_expired(self) -> None:
        """Closes what is past use, so that no socket is held for nothing."""
        self._expiry_timer = None
        limit_s = self._now_s() - self._idle_s
        for connection in [each for each, since_s in self._idle.items() if since_s < limit_s]:
            del self._idle[connection]
            connection.abort("it was idle for too long")
        if self._idle:
            self._arm_expiry()
