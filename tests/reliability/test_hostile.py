"""Input made to break things: journals with sound checksums and senseless content, clocks that jump, rude clients."""

import asyncio
import contextlib
import logging
import os
import random
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.clocks import FakeClock
from support.http.service import BASE, http_service
from support.power_cut.stepped_store import CatalogueStub
from support.store.journals import write_journal

from taskd.model.status import Status
from taskd.model.task import TaskDraft
from taskd.rql.parser import parse
from taskd.store.base import Completed
from taskd.store.embedded.errors import JournalDamagedError
from taskd.store.embedded.recovery.recover import recover
from taskd.store.embedded.settings import StoreSettings
from taskd.store.embedded.store import EmbeddedStore

TAGS = "aserqcxfghiknz"
HOUR_MS = 3_600_000
GIB = 1 << 30
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=5)
    | st.binary(max_size=5),
    lambda inner: st.lists(inner, max_size=6),
    max_leaves=12,
)
senseless_events = st.lists(st.tuples(st.sampled_from(TAGS), st.lists(values, max_size=6)), max_size=3).map(
    lambda batch: msgspec.msgpack.encode([[tag, *fields] for tag, fields in batch])
)


@settings(max_examples=60, deadline=None)
@given(payload=st.binary(min_size=1, max_size=60) | senseless_events)
def test_a_journal_with_sound_checksums_and_senseless_content_is_applied_or_refused(
    tmp_path_factory: pytest.TempPathFactory, payload: bytes
) -> None:
    journal = tmp_path_factory.mktemp("data") / "journal"
    journal.mkdir()
    write_journal(journal, [payload])
    with contextlib.suppress(JournalDamagedError):
        recover(journal, CatalogueStub(), FakeClock())


async def test_a_clock_that_jumps_loses_nothing_and_runs_nothing_twice(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    clock, rng = FakeClock(), random.Random(5)
    fatal: list[BaseException] = []
    created: list[str] = []
    ran: list[str] = []
    for _ in range(6):
        store = EmbeddedStore(StoreSettings(data=str(tmp_path / "data")), clock, fatal.append)
        await store.start()
        for _ in range(30):
            clock.now_ms += rng.choice([0, 1, 999, HOUR_MS, -HOUR_MS, 24 * HOUR_MS, -24 * HOUR_MS, 365 * 24 * HOUR_MS])
            due_ms = clock() + rng.choice([-HOUR_MS, 0, 5, HOUR_MS])
            created += [task.id for task in await store.add([TaskDraft("f", b"{}", due_ms)])]
            running = await store.claim(3)
            ran += [task.id for task in running]
            await store.settle([Completed(task.id) for task in running])
        await store.stop()
    store = EmbeddedStore(StoreSettings(data=str(tmp_path / "data")), clock, fatal.append)
    await store.start()
    found = (await store.find(parse(f"limit({len(created) + 1})"))).total
    waiting = (await store.find(parse("status=new"))).total
    await store.stop()
    assert created == sorted(created), "ids ascend whatever the clock does"
    assert found == len(created)
    assert len(ran) == len(set(ran))
    assert waiting == len(created) - len(ran)
    assert not fatal


async def connected(url: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host, port = url.removeprefix("http://").split(":")
    return await asyncio.open_connection(host, int(port))


async def flood(writer: asyncio.StreamWriter, size_bytes: int) -> None:
    """Sends a body in chunks until it has been sent or the other side has had enough."""
    chunk = b"100000\r\n" + b" " * (1 << 20) + b"\r\n"
    with contextlib.suppress(ConnectionError):
        for _ in range(size_bytes // len(chunk)):
            writer.write(chunk)
            await writer.drain()


async def test_a_body_of_a_gigabyte_is_refused_without_being_kept(tmp_path: Path) -> None:
    async with http_service(tmp_path) as service:
        reader, writer = await connected(service.url)
        writer.write(f"POST {BASE} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
        before = resident_bytes()
        flooding = asyncio.create_task(flood(writer, GIB))
        assert b"413" in await reader.readline()
        await flooding
        assert resident_bytes() - before < 100 << 20
        writer.close()
        assert (await service.create())["status"] == Status.NEW


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


async def test_a_hundred_thousand_headers_are_refused(tmp_path: Path) -> None:
    async with http_service(tmp_path) as service:
        reader, writer = await connected(service.url)
        writer.write(f"GET {BASE} HTTP/1.1\r\n".encode())
        with contextlib.suppress(ConnectionError):
            for number in range(100_000):
                writer.write(b"X-%d: y\r\n" % number)
                if number % 1000 == 0:
                    await writer.drain()
            writer.write(b"\r\n")
            await writer.drain()
            answer = await reader.readline()
            assert b"200" not in answer, answer
        writer.close()
        assert (await service.create())["status"] == Status.NEW


async def test_clients_that_never_finish_their_headers_keep_nobody_out(tmp_path: Path) -> None:
    async with http_service(tmp_path) as service:
        slow = [await connected(service.url) for _ in range(300)]
        for _, writer in slow:
            writer.write(b"GET / HTTP/1.1\r\nX-Slow: ")
        async with asyncio.timeout(5):
            assert (await service.create())["status"] == Status.NEW
        for _, writer in slow:
            writer.close()
