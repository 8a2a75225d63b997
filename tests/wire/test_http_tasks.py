"""Tasks over HTTP: create, list, cancel, read the log."""

import asyncio
import gzip
import re
from typing import Any

import orjson
import pytest
from support.http.error_shape import assert_error
from support.http.service import BASE, Service, function_body
from yarl import URL

from taskd.model.logline import LogLine
from taskd.model.timestamps import format_ms, parse_rfc3339

FAR_FUTURE = "2999-01-01T00:00:00.000Z"


async def test_a_created_task_is_answered_whole(service: Service) -> None:
    task = await service.create(
        data={"a": [1, {"b": None}]}, startTimestamp="2021-09-29T17:17:07.051+02:00", priority=-3, tags=["x", "y"]
    )
    created_ms = parse_rfc3339(task["creationTimestamp"])
    assert task == {
        "id": task["id"],
        "status": "new",
        "statusChangedTimestamp": task["creationTimestamp"],
        "functionName": "hello",
        "data": {"a": [1, {"b": None}]},
        "startTimestamp": "2021-09-29T15:17:07.051Z",
        "tags": ["x", "y"],
        "priority": -3,
        "creationTimestamp": task["creationTimestamp"],
        "updateTimestamp": task["creationTimestamp"],
    }
    assert re.fullmatch(r"[0-9a-f]{24}", task["id"])
    assert created_ms is not None


async def test_a_task_without_options_starts_now_with_no_priority(service: Service) -> None:
    task = await service.create()
    assert (task["data"], task["tags"], task["priority"]) == ({}, [], 0)
    assert task["startTimestamp"] <= task["creationTimestamp"]


async def test_a_task_takes_its_priority_from_its_function(service: Service) -> None:
    body = function_body(executionOptions={"defaultPriority": 12})
    async with service.client.post(f"{BASE}/functions", json=body) as response:
        assert response.status == 200
    assert (await service.create())["priority"] == 12
    assert (await service.create(priority=1))["priority"] == 1


async def test_data_comes_back_byte_for_byte(service: Service) -> None:
    data = b'{"z": 1.10, "a" : 1E2,\n "big": 123456789012345678901234567890, "u": "\\u00e9\\/"}'
    body = b'{"functionName": "hello", "data": ' + data + b"}"
    async with service.client.post(BASE, data=body) as response:
        assert data in await response.read()
    async with service.client.get(BASE) as response:
        assert data in await response.read()


async def test_a_gzip_body_creates_a_task(service: Service) -> None:
    body = gzip.compress(b'{"functionName": "hello", "priority": 4}')
    async with service.client.post(BASE, data=body, headers={"Content-Encoding": "gzip"}) as response:
        assert (await response.json())["priority"] == 4


async def test_a_body_answers_whatever_its_content_type_says(service: Service) -> None:
    async with service.client.post(BASE, data=b'{"functionName": "hello"}') as response:
        assert response.status == 200
        assert response.content_type == "application/json"


@pytest.mark.parametrize("path", ["", "/", "/functions", "/functions/"])
async def test_paths_answer_with_and_without_a_trailing_slash(service: Service, path: str) -> None:
    assert (await service.get(path))["data"] == []


async def test_a_listing_shows_the_oldest_first_and_counts(service: Service) -> None:
    ids = [(await service.create(priority=number))["id"] for number in (3, 1, 2)]
    page = await service.get("")
    assert [task["id"] for task in page["data"]] == ids
    assert page["page"] == {"total": 3, "offset": 0, "limit": 20}
    assert orjson.loads(page["query"]) == {}


async def test_a_query_filters_sorts_and_pages(service: Service) -> None:
    for number in range(6):
        await service.create(priority=number, tags=["even" if number % 2 == 0 else "odd"])
    page = await service.get("?eq(tags,even)&sort(-priority)&limit(2,1)")
    assert [task["priority"] for task in page["data"]] == [2, 0]
    assert page["page"] == {"total": 3, "offset": 1, "limit": 2}
    assert "even" in page["query"]


async def test_values_encoded_twice_are_found(service: Service) -> None:
    task = await service.create(data={"name": "a/b (c), é"})
    await service.create(data={"name": "other"})
    url = URL(f"{service.url}{BASE}?eq(data.name,a%252Fb%2520%2528c%2529%252C%2520%25C3%25A9)", encoded=True)
    async with service.client.get(url) as response:
        assert [found["id"] for found in (await response.json())["data"]] == [task["id"]]


async def test_a_total_can_be_left_out(service: Service) -> None:
    await service.create()
    assert (await service.get("?skipCount()"))["page"] == {"offset": 0, "limit": 20}


async def test_a_selection_trims_tasks(service: Service) -> None:
    task = await service.create(data={"a": {"b": 1, "c": 2}}, priority=3)
    [row] = (await service.get("?select(priority,data.a.b)"))["data"]
    assert row == {"id": task["id"], "priority": 3, "data": {"a": {"b": 1}}}


async def test_a_limit_over_the_largest_is_clamped_and_shown(service: Service) -> None:
    assert (await service.get("?limit(1000)"))["page"] == {"total": 0, "offset": 0, "limit": 100}


async def test_a_new_task_can_be_canceled(service: Service) -> None:
    task = await service.create(startTimestamp=FAR_FUTURE)
    for slash in ("", "/"):
        async with service.client.post(f"{BASE}/{task['id']}/cancel{slash}") as response:
            if slash:
                assert "canceled" in (await assert_error(response, 27))["message"]
            else:
                assert await response.json() == {"affectedRecords": 1}
    [found] = (await service.get(""))["data"]
    assert found["status"] == "canceled"


async def test_cancel_of_a_running_task_is_refused(service: Service) -> None:
    task = await service.create()
    await service.start_all()
    async with service.client.post(f"{BASE}/{task['id']}/cancel") as response:
        assert "inProgress" in (await assert_error(response, 27))["message"]


@pytest.mark.parametrize("is_running", [False, True])
async def test_delete_of_a_task_that_has_not_ended_is_refused(service: Service, is_running: bool) -> None:
    task = await service.create(**({} if is_running else {"startTimestamp": FAR_FUTURE}))
    await service.start_all()
    async with service.client.delete(f"{BASE}/{task['id']}") as response:
        said = (await assert_error(response, 27))["message"]
    assert ("inProgress" if is_running else "new") in said
    [found] = (await service.get(""))["data"]
    assert found["id"] == task["id"]


async def test_a_deleted_task_is_unknown_from_then_on(service: Service) -> None:
    task = await service.create(startTimestamp=FAR_FUTURE)
    await service.client.post(f"{BASE}/{task['id']}/cancel")
    async with service.client.delete(f"{BASE}/{task['id']}") as response:
        assert await response.json() == {"affectedRecords": 1}
    assert (await service.get(""))["page"]["total"] == 0
    for method, ending in (("GET", ""), ("GET", "/logs"), ("DELETE", ""), ("POST", "/cancel")):
        async with service.client.request(method, f"{BASE}/{task['id']}{ending}") as response:
            await assert_error(response, 16)


@pytest.mark.parametrize(("method", "path"), [("POST", "cancel"), ("GET", "logs"), ("DELETE", "")])
async def test_ids_must_be_ids_of_tasks_there_are(service: Service, method: str, path: str) -> None:
    for malformed in ("1", "x" * 24, "A" * 24, "0" * 25, "%C3%A9", "%ff", "..."):
        url = URL(f"{service.url}{BASE}/{malformed}/{path}", encoded=True)
        async with service.client.request(method, url) as response:
            await assert_error(response, 12)
    async with service.client.request(method, f"{BASE}/{'0' * 24}/{path}") as response:
        assert "0" * 24 in (await assert_error(response, 16))["message"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", ""),
        ("DELETE", ""),
        ("PUT", "/" + "0" * 24),
        ("GET", "/" + "0" * 24 + "/cancel"),
        ("POST", "/" + "0" * 24 + "/logs"),
        ("POST", "/" + "0" * 24 + "/cancel/now"),
        ("GET", "//"),
        ("PATCH", "/functions"),
    ],
)
async def test_other_paths_and_methods_are_unknown(service: Service, method: str, path: str) -> None:
    async with service.client.request(method, BASE + path) as response:
        await assert_error(response, 5)


async def test_a_bad_query_is_told_where(service: Service) -> None:
    for query in ("eq(", "nonsense(a,b)", "eq(status,failed", "startTimestamp>never"):
        async with service.client.get(URL(f"{service.url}{BASE}?{query}", encoded=True)) as response:
            assert "position" in (await assert_error(response, 19))["message"]


@pytest.mark.parametrize("query", ["%ff", "eq(data.a,%ff)", "eq(data.a,%25ff)", "eq(data.%ff,1)", "eq(data.a,%00)"])
async def test_a_query_of_broken_text_is_no_fault_of_ours(service: Service, query: str) -> None:
    async with service.client.get(URL(f"{service.url}{BASE}?{query}", encoded=True)) as response:
        assert response.status in {200, 400}, await response.text()


async def test_a_query_over_its_limit_is_told_so(service: Service) -> None:
    async with service.client.get(f"{BASE}?eq(data.a,{'x' * 20_000})") as response:
        await assert_error(response, 19)


async def logged(service: Service, lines: int) -> dict[str, Any]:
    task = await service.create()
    await service.start_all()
    await service.finish(task["id"], *(LogLine(1000 + number, f"line {number}") for number in range(lines)))
    return task


async def test_a_log_shows_lines_in_the_order_they_were_printed(service: Service) -> None:
    task = await logged(service, 3)
    assert await service.get(f"/{task['id']}/logs") == {
        "page": {"offset": 0, "limit": 20},
        "data": [{"message": f"line {number}", "timestamp": format_ms(1000 + number)} for number in range(3)],
    }


@pytest.mark.parametrize(
    "query",
    [
        "timestamp>=1970-01-01T00:00:01.002Z",
        "ge(timestamp,1970-01-01T00:00:01.002Z)",
        "timestamp=ge=1970-01-01T00%253A00%253A01.002Z",
        "timestamp>=1002",
        "timestamp>=1002&timestamp>=5",
    ],
)
async def test_a_log_can_be_read_from_a_time_on(service: Service, query: str) -> None:
    task = await logged(service, 4)
    url = URL(f"{service.url}{BASE}/{task['id']}/logs/?{query}", encoded=True)
    async with service.client.get(url) as response:
        body = await response.json()
    assert [line["message"] for line in body["data"]] == ["line 2", "line 3"]


async def test_a_log_is_paged(service: Service) -> None:
    task = await logged(service, 5)
    page = await service.get(f"/{task['id']}/logs?limit(2,3)")
    assert [line["message"] for line in page["data"]] == ["line 3", "line 4"]
    assert page["page"] == {"offset": 3, "limit": 2}


async def test_a_page_behind_the_end_of_a_log_is_empty(service: Service) -> None:
    task = await logged(service, 2)
    assert (await service.get(f"/{task['id']}/logs?limit(2,3)"))["data"] == []
    assert (await service.get(f"/{task['id']}/logs?timestamp>=2999-01-01T00:00:00Z"))["data"] == []


@pytest.mark.parametrize(
    "query",
    [
        "timestamp>1000",
        "timestamp<=1000",
        "message=line",
        "timestamp>=now",
        "timestamp>=true",
        "or(timestamp>=1,timestamp>=2)",
        "in(timestamp,(1,2))",
        "sort(timestamp)",
        "select(message)",
    ],
)
async def test_a_log_can_be_filtered_by_nothing_else(service: Service, query: str) -> None:
    task = await logged(service, 1)
    async with service.client.get(URL(f"{service.url}{BASE}/{task['id']}/logs?{query}", encoded=True)) as response:
        assert "position" in (await assert_error(response, 19))["message"]


async def test_a_task_that_has_not_run_has_no_log_to_read(service: Service) -> None:
    task = await service.create(startTimestamp=FAR_FUTURE)
    async with service.client.get(f"{BASE}/{task['id']}/logs") as response:
        assert "new" in (await assert_error(response, 27))["message"]
    await service.store.cancel(task["id"])
    async with service.client.get(f"{BASE}/{task['id']}/logs") as response:
        assert "canceled" in (await assert_error(response, 27))["message"]


async def test_a_task_that_printed_nothing_is_told_apart(service: Service) -> None:
    task = await logged(service, 0)
    async with service.client.get(f"{BASE}/{task['id']}/logs") as response:
        await assert_error(response, 1408)


async def test_a_creation_is_kept_when_its_client_has_gone(service: Service) -> None:
    """The connection ends while the body is being taken in; what was sent whole is not half done."""
    body = b'{"functionName": "hello"}'
    head = f"POST {BASE} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    for _ in range(20):
        _, writer = await asyncio.open_connection("127.0.0.1", int(service.url.rsplit(":", 1)[1]))
        writer.write(head + body)
        writer.transport.abort()
    first = await service.create()
    rows = (await service.get("?limit(100)"))["data"]
    assert first["id"] in [row["id"] for row in rows]
    assert {row["status"] for row in rows} == {"new"}
    assert [task.id for task in await service.store.claim(100)] == [row["id"] for row in rows]


@pytest.mark.parametrize(
    ("query", "advice"),
    [
        ("data.patient.id=7&data.n>3", '["data.patient.id", "data.n"]'),
        ("data.%C3%A9%22%0D%0AX:1=7", '["data.\\xe9\\x22\\r\\nX:1"]'),
        (f"data.{'x' * 100}=7", f'["data.{"x" * 59}"]'),
        ("&".join(f"data.f{number}=1" for number in range(7)), ", ".join(f'"data.f{number}"' for number in range(5))),
    ],
)
async def test_a_listing_that_scans_says_so_and_which_index_would_help(
    service: Service, query: str, advice: str
) -> None:
    await service.create()
    async with service.client.get(URL(f"{service.url}{BASE}?{query}", encoded=True)) as response:
        assert response.status == 200, await response.text()
        assert advice in response.headers["Taskd-Notice"]
        assert response.headers["Taskd-Notice"].isascii()


@pytest.mark.parametrize(
    "query", ["priority>3", "sort(-priority)", "or(data.n=1,status=new)", "data.n!=1", "like(data.n,a)"]
)
async def test_a_listing_that_scans_and_that_no_index_would_help_gives_no_advice(service: Service, query: str) -> None:
    async with service.client.get(f"{BASE}?{query}") as response:
        assert response.headers["Taskd-Notice"] == "this listing looked at every record, as no index answers it"


@pytest.mark.parametrize("query", ["", "status=new", "tags=a", "tags=a&data.n=1", "sort(-creationTimestamp)"])
async def test_a_listing_by_an_index_has_no_notice(service: Service, query: str) -> None:
    async with service.client.get(f"{BASE}?{query}") as response:
        assert response.status == 200
        assert "Taskd-Notice" not in response.headers
