"""How soon the event loop gets the interpreter back from a thread that computes."""

import asyncio
import statistics
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from taskd.interpreter import let_event_loop_in

_TURNS = 20


@pytest.fixture(autouse=True)
def _interval() -> Iterator[None]:
    """The interval is the whole process's."""
    before_s = sys.getswitchinterval()
    yield
    sys.setswitchinterval(before_s)


def test_a_thread_that_computes_does_not_hold_up_the_event_loop() -> None:
    usual_s = turn_beside_a_thread_s()
    let_event_loop_in()
    assert turn_beside_a_thread_s() < usual_s / 2


def turn_beside_a_thread_s() -> float:
    """How long a turn of an event loop takes, usually, that waits for next to nothing."""
    over = threading.Event()
    thread = threading.Thread(target=_compute, args=(over,))
    thread.start()
    try:
        return statistics.median(asyncio.run(_turns()))
    finally:
        over.set()
        thread.join()


def _compute(over: threading.Event) -> None:
    while not over.is_set():
        sum(range(100))


async def _turns() -> list[float]:
    took_s = []
    for _ in range(_TURNS):
        began_s = time.perf_counter()
        await asyncio.sleep(1e-6)
        took_s.append(time.perf_counter() - began_s)
    return took_s
