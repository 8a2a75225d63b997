"""Pages of large records: sent piece by piece, with all that they always had, and never longer than they may be."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientError, ClientSession, web
from support.http.raw import send_raw
from support.http.service import BASE, Service, http_service

from taskd.api.http.client_address import ClientAddresses
from taskd.api.http.pages import Pages
from taskd.api.http.request_parts import query_of
from taskd.api.http.server import serve
from taskd.api.http.unread_answers import UnreadAnswers
from taskd.api.settings import ServerSettings
from taskd.cli.client import ApiClient, rows
from taskd.cli.polling import log_lines
from taskd.model.limits import MIB
from taskd.model.logline import LogLine
from taskd.model.schedule import ScheduleDraft
from taskd.model.task import TaskDraft
from taskd.model.wire import task_view
from taskd.store.base import StoreUnavailableError
from taskd.store.embedded.settings import StoreSettings
from taskd.store.embedded.store import EmbeddedStore

PAGE_MAX_BYTES = MIB
SIZES = [10, 70_000, 5, 600_000, 65_536, 300_000, 1, 1_500_000, 20_971, 40]


def data(size: int) -> bytes:
    return json.dumps({"n": size, "deep": {"list": [1, {"x": size}]}, "text": 'é"\\' * (size // 4)}).encode()


@asynccontextmanager
async def service_of(directory: Path, sizes: list[int], page_max_bytes: int = 64 * MIB) -> AsyncIterator[Service]:
    async with http_service(directory, ServerSettings(page_max_bytes=page_max_bytes)) as service:
        await service.store.add([TaskDraft("f", data(size), 0, tags=(str(size),)) for size in sizes])
        yield service


async def all_pages(service: Service, path: str, limit: int, wanted: str = "") -> list[dict[str, Any]]:
    """Every page there is, going on as the vendor's SDK does: by ``limit`` and ``offset`` of the page before."""
    pages = [await service.get(f"{path}?limit({limit}){wanted}")]
    while (info := pages[-1]["page"])["total"] > info["offset"] + info["limit"]:
        pages.append(await service.get(f"{path}?limit({info['limit']},{info['offset'] + info['limit']}){wanted}"))
    return pages


@pytest.mark.parametrize("limit", [1, 3, 20, 100])
async def test_a_page_has_each_record_whole_and_in_order(tmp_path: Path, limit: int) -> None:
    async with service_of(tmp_path, SIZES) as service:
        for page in await all_pages(service, "/", limit):
            assert page["page"]["limit"] == limit
            begin = page["page"]["offset"]
            assert [task["data"] for task in page["data"]] == [json.loads(data(n)) for n in SIZES[begin:][:limit]]
            assert [task["tags"] for task in page["data"]] == [[str(n)] for n in SIZES[begin:][:limit]]


@pytest.mark.parametrize(
    ("select", "wanted"),
    [
        ("status", lambda task: {"status": "new"}),
        ("data", lambda task: {"data": task["data"]}),
        ("data,data.n", lambda task: {"data": task["data"]}),
        ("data.deep.list.x", lambda task: {"data": {"deep": {"list": [{"x": task["data"]["n"]}]}}}),
        ("data.none,tags", lambda task: {"data": {}, "tags": task["tags"]}),
    ],
)
async def test_what_is_selected_of_long_data_is_what_is_selected_of_short(
    tmp_path: Path, select: str, wanted: Any
) -> None:
    async with service_of(tmp_path, SIZES) as service:
        whole = (await service.get("/?limit(100)"))["data"]
        trimmed = (await service.get(f"/?limit(100)&select({select})"))["data"]
        assert trimmed == [{"id": task["id"], **wanted(task)} for task in whole]


async def test_a_page_that_gets_too_long_is_shorter_and_says_so(tmp_path: Path) -> None:
    async with service_of(tmp_path, SIZES, PAGE_MAX_BYTES) as service:
        pages = await all_pages(service, "/", 50)
        found = [task["data"]["n"] for page in pages for task in page["data"]]
        assert found == SIZES
        assert len(pages) > 1
        assert all(page["page"]["limit"] == len(page["data"]) for page in pages[:-1])
        assert all(len(page["data"]) == 1 or len(json.dumps(page)) < 1.1 * PAGE_MAX_BYTES for page in pages)


async def test_records_that_are_in_memory_are_as_bounded(tmp_path: Path) -> None:
    """Schedules, and tasks of which a large part is selected."""
    async with service_of(tmp_path, [300_000] * 8, PAGE_MAX_BYTES) as service:
        for number in range(20):
            await service.store.add_schedule(ScheduleDraft("f", data(60_000), 10**9, number))
        schedules = await all_pages(service, "/schedules", 100)
        assert sum(len(page["data"]) for page in schedules) == 20
        selected = await all_pages(service, "/", 100, "&select(data.text)")
        assert sum(len(page["data"]) for page in selected) == 8
        for pages in (schedules, selected):
            assert len(pages) > 1
            assert all(len(json.dumps(page, ensure_ascii=False)) < 1.1 * PAGE_MAX_BYTES for page in pages)


@pytest.mark.parametrize("version", ["1.0", "1.1"])
async def test_old_clients_and_those_that_ask_for_the_head_get_what_they_expect(tmp_path: Path, version: str) -> None:
    async with service_of(tmp_path, SIZES) as service:
        rest = f"{BASE} HTTP/{version}\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()
        head, _, body = (await send_raw(service.url, b"GET " + rest)).partition(b"\r\n\r\n")
        assert f"\r\nContent-Length: {len(body)}\r\n".encode() in head + b"\r\n"
        assert len(json.loads(body)["data"]) == len(SIZES)
        only_head, _, nothing = (await send_raw(service.url, b"HEAD " + rest)).partition(b"\r\n\r\n")
        assert nothing == b""
        assert f"Content-Length: {len(body)}".encode() in only_head


class HalfReadStore(EmbeddedStore):
    """A store that becomes unavailable after some parts of data."""

    parts_left = 2

    async def read_data(self, task_id: str, begin: int, size_bytes: int) -> bytes:
        self.parts_left -= 1
        if self.parts_left < 0:
            raise StoreUnavailableError("The disk is gone.")
        return await super().read_data(task_id, begin, size_bytes)


async def test_a_page_that_cannot_be_read_to_its_end_does_not_look_whole(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = HalfReadStore(StoreSettings(data=str(tmp_path)))
    await store.start()
    await store.add([TaskDraft("f", data(1_500_000), 0)] * 2)
    pages = Pages(store, 64 * MIB, UnreadAnswers(64 * MIB, ClientAddresses(())))

    async def listing(request: web.Request) -> web.StreamResponse:
        query = query_of(request)
        return await pages.response(request, query, await store.find(query, apart_from_bytes=1_000), task_view)

    app = web.Application()
    app.add_routes([web.get("/", listing)])
    runner, url = await serve(app, "127.0.0.1", 0)
    try:
        async with ClientSession(url) as client:
            with caplog.at_level(logging.WARNING), pytest.raises(ClientError):
                async with client.get("/") as response:
                    await response.read()
    finally:
        await runner.cleanup()
        await store.stop()
    assert "ended half-way: The disk is gone." in caplog.text


async def test_the_command_line_goes_on_where_a_page_ended(tmp_path: Path) -> None:
    async with service_of(tmp_path, SIZES, PAGE_MAX_BYTES) as service:
        client = ApiClient(service.url)
        found = await asyncio.to_thread(lambda: list(rows(client, "/", "sort(creationTimestamp)", 9)))
        assert [task["data"]["n"] for task in found] == SIZES[:9]
        lines = [LogLine(number, "x" * MIB) for number in range(9)]
        started = await service.store.add_started(TaskDraft("f", b"{}", 0))
        await service.store.replace_logs(started.id, lines)
        messages = await asyncio.to_thread(lambda: [line["timestamp"] for line in log_lines(client, started.id)])
        assert len(messages) == len(set(messages)) == 9
