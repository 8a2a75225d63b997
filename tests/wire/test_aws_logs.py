"""Whole logs in place of cut ones: invoked over a real socket, fetched from moto's CloudWatch Logs."""

import asyncio
import base64
import logging
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web
from support.aws.environment import a_call, use_key
from support.aws.lambda_server import LambdaServer, answer, running_lambda
from support.aws.moto import REGION, Moto, running_moto
from support.clocks import FakeClock

from taskd.api.http.server import serve
from taskd.execution.runner import Runner
from taskd.execution.settings import DispatchSettings
from taskd.model import limits
from taskd.model.clock import system_clock_ms
from taskd.model.logline import LogLine
from taskd.model.task import TaskDraft
from taskd.runtime.aws.cloudwatch import LogRequest
from taskd.runtime.aws.log_fetcher import FetchPolicy, LogFetcher
from taskd.runtime.aws.runtime import AwsRuntime
from taskd.runtime.aws.sdk_clients import SdkClients
from taskd.runtime.aws.settings import AwsSettings
from taskd.runtime.base import Success
from taskd.store.embedded.settings import StoreSettings
from taskd.store.embedded.store import EmbeddedStore

REQUEST_ID = "aaaaaaaa-2222-4333-8444-555555555555"
OTHER_ID = "bbbbbbbb-2222-4333-8444-555555555555"
TASK_REQUEST_ID = "cccccccc-2222-4333-8444-555555555555"
AT_ONCE = FetchPolicy(delays_s=(0.0,), interval_s=0.0)
PATIENT = FetchPolicy(delays_s=(0.02,) * 500, interval_s=0.0)


@pytest.fixture(scope="module")
def moto() -> Iterator[Moto]:
    with running_moto() as moto:
        yield moto


@pytest.fixture(autouse=True)
def aws_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    use_key(monkeypatch)


@pytest.fixture
def clock() -> FakeClock:
    """Stands still at the time of now: CloudWatch takes in nothing that is two weeks old."""
    return FakeClock(system_clock_ms())


class Kept:
    """What was fetched, by call."""

    def __init__(self) -> None:
        self.logs: dict[str, list[LogLine]] = {}
        self.came = asyncio.Event()

    async def keep(self, call_id: str, lines: Sequence[LogLine]) -> None:
        self.logs[call_id] = list(lines)
        self.came.set()


@pytest.fixture
def kept() -> Kept:
    return Kept()


def call_events(request_id: str, start_ms: int, lines: Sequence[str]) -> list[tuple[int, str]]:
    """A call's entries in its stream; only Lambda's own hold the request id."""
    end_ms = start_ms + len(lines)
    printed = [(start_ms + number, line) for number, line in enumerate(lines)]
    return [
        (start_ms, f"START RequestId: {request_id} Version: $LATEST\n"),
        *printed,
        (end_ms, f"END RequestId: {request_id}\n"),
        (end_ms, f"REPORT RequestId: {request_id}\tDuration: 2.00 ms\tBilled Duration: 3 ms\n"),
    ]


def tail_of(events: Sequence[tuple[int, str]]) -> str:
    return base64.b64encode("".join(message for _, message in events).encode()[-4096:]).decode()


def cut_answer(events: Sequence[tuple[int, str]], request_id: str = REQUEST_ID) -> bytes:
    return answer(200, b"{}", {"X-Amzn-RequestId": request_id, "X-Amz-Log-Result": tail_of(events)})


@asynccontextmanager
async def running(
    settings: AwsSettings, kept: Kept, clock: FakeClock, policy: FetchPolicy
) -> AsyncIterator[AwsRuntime]:
    runtime = AwsRuntime(settings, clock, keep_log=kept.keep, fetch_policy=policy)
    await runtime.start([])
    yield runtime
    await runtime.stop()


@pytest.fixture
async def server() -> AsyncIterator[LambdaServer]:
    async with running_lambda() as server:
        yield server


def wanted(name: str, clock: Callable[[], int]) -> LogRequest:
    return LogRequest("call", REQUEST_ID, f"/aws/lambda/{name}", clock(), 30_000)


async def fetched(moto_url: str, kept: Kept, request: LogRequest, policy: FetchPolicy = AT_ONCE) -> list[LogLine]:
    fetcher = _log_fetcher(moto_url, kept, policy)
    fetcher.submit(request)
    await asyncio.wait_for(kept.came.wait(), 10)
    await fetcher.stop()
    return kept.logs[request.call_id]


def _log_fetcher(url: str, kept: Kept, policy: FetchPolicy) -> LogFetcher:
    return LogFetcher(SdkClients(AwsSettings(logs_endpoint_url=url), REGION), kept.keep, policy)


async def test_a_cut_log_is_replaced_by_the_whole_when_cloudwatch_has_it(
    moto: Moto, server: LambdaServer, kept: Kept, clock: FakeClock
) -> None:
    lines = [f"line {number:04} {'x' * 100}\n" for number in range(200)]
    events = call_events(REQUEST_ID, clock() - 500, lines)
    server.raw_answer = cut_answer(events)
    settings = AwsSettings(region=REGION, endpoint_url=server.url, logs_endpoint_url=moto.url)
    async with running(settings, kept, clock, PATIENT) as runtime:
        call = a_call("raw")
        result = await runtime.invoke(call)
        assert isinstance(result, Success)
        assert 1 < len(result.logs) < 40
        assert not kept.came.is_set()
        neighbours = call_events(OTHER_ID, clock() - 600, ["before\n"]), call_events(OTHER_ID, clock(), ["after\n"])
        await moto.put_log("/aws/lambda/raw", "2026/[$LATEST]one", [*neighbours[0], *events, *neighbours[1]])
        await asyncio.wait_for(kept.came.wait(), 10)
    expected = [LogLine(clock() - 500 + number, line.rstrip("\n")) for number, line in enumerate(lines)]
    assert kept.logs == {call.task_id: expected}


async def test_a_log_that_came_whole_is_not_looked_for(
    server: LambdaServer, kept: Kept, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    """A look would fail, as there is nothing at that address, and be complained about."""
    settings = AwsSettings(region=REGION, endpoint_url=server.url, logs_endpoint_url="http://127.0.0.1:9")
    async with running(settings, kept, clock, AT_ONCE) as runtime:
        for lines in (["short\n"], ["x" * 3850 + "\n"]):
            server.raw_answer = cut_answer(call_events(REQUEST_ID, clock(), lines))
            assert isinstance(await runtime.invoke(a_call("raw")), Success)
        assert not runtime._log_fetcher._fetches
    assert not caplog.records


async def test_what_does_not_run_at_aws_is_not_looked_for_at_aws(
    server: LambdaServer, kept: Kept, clock: FakeClock
) -> None:
    server.raw_answer = cut_answer(call_events(REQUEST_ID, clock(), ["x" * 9000]))
    for settings in (
        AwsSettings(region=REGION, endpoint_url=server.url),
        AwsSettings(region=REGION, endpoint_url=server.url, logs_endpoint_url=server.url, full_logs=False),
    ):
        async with running(settings, kept, clock, AT_ONCE) as runtime:
            await runtime.invoke(a_call("raw"))
            assert not runtime._log_fetcher._fetches


@pytest.mark.parametrize("request_id", ["", "none", 'x" OR "', REQUEST_ID.upper()])
async def test_a_request_id_that_is_none_is_never_searched_for(
    server: LambdaServer, kept: Kept, clock: FakeClock, request_id: str
) -> None:
    tail = tail_of(call_events(REQUEST_ID, clock(), ["x" * 9000]))
    server.raw_answer = answer(200, b"{}", {"X-Amzn-RequestId": request_id, "X-Amz-Log-Result": tail})
    settings = AwsSettings(region=REGION, endpoint_url=server.url, logs_endpoint_url=server.url)
    async with running(settings, kept, clock, AT_ONCE) as runtime:
        assert isinstance(await runtime.invoke(a_call("raw")), Success)
        assert not runtime._log_fetcher._fetches


async def test_structured_logs_are_told_apart_as_well(moto: Moto, kept: Kept, clock: FakeClock) -> None:
    head = '{"time":"2026-01-01T00:00:00.000Z","type":"platform.'
    record = f'"record":{{"requestId":"{REQUEST_ID}"}}}}'
    printed = f'{{"level":"INFO","message":"hello","requestId":"{REQUEST_ID}"}}'
    events = [
        (clock() - 3, f'{head}start",{record}'),
        (clock() - 2, printed),
        (clock() - 1, f'{head}report",{record}'),
    ]
    await moto.put_log("/aws/lambda/json", "one", events)
    assert await fetched(moto.url, kept, wanted("json", clock)) == [LogLine(clock() - 2, printed)]


async def test_an_entry_of_many_lines_becomes_many_lines(moto: Moto, kept: Kept, clock: FakeClock) -> None:
    await moto.put_log("/aws/lambda/many", "one", call_events(REQUEST_ID, clock(), ["a\nb\r\n\nc\n", "d"]))
    lines = await fetched(moto.url, kept, wanted("many", clock))
    assert [line.message for line in lines] == ["a", "b", "c", "d"]


async def test_a_log_over_the_limit_is_cut_and_says_so(moto: Moto, kept: Kept, clock: FakeClock) -> None:
    big = ["x" * 100_000 + "\n"] * 12
    await moto.put_log("/aws/lambda/big", "one", call_events(REQUEST_ID, clock(), big))
    lines = await fetched(moto.url, kept, wanted("big", clock))
    assert sum(len(line.message) for line in lines[:-1]) <= limits.LOG_MAX_BYTES_PER_CALL
    assert (len(lines), lines[-1].message[:7]) == (11, "[taskd]")


async def test_a_log_whose_end_has_not_come_is_waited_for(
    moto: Moto, kept: Kept, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    events = call_events(REQUEST_ID, clock(), ["a", "b"])
    await moto.put_log("/aws/lambda/late", "one", events[:2])
    fetcher = _log_fetcher(moto.url, kept, AT_ONCE)
    fetcher.submit(wanted("late", clock))
    await asyncio.gather(*fetcher._fetches)
    assert not kept.logs
    await fetcher.stop()
    assert "1 logs stay cut" in caplog.text
    await moto.put_log("/aws/lambda/late", "one", events[2:])
    assert [line.message for line in await fetched(moto.url, kept, wanted("late", clock))] == ["a", "b"]


async def test_more_logs_than_can_be_waited_for_are_left_and_complained_of_once(
    kept: Kept, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    fetcher = _log_fetcher("http://127.0.0.1:9", kept, FetchPolicy(delays_s=(3600.0,), pending_max=3))
    for _ in range(10):
        fetcher.submit(wanted("flood", clock))
    assert len(fetcher._fetches) == 3
    assert [record.getMessage() for record in caplog.records] == [
        "1 logs stay cut to their last 4 KB: 3 others are being waited for"
    ]
    with caplog.at_level(logging.INFO):
        await fetcher.stop()
    assert "3 logs stay cut to their last 4 KB: taskd stops." in caplog.text
    await fetcher.stop()


async def test_a_cloudwatch_that_refuses_is_named_with_its_reason(
    kept: Kept, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    async def deny(request: web.Request) -> web.Response:
        body = {"__type": "AccessDeniedException", "message": "not authorized to perform logs:FilterLogEvents"}
        return web.json_response(body, status=400)

    app = web.Application()
    app.add_routes([web.post("/", deny)])
    runner, url = await serve(app, "127.0.0.1", 0)
    fetcher = _log_fetcher(url, kept, AT_ONCE)
    fetcher.submit(wanted("denied", clock))
    await asyncio.gather(*fetcher._fetches)
    assert "AccessDeniedException: not authorized to perform logs:FilterLogEvents" in caplog.text
    await fetcher.stop()
    await runner.cleanup()


async def test_a_task_shows_the_end_of_its_log_at_once_and_all_of_it_later(
    moto: Moto, server: LambdaServer, clock: FakeClock, tmp_path: Path
) -> None:
    events = call_events(TASK_REQUEST_ID, clock(), [f"line {number} {'x' * 1000}\n" for number in range(9)])
    server.raw_answer = cut_answer(events, TASK_REQUEST_ID)
    store = EmbeddedStore(StoreSettings(data=str(tmp_path)), clock)
    settings = AwsSettings(region=REGION, endpoint_url=server.url, logs_endpoint_url=moto.url)
    replaced = asyncio.Event()

    async def keep(call_id: str, lines: Sequence[LogLine]) -> None:
        await store.replace_logs(call_id, lines)
        replaced.set()

    runtime = AwsRuntime(settings, clock, keep_log=keep, fetch_policy=PATIENT)
    await store.start()
    await runtime.start([])
    dispatcher = Runner(store, runtime, DispatchSettings(), clock=clock)
    await dispatcher.start()
    (task,) = await store.add([TaskDraft("raw", b"{}", clock())])
    await server.wait_for_requests(1)
    await dispatcher.drain(10)
    tail = await store.find_logs(task.id, 0, 0, 100)
    assert 3 <= len(tail) < 6
    await moto.put_log("/aws/lambda/raw", "2026/[$LATEST]task", events)
    await asyncio.wait_for(replaced.wait(), 10)
    whole = await store.find_logs(task.id, 0, 0, 100)
    assert [line.message for line in whole] == [text.rstrip() for _, text in events[1:-2]]
    await runtime.stop()
    await dispatcher.join()
    await store.stop()


async def test_cloudwatch_is_asked_for_few_logs_at_the_same_time(kept: Kept, clock: FakeClock) -> None:
    asking = most = 0

    async def count(request: web.Request) -> web.Response:
        nonlocal asking, most
        asking += 1
        most = max(most, asking)
        await asyncio.sleep(0)
        asking -= 1
        return web.json_response({"events": []})

    app = web.Application()
    app.add_routes([web.post("/", count)])
    runner, url = await serve(app, "127.0.0.1", 0)
    fetcher = _log_fetcher(url, kept, FetchPolicy(delays_s=(0.0, 0.0), concurrency=2, interval_s=0.0))
    for _ in range(20):
        fetcher.submit(wanted("busy", clock))
    await asyncio.gather(*fetcher._fetches)
    assert 1 <= most <= 2
    await fetcher.stop()
    await runner.cleanup()


async def test_credentials_that_were_read_anew_are_used_for_the_next_look(
    kept: Kept, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys: list[str] = []

    async def note_key(request: web.Request) -> web.Response:
        keys.append(request.headers["Authorization"].partition("Credential=")[2].partition("/")[0])
        return web.json_response({"events": []})

    app = web.Application()
    app.add_routes([web.post("/", note_key)])
    runner, url = await serve(app, "127.0.0.1", 0)
    clients = SdkClients(AwsSettings(logs_endpoint_url=url), REGION)
    fetcher = LogFetcher(clients, kept.keep, FetchPolicy(delays_s=(0.0,), concurrency=1, interval_s=0.0))
    for key in ("AKID1", "AKID1", "AKID2"):
        use_key(monkeypatch, key)
        if key == "AKID2":
            clients.reload()
        fetcher.submit(wanted("rekeyed", clock))
        await asyncio.gather(*fetcher._fetches)
    assert keys == ["AKID1", "AKID1", "AKID2"]
    await fetcher.stop()
    await runner.cleanup()
