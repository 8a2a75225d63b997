"""Every error of the catalogue that these routes can give, provoked over HTTP and held to the one shape."""

import asyncio
import io
import resource
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiohttp import ClientResponse
from support.functions.local_runtime import appears
from support.http.error_shape import assert_error
from support.http.service import BASE, Service, function_body, http_service, zipped
from support.http.synchronous_calls import deploy_gate

from taskd.api.resources.probes import Health
from taskd.execution.settings import DispatchSettings
from taskd.model import errors, limits
from taskd.model.errors import CATALOGUE
from taskd.store.embedded.settings import StoreSettings

ID = "0" * 24
TASK = {"functionName": "hello"}
FUNCTIONS = f"{BASE}/functions"

Call = tuple[int, str, str, Any]
"""The code expected, the method, the path, and the body: bytes as they are, anything else as JSON."""

CALLS: list[Call] = [
    (1, "GET", "/health", None),
    (5, "GET", "/", None),
    (5, "GET", f"{BASE}/nothing/there", None),
    (5, "PUT", BASE, TASK),
    (12, "POST", f"{BASE}/not-an-id/cancel", None),
    (12, "GET", f"{BASE}/not-an-id/logs", None),
    (13, "POST", BASE, b""),
    (13, "POST", FUNCTIONS, b""),
    (14, "POST", BASE, {}),
    (14, "POST", FUNCTIONS, {}),
    (15, "POST", BASE, {"functionName": "no name"}),
    (15, "POST", FUNCTIONS, function_body(runtime="cobol")),
    (16, "POST", f"{BASE}/{ID}/cancel", None),
    (16, "GET", f"{BASE}/{ID}/logs", None),
    (16, "GET", f"{FUNCTIONS}/nobody", None),
    (16, "DELETE", f"{FUNCTIONS}/nobody", None),
    (19, "GET", f"{BASE}?eq(", None),
    (19, "GET", f"{BASE}?startTimestamp>soon", None),
    (19, "GET", f"{BASE}/{ID}/logs?eq(", None),
    (19, "GET", f"{BASE}/{ID}/logs?sort(timestamp)", None),
    (22, "POST", BASE, b"nonsense"),
    (22, "POST", FUNCTIONS, b"[]"),
    (903, "GET", "/mail/v1/", None),
    (1401, "POST", FUNCTIONS, function_body(code="nonsense!")),
    (1401, "POST", FUNCTIONS, function_body(code="aGVsbG8=")),
    (1402, "POST", FUNCTIONS, function_body(environmentVariables={"LARGE": {"value": "x" * 5000}})),
    (1407, "POST", FUNCTIONS, function_body(name="no name")),
    (1414, "POST", BASE, {**TASK, "data": {"a": "x" * limits.TASK_DATA_MAX_BYTES}}),
    (1414, "POST", BASE, b" " * (limits.BODY_MAX_BYTES + 1)),
]


async def broken_health() -> Health:
    raise OSError("the disk is on fire")


@pytest.fixture
async def service(tmp_path: Path) -> AsyncIterator[Service]:
    one_at_a_time = DispatchSettings(max_direct=1, max_api_calls=1)
    async with http_service(tmp_path, health=broken_health, dispatch=one_at_a_time) as running:
        yield running


async def send(service: Service, method: str, path: str, body: Any = None) -> ClientResponse:
    content = body if isinstance(body, bytes) else b"" if body is None else orjson.dumps(body)
    return await service.client.request(method, path, data=io.BytesIO(content))


@pytest.mark.parametrize(("code", "method", "path", "body"), CALLS)
async def test_a_wrong_call_is_told_what_is_wrong(
    service: Service, code: int, method: str, path: str, body: Any
) -> None:
    await assert_error(await send(service, method, path, body), code)


async def take_a_name_twice(service: Service) -> ClientResponse:
    await send(service, "POST", FUNCTIONS, function_body())
    return await send(service, "POST", FUNCTIONS, function_body())


async def send_a_header_too_large(service: Service) -> ClientResponse:
    return await service.client.get(BASE, headers={"Large": "x" * 20_000})


async def cancel_twice(service: Service) -> ClientResponse:
    task = await service.create()
    await send(service, "POST", f"{BASE}/{task['id']}/cancel")
    return await send(service, "POST", f"{BASE}/{task['id']}/cancel")


async def read_the_log_of_a_task_that_has_not_run(service: Service) -> ClientResponse:
    task = await service.create()
    return await send(service, "GET", f"{BASE}/{task['id']}/logs")


async def read_the_log_of_a_silent_task(service: Service) -> ClientResponse:
    task = await service.create()
    await service.store.claim(1)
    return await send(service, "GET", f"{BASE}/{task['id']}/logs")


async def read_the_log_of_a_silent_api_request(service: Service) -> ClientResponse:
    await call_a_function(service, "/api/hello")
    [record] = (await service.get("/apiRequests"))["data"]
    return await send(service, "GET", f"{BASE}/apiRequests/{record['id']}/logs")


async def call_a_function(service: Service, path: str, **fields: Any) -> ClientResponse:
    await send(service, "POST", FUNCTIONS, function_body(**fields))
    return await send(service, "POST", f"{BASE}{path}")


async def call_twice_at_once(service: Service, path: str) -> ClientResponse:
    with tempfile.TemporaryDirectory(dir=service.directory) as folder:
        return await call_while_another_waits(service, path, Path(folder))


async def call_while_another_waits(service: Service, path: str, folder: Path) -> ClientResponse:
    await deploy_gate(service, folder)
    first = asyncio.create_task(send(service, "POST", f"{BASE}{path}"))
    await appears(folder / "started")
    second = await send(service, "POST", f"{BASE}{path}")
    (folder / "gate").touch()
    assert (await first).status == 200
    return second


async def call_a_function_whose_code_is_gone(service: Service) -> ClientResponse:
    await send(service, "POST", FUNCTIONS, function_body())
    await service.runtime.remove("hello")
    return await send(service, "POST", f"{FUNCTIONS}/hello/execute")


RAISING = zipped(index="def handler(event, context): raise ValueError")
EXECUTE = "/functions/hello/execute"
SEQUENCES: list[tuple[int, Callable[[Service], Awaitable[ClientResponse]]]] = [
    (17, take_a_name_twice),
    (26, send_a_header_too_large),
    (27, cancel_twice),
    (27, read_the_log_of_a_task_that_has_not_run),
    (1403, partial(call_twice_at_once, path="/functions/gate/execute")),
    (1404, partial(call_a_function, path=EXECUTE, timeLimit=31)),
    (1405, call_a_function_whose_code_is_gone),
    (1406, partial(call_a_function, path=EXECUTE, code=RAISING)),
    (1410, partial(call_a_function, path=EXECUTE, enabled=False)),
    (1408, read_the_log_of_a_silent_task),
    (1409, partial(call_a_function, path="/api/hello")),
    (1411, partial(call_a_function, path="/api/hello", timeLimit=31)),
    (1412, partial(call_twice_at_once, path="/api/gate")),
    (1413, read_the_log_of_a_silent_api_request),
]


@pytest.mark.parametrize(("code", "sequence"), SEQUENCES)
async def test_a_call_at_the_wrong_moment_is_told_so(
    service: Service, code: int, sequence: Callable[[Service], Awaitable[ClientResponse]]
) -> None:
    await assert_error(await sequence(service), code)


async def test_a_listing_past_its_time_is_interrupted(tmp_path: Path) -> None:
    settings = StoreSettings(data=str(tmp_path / "data"), listing_time_limit_s=0.05)
    async with http_service(tmp_path, store_settings=settings) as service:
        for _ in range(10):
            await service.create(data={"text": "ab" * 400_000})
        while (await send(service, "GET", f"{BASE}?limit(1)&select(id)")).status == errors.UNAVAILABLE.http_status:
            pass  # each listing waits a while for the catalogue, which has much to write
        await assert_error(await send(service, "GET", f"{BASE}?like(data.text,re:[ab]*c)"), 21)


@contextmanager
def full_journal(data: Path) -> Iterator[None]:
    """No file of this process may be written past the journal's frames; the kernel refuses what would."""
    [segment] = (data / "journal").glob("*.journal")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(segment.read_bytes().rstrip(b"\0")), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_what_cannot_be_made_durable_is_refused_with_a_time_to_wait(service: Service, tmp_path: Path) -> None:
    await service.create()
    with full_journal(tmp_path / "data"):
        for path, body in ((BASE, TASK), (FUNCTIONS, function_body())):
            response = await send(service, "POST", path, body)
            await assert_error(response, 1503)
            assert int(response.headers["Retry-After"]) > 0
    assert (await service.get("/functions"))["data"] == []


def test_every_kind_of_error_is_provoked_here() -> None:
    provoked = {code for code, *_ in CALLS} | {code for code, _ in SEQUENCES} | {21, 1503}
    of_accounts = {errors.EMPTY_RQL.code, errors.EMAIL_USED.code}
    of_no_route_here = {errors.NO_PERMISSION.code, errors.TOO_MANY_REQUESTS.code}
    of_authentication = set(range(101, 127))
    assert set(CATALOGUE) - provoked - of_authentication - of_accounts == of_no_route_here
