"""Who gets which connection, and how many are opened at once."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from taskd.runtime.aws.client.connection import Connection
from taskd.runtime.aws.client.connection_pool import CONNECTS_MAX, ConnectionPool
from taskd.runtime.aws.client.connector import ConnectError


class PoolUser:
    """Notes who was refused, in order, and tells when all were."""

    def __init__(self, expected: int) -> None:
        self.refused: list[int] = []
        self.all_refused = asyncio.Event()
        self._expected = expected

    def assign(self, waiter: int, connection: Connection) -> bool:
        raise AssertionError("there is no connection to be served with")

    def fail(self, waiter: int, reason: str) -> None:
        self.refused.append(waiter)
        if len(self.refused) == self._expected:
            self.all_refused.set()


def pool_of(user: PoolUser, connect: Callable[[], Awaitable[Connection]]) -> ConnectionPool[int]:
    return ConnectionPool(user, connect, idle_s=5.0, now_s=time.monotonic)


async def test_only_so_many_connections_are_opened_at_once() -> None:
    opening, most = 0, 0

    async def connect() -> Connection:
        nonlocal opening, most
        opening += 1
        most = max(most, opening)
        await asyncio.sleep(0)
        opening -= 1
        raise ConnectError("nobody listens")

    user = PoolUser(expected=1000)
    pool = pool_of(user, connect)
    for waiter in range(1000):
        pool.enqueue(waiter)
    await user.all_refused.wait()
    assert most == CONNECTS_MAX
    assert user.refused == list(range(1000))
    await pool.close("")


async def test_one_failure_is_one_waiters() -> None:
    failures = asyncio.Semaphore(0)

    async def connect() -> Connection:
        await failures.acquire()
        raise ConnectError("nobody listens")

    user = PoolUser(expected=1)
    pool = pool_of(user, connect)
    for waiter in range(3):
        pool.enqueue(waiter)
    failures.release()
    await user.all_refused.wait()
    assert user.refused == [0]
    await pool.close("closed")
    assert user.refused == [0, 1, 2]


async def test_a_waiter_that_was_forgotten_is_not_refused() -> None:
    async def connect() -> Connection:
        raise ConnectError("nobody listens")

    user = PoolUser(expected=1)
    pool = pool_of(user, connect)
    pool.enqueue(1)
    pool.enqueue(2)
    pool.cancel(1)
    await user.all_refused.wait()
    await pool.close("")
    assert user.refused == [2]
