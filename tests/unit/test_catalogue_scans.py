"""Listings that look at everything there is take turns among themselves, and hold up no others."""

import asyncio
import os
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from taskd.rql.parser import parse
from taskd.store.embedded.catalogue import api_requests, queries
from taskd.store.embedded.catalogue.catalogue import SCANS_NICENESS, Catalogue
from taskd.store.embedded.catalogue.fair_pool import FairPool

WAIT_S = 10


@pytest.mark.parametrize(
    "text",
    [
        *("", "limit(50,900000)", "skipCount()", "status=failed&sort(-creationTimestamp)", "sort(-startTimestamp)"),
        *(
            "id=000000000000000000000001",
            "and(functionName=f,in(status,new,inProgress))",
            "or(status=new,status=failed)",
        ),
        *("creationTimestamp>=2026-01-01T00:00:00.000Z&functionName=f", "startTimestamp<5"),
    ],
)
def test_what_indexes_answer_is_no_scan(text: str) -> None:
    assert not queries.tasks(parse(text)).scans


@pytest.mark.parametrize(
    "text",
    [
        *("data.patient=77", "tags=a", "priority>1", "createdByUserId=u", "unknown=1", "functionName=f&data.n=1"),
        *("status!=complete", "functionName=re:^a", "like(functionName,a)", "out(status,new)", "functionName.a=1"),
        *("sort(-priority)", "sort(data.n)", "sort(status,-creationTimestamp)", "contains(error)", "excludes(status)"),
        "or(status=new,and(functionName=f,data.n=1))",
    ],
)
def test_what_no_index_answers_is_a_scan(text: str) -> None:
    assert queries.tasks(parse(text)).scans


def test_api_requests_have_indexes_of_their_own() -> None:
    assert not api_requests.page(parse("functionName=f")).scans
    assert api_requests.page(parse("sort(-timestamp)")).scans


@pytest.fixture
async def catalogue(tmp_path: Path) -> AsyncIterator[Catalogue]:
    fatal: list[BaseException] = []
    catalogue = Catalogue(tmp_path / "catalogue.db", 0, WAIT_S, fatal.append)
    yield catalogue
    await catalogue.close()
    assert not fatal


async def test_scans_hold_up_one_another_and_nothing_else(catalogue: Catalogue) -> None:
    began: asyncio.Queue[None] = asyncio.Queue()
    let_go = threading.Event()
    loop = asyncio.get_running_loop()

    def scan(_: object) -> None:
        loop.call_soon_threadsafe(began.put_nowait, None)
        assert let_go.wait(WAIT_S)

    scanning = [asyncio.create_task(catalogue.read(scan, scans=True)) for _ in range(3)]
    await began.get()
    for _ in range(10):
        assert await catalogue.read(lambda connection: connection.execute("SELECT 1").fetchone()) == (1,)
    assert began.empty()
    let_go.set()
    await asyncio.gather(*scanning)


async def test_a_caller_with_many_scans_holds_up_another_by_one(catalogue: Catalogue) -> None:
    began: asyncio.Queue[str] = asyncio.Queue()
    let_go = threading.Event()
    loop = asyncio.get_running_loop()

    def scanning(caller: str) -> "asyncio.Task[None]":
        def scan(_: object) -> None:
            loop.call_soon_threadsafe(began.put_nowait, caller)
            assert let_go.wait(WAIT_S)

        return asyncio.create_task(catalogue.read(scan, scans=True, on_behalf_of=caller))

    scans = [scanning(caller) for caller in ("greedy", *["greedy"] * 20, "modest", "modest", "other")]
    assert await began.get() == "greedy"
    scans.pop(5).cancel()
    let_go.set()
    await asyncio.gather(*scans)
    order = [await began.get() for _ in range(22)]
    assert order[:6] == ["greedy", "modest", "other", "greedy", "modest", "greedy"]


async def test_a_scan_that_is_given_up_as_its_turn_comes_gives_the_turn_on() -> None:
    pool = FairPool([1])
    assert await pool.take("a") == 1
    waiting = [asyncio.create_task(pool.take(key)) for key in "bc"]
    await asyncio.sleep(0)
    pool.give_back(1)
    waiting[0].cancel()
    assert await waiting[1] == 1
    pool.give_back(1)
    assert await pool.take("d") == 1


@pytest.mark.skipif(os.uname().sysname != "Linux", reason="only there has each thread a priority of its own")
async def test_scans_let_everything_else_go_first(catalogue: Catalogue) -> None:
    def niceness(_: object) -> int:
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    ours = niceness(None)
    assert await catalogue.read(niceness) == ours
    assert await catalogue.read(niceness, scans=True) == min(19, ours + SCANS_NICENESS)
