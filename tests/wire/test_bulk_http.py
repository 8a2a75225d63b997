"""Creating many tasks at once over HTTP."""

import asyncio
import gzip
import io
import json
import tracemalloc
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from support.http.error_shape import assert_error
from support.http.service import BASE, Service, function_body, http_service

from taskd.api.resources.bulk import decode_tasks
from taskd.api.settings import ServerSettings
from taskd.model.errors import ContractError
from taskd.model.limits import MIB
from taskd.store.embedded.events import decode_events
from taskd.store.embedded.journal.directory import segments
from taskd.store.embedded.journal.replay import Replay

BULK = f"{BASE}/bulk"
GOOD = {"functionName": "hello"}
NDJSON = {"Content-Type": "application/x-ndjson"}
LIMIT_BYTES = 4 << 20


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    async with http_service(tmp_path, ServerSettings(bulk_body_max_bytes=LIMIT_BYTES)) as running:
        yield running


def lines(*tasks: object) -> bytes:
    return b"".join(json.dumps(task).encode() + b"\n" for task in tasks)


async def create(service: Service, body: bytes, **headers: str) -> list[str]:
    async with service.client.post(BULK, data=body, headers=headers) as response:
        assert response.status == 200, await response.text()
        answer = await response.json()
        assert list(answer) == ["ids"]
        return list(answer["ids"])


async def total(service: Service) -> int:
    return int((await service.get(""))["page"]["total"])


def numbered(count: int) -> list[dict[str, Any]]:
    return [{**GOOD, "data": {"n": n}, "priority": n % 3, "tags": [str(n)]} for n in range(count)]


@pytest.mark.parametrize("path", [BULK, BULK + "/"])
@pytest.mark.parametrize("body", [lines(*numbered(50)), json.dumps(numbered(50)).encode()], ids=["ndjson", "array"])
async def test_ids_come_in_the_order_of_the_tasks(service: Service, path: str, body: bytes) -> None:
    async with service.client.post(path, data=body) as response:
        ids = (await response.json())["ids"]
    page = await service.get("?limit(100)")
    assert [task["id"] for task in page["data"]] == ids == sorted(ids)
    assert [task["data"]["n"] for task in page["data"]] == list(range(50))
    assert [task["priority"] for task in page["data"]] == [n % 3 for n in range(50)]


async def test_each_task_gets_the_defaults_of_its_function(service: Service) -> None:
    async with service.client.post(
        f"{BASE}/functions", json=function_body(executionOptions={"defaultPriority": 4})
    ) as response:
        assert response.status == 200
    await create(service, lines(GOOD, {**GOOD, "priority": 1}, {"functionName": "unknown"}))
    tasks = (await service.get(""))["data"]
    assert [task["priority"] for task in tasks] == [4, 1, 0]
    assert len({task["startTimestamp"] for task in tasks}) == 1


@pytest.mark.parametrize(
    "body",
    [
        b'\n\n{"functionName": "hello"}\r\n   \n{"functionName": "hello"}',
        b' [ {"functionName": "hello"} ,\n {"functionName": "hello", "unknown": [1]} ] ',
        gzip.compress(lines(GOOD, GOOD), mtime=0),
    ],
    ids=["blank lines", "spaced array", "gzip"],
)
async def test_white_space_and_packing_do_not_matter(service: Service, body: bytes) -> None:
    headers = {"Content-Encoding": "gzip"} if body[:1] == b"\x1f" else {}
    assert len(await create(service, body, **headers)) == 2


BAD_TASKS: list[tuple[bytes, int, str]] = [
    (b'{"functionName": 5}', 15, "functionName"),
    (b'{"functionName": "not a name"}', 15, "functionName"),
    (b"{}", 14, "functionName"),
    (b"5", 22, "object"),
    (b"null", 22, "object"),
    (b'{"functionName": "hello", "priority": 0.5}', 15, "priority"),
    (b'{"functionName": "hello", "data": []}', 15, "data"),
    (b'{"functionName": "hello", "tags": [1]}', 15, "tags"),
    (b'{"functionName": "hello", "startTimestamp": "soon"}', 15, "startTimestamp"),
    (b'{"functionName": "hello", "data": {"a": ' + b"[" * 600 + b"]" * 600 + b"}}", 15, "nest"),
]


@pytest.mark.parametrize("layout", ["ndjson", "array"])
@pytest.mark.parametrize(("bad", "code", "part"), BAD_TASKS)
async def test_one_bad_task_refuses_all_and_is_named_by_its_index(
    service: Service, bad: bytes, code: int, part: str, layout: str
) -> None:
    good = json.dumps(GOOD).encode()
    texts = [good, good, good, bad, good]
    body = b"\n".join(texts) if layout == "ndjson" else b"[" + b",".join(texts) + b"]"
    async with service.client.post(BULK, data=body) as response:
        error = await assert_error(response, code)
    assert error["index"] == 3
    assert error["message"].startswith("Task 3: ")
    assert part in error["message"]
    assert await total(service) == 0


async def test_a_line_that_is_no_json_is_named_by_its_index(service: Service) -> None:
    async with service.client.post(BULK, data=lines(GOOD) + b"{nonsense\n", headers=NDJSON) as response:
        assert (await assert_error(response, 22))["index"] == 1


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", 13),
        (b" \n ", 13),
        (b"[]", 26),
        (b"[", 22),
        (b'[{"functionName": "hello"},]', 22),
        (b'[{"functionName": "hello"}] []', 22),
        (b"[" * 100_000, 22),
        (b"\xff\xfe", 22),
        (b'{"functionName": "hello"}\n' * 10_001, 26),
        (b"[" + b",".join([b'{"functionName": "hello"}'] * 10_001) + b"]", 26),
        (b'{"functionName": "hello"}\n' * 10_000 + b"{}\n", 26),
        (b'{"functionName": "hello", "data": {"a": "' + b"x" * LIMIT_BYTES + b'"}}', 1414),
    ],
    ids=range(12),
)
async def test_a_body_that_is_no_list_of_tasks_is_refused(service: Service, body: bytes, code: int) -> None:
    async with service.client.post(BULK, data=io.BytesIO(body)) as response:
        await assert_error(response, code)
    assert await total(service) == 0


async def test_ten_thousand_tasks_are_one_frame_of_the_journal(service: Service, tmp_path: Path) -> None:
    ids = await create(service, lines(GOOD) * 10_000)
    assert len(set(ids)) == 10_000
    assert await total(service) == 10_000
    await service.store.stop()
    frames = [decode_events(payload) for _, payload in Replay(segments(tmp_path / "data" / "journal")[0])]
    assert [len(event.tasks) for [event] in frames] == [10_000]  # type: ignore[union-attr]


async def test_others_are_served_while_a_large_batch_is_looked_at(service: Service) -> None:
    creating = asyncio.create_task(create(service, lines(GOOD) * 10_000))
    single = await service.create()
    ids = await creating
    assert single["id"] not in ids
    assert await total(service) == 10_001


async def test_a_batch_sent_again_with_its_key_answers_the_same_ids(service: Service) -> None:
    key = {"Idempotency-Key": "batch-1"}
    ids = await create(service, lines(*numbered(30)), **key)
    await service.start_all()
    assert await create(service, lines(*numbered(30)), **key) == ids
    async with service.client.post(BULK, data=lines(*numbered(31)), headers=key) as response:
        await assert_error(response, 26)
    async with service.client.post(BASE, json=GOOD, headers=key) as response:
        await assert_error(response, 26)
    assert await total(service) == 30


def test_a_list_whose_parts_are_all_fine_but_not_the_whole_is_refused() -> None:
    with pytest.raises(ContractError, match="array"):
        decode_tasks(b'[{"functionName": "hello"} {"functionName": "hello"}]')


@pytest.mark.parametrize(
    "text",
    [b"[" + b"0," * 600_000 + b"0]", b"{}\n" * 600_000, b'{"functionName":"f"}\n' * 600_000],
    ids=["array", "empty", "lines"],
)
def test_what_is_no_task_takes_little_memory_however_much_there_is(text: bytes) -> None:
    """32 MiB of ``[0,0,...]`` once took 2 GiB and seconds of everybody's time."""
    tracemalloc.start()
    try:
        with pytest.raises(ContractError):
            decode_tasks(text)
        assert tracemalloc.get_traced_memory()[1] < 4 * MIB
    finally:
        tracemalloc.stop()
