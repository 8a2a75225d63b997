"""Deadlines on a timing wheel: never early, never forgotten."""

import asyncio
import random

from taskd.runtime.aws.client.timing_wheel import TimingWheel


class ExpiryLog:
    """Notes when each item expired, and tells when as many have as were expected."""

    def __init__(self, expected: int) -> None:
        self.at_s: dict[int, float] = {}
        self.all_expired = asyncio.Event()
        self._expected = expected

    def __call__(self, item: int) -> None:
        assert item not in self.at_s
        self.at_s[item] = asyncio.get_running_loop().time()
        if len(self.at_s) == self._expected:
            self.all_expired.set()


async def test_every_item_expires_once_and_none_early() -> None:
    expiry_log = ExpiryLog(expected=200)
    wheel = TimingWheel(expiry_log, tick_s=0.005)
    started_s = asyncio.get_running_loop().time()
    delays_s = [random.Random(7).uniform(0, 0.05) for _ in range(200)]
    for item, delay_s in enumerate(delays_s):
        wheel.add(item, delay_s)
    await expiry_log.all_expired.wait()
    assert all(expiry_log.at_s[item] - started_s >= delay_s for item, delay_s in enumerate(delays_s))


async def test_an_item_that_was_removed_does_not_expire() -> None:
    expiry_log = ExpiryLog(expected=1)
    wheel = TimingWheel(expiry_log, tick_s=0.005)
    wheel.remove(1, wheel.add(1, 0.001))
    wheel.add(2, 0.02)
    await expiry_log.all_expired.wait()
    assert set(expiry_log.at_s) == {2}


async def test_an_earlier_deadline_does_not_wait_for_a_later_one() -> None:
    expiry_log = ExpiryLog(expected=1)
    wheel = TimingWheel(expiry_log, tick_s=0.005)
    wheel.add(1, 3600)
    wheel.add(2, 0.001)
    await expiry_log.all_expired.wait()
    assert set(expiry_log.at_s) == {2}
    wheel.clear()


async def test_items_may_be_added_and_removed_while_others_expire() -> None:
    followed = asyncio.Event()

    def expired(item: int) -> None:
        wheel.remove(2, tick)
        if item == 1:
            wheel.add(3, 0.0)
        else:
            followed.set()

    wheel = TimingWheel(expired, tick_s=0.005)
    wheel.add(1, 0.0)
    tick = wheel.add(2, 3600)
    await followed.wait()


async def test_removing_what_has_expired_does_nothing() -> None:
    expiry_log = ExpiryLog(expected=1)
    wheel = TimingWheel(expiry_log, tick_s=0.005)
    tick = wheel.add(1, 0.0)
    await expiry_log.all_expired.wait()
    wheel.remove(1, tick)
