"""Calls over real sockets to an endpoint that answers in every way there is, and in some that there are not."""

import asyncio
import socket
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import pytest
import uvloop
from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from support.aws.environment import CREDENTIALS, a_call, invoking
from support.aws.lambda_server import BEHAVIOURS, LambdaServer, answer, running_lambda

from taskd.model.logline import LogLine
from taskd.runtime.aws.client.endpoint import parse_endpoint
from taskd.runtime.aws.client.invoke_request import InvokeRequests
from taskd.runtime.aws.settings import AwsSettings
from taskd.runtime.base import (
    FunctionError,
    InvocationError,
    InvocationResult,
    OutcomeUnknown,
    Success,
    Throttled,
)

NOW_MS = 1_700_000_000_000


@pytest.fixture
async def server() -> AsyncIterator[LambdaServer]:
    async with running_lambda() as server:
        yield server
        assert all(times == 1 for times in server.runs.values()), "a call was sent twice"


async def result_of(server: LambdaServer, function_name: str) -> InvocationResult:
    async with invoking(server.url) as client:
        return await client.invoke(a_call(function_name))


async def test_a_call_succeeds_with_its_result_and_its_log(server: LambdaServer) -> None:
    async with invoking(server.url) as client:
        call = a_call("echo")
        assert await client.invoke(call) == Success(call.payload, (LogLine(NOW_MS, "hello from the function"),))


async def test_what_is_sent_is_a_signed_invoke_request(server: LambdaServer) -> None:
    async with invoking(server.url) as client:
        call = a_call("arn:aws:lambda:eu-west-1:123456789012:function:echo:live")
        await client.invoke(call)
    request = server.requests[0]
    assert (request.method, request.version) == ("POST", "HTTP/1.1")
    arn = "arn%3Aaws%3Alambda%3Aeu-west-1%3A123456789012%3Afunction%3Aecho%3Alive"
    assert request.path == f"/2015-03-31/functions/{arn}/invocations"
    assert request.headers["x-amz-log-type"] == "Tail"
    assert request.headers["x-amz-security-token"] == CREDENTIALS.token
    head = InvokeRequests(parse_endpoint(server.url), "eu-west-1", CREDENTIALS).head(
        call.function_name, call.payload, NOW_MS
    )
    assert request.headers["authorization"].encode() in head


async def test_a_function_that_raises_is_its_own_error(server: LambdaServer) -> None:
    log = (LogLine(NOW_MS, "hello from the function"),)
    assert await result_of(server, "function-error") == FunctionError("ValueError", "no such patient", log)


@pytest.mark.parametrize(
    ("function_name", "expected"),
    [
        ("account-concurrency", Throttled("ConcurrentInvocationLimitExceeded", 7.0, everything=True)),
        ("caller-rate", Throttled("CallerRateLimitExceeded", 7.0, everything=True)),
        ("reserved-concurrency", Throttled("ReservedFunctionConcurrentInvocationLimitExceeded", 7.0)),
        ("reserved-rate", Throttled("ReservedFunctionInvocationRateLimitExceeded", 7.0)),
        ("function-rate", Throttled("FunctionInvocationRateLimitExceeded", 7.0)),
        ("snapshot-rate", Throttled("ConcurrentSnapshotCreateLimitExceeded", 7.0, overload=False)),
        ("pending", Throttled("ResourceConflictException", overload=False)),
        ("eni-limit", Throttled("ENILimitReachedException")),
    ],
)
async def test_a_call_that_was_refused_for_now_may_be_made_again(
    server: LambdaServer, function_name: str, expected: Throttled
) -> None:
    assert await result_of(server, function_name) == expected


@pytest.mark.parametrize(
    ("function_name", "name"),
    [
        ("missing", "ResourceNotFoundException"),
        ("denied", "AccessDeniedException"),
        ("too-large", "RequestTooLargeException"),
        ("service-error", "ServiceException"),
        ("kms-denied", "KMSAccessDeniedException"),
        ("..", "InvalidParameterValueException"),
    ],
)
async def test_a_call_that_was_refused_for_good_fails_with_the_services_name(
    server: LambdaServer, function_name: str, name: str
) -> None:
    result = await result_of(server, function_name)
    assert isinstance(result, InvocationError)
    assert result.name == name


@pytest.mark.parametrize(
    "function_name", ["reset", "reset-in-body", "until-close", "garbage", "upgrade", "proxy-error"]
)
async def test_without_a_complete_answer_the_outcome_is_unknown(server: LambdaServer, function_name: str) -> None:
    assert isinstance(await result_of(server, function_name), OutcomeUnknown)


@pytest.mark.parametrize(
    "function_name", ["chunked", "drip", "continue-first", "says-close", "closes-quietly", "two-answers"]
)
async def test_an_unusual_but_complete_answer_counts(server: LambdaServer, function_name: str) -> None:
    assert isinstance(await result_of(server, function_name), Success)


async def test_a_second_answer_does_not_colour_the_first(server: LambdaServer) -> None:
    assert await result_of(server, "two-answers") == Success(b"1")


@pytest.mark.parametrize("function_name", ["two-answers", "answer-and-garbage", "says-close", "huge", "garbage"])
async def test_a_connection_that_is_out_of_step_is_not_used_again(server: LambdaServer, function_name: str) -> None:
    async with invoking(server.url) as client:
        await client.invoke(a_call(function_name))
        assert isinstance(await client.invoke(a_call("echo")), Success)
    assert server.connections == 2


async def test_a_function_without_an_answer_in_time_has_an_unknown_outcome(server: LambdaServer) -> None:
    async with invoking(server.url) as client:
        result = await client.invoke(a_call("silent", timeout_s=0.01))
    assert result == OutcomeUnknown("No answer within 0.01 s.")


async def test_a_slow_call_does_not_hold_up_the_others(server: LambdaServer) -> None:
    async with invoking(server.url) as client:
        slow = client.invoke(a_call("held"))
        await server.wait_for_requests(1)
        assert isinstance(await client.invoke(a_call("echo")), Success)
        assert not slow.done()
        server.release.set()
        assert isinstance(await slow, Success)


async def test_a_result_over_the_limit_fails_as_on_lambda(server: LambdaServer) -> None:
    result = await result_of(server, "huge")
    assert isinstance(result, FunctionError)
    assert result.name == "Function.ResponseSizeTooLarge"


async def test_the_largest_event_and_result_pass(server: LambdaServer) -> None:
    payload = b'"' + b"x" * (6 * 1024 * 1024 - 2) + b'"'
    async with invoking(server.url) as client:
        result = await client.invoke(a_call("echo", payload))
    assert isinstance(result, Success)
    assert result.payload == payload


async def test_a_kept_connection_is_used_again(server: LambdaServer) -> None:
    async with invoking(server.url) as client:
        for _ in range(5):
            await client.invoke(a_call("echo"))
    assert server.connections == 1


async def test_there_are_as_many_connections_as_calls_in_flight(server: LambdaServer) -> None:
    async with invoking(server.url) as client:
        calls = [client.invoke(a_call("held")) for _ in range(100)]
        await server.wait_for_requests(100)
        assert server.connections == 100
        server.release.set()
        assert all(isinstance(result, Success) for result in await asyncio.gather(*calls))


async def test_a_connection_that_was_idle_for_too_long_is_not_used_again(server: LambdaServer) -> None:
    now_s = 1000.0
    async with invoking(server.url, AwsSettings(idle_connection_s=5.0), now_s=lambda: now_s) as client:
        await client.invoke(a_call("echo"))
        now_s += 4.9
        await client.invoke(a_call("echo"))
        assert server.connections == 1
        now_s += 5.1
        await client.invoke(a_call("echo"))
        assert server.connections == 2


async def test_an_idle_connection_is_closed_when_its_time_is_up(server: LambdaServer) -> None:
    async with invoking(server.url, AwsSettings(idle_connection_s=0.01)) as client:
        await client.invoke(a_call("echo"))
        await server.gone.wait()


async def test_a_kept_connection_that_the_peer_closed_is_not_written_to(server: LambdaServer) -> None:
    async with invoking(server.url) as client:
        await client.invoke(a_call("closes-quietly"))
        await server.gone.wait()
        assert isinstance(await client.invoke(a_call("echo")), Success)


async def test_a_connection_closed_this_very_moment_is_not_written_to() -> None:
    """The event loop has had no turn between the peer's closing and the next call."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(5)
        async with invoking(f"http://127.0.0.1:{listening.getsockname()[1]}") as client:
            first = client.invoke(a_call("any"))
            peer, _ = await asyncio.to_thread(listening.accept)
            assert await asyncio.to_thread(peer.recv, 4096)
            peer.sendall(answer(200, b"{}"))
            assert isinstance(await first, Success)
            peer.close()
            client.invoke(a_call("any"))
            other, _ = await asyncio.to_thread(listening.accept)
            assert await asyncio.to_thread(other.recv, 4096)
            other.close()


async def test_where_nobody_listens_nothing_has_run() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    async with invoking(url) as client:
        results = await asyncio.gather(*[client.invoke(a_call("any")) for _ in range(200)])
    assert all(isinstance(result, Throttled) and not result.overload and result.everything for result in results)
    assert isinstance(results[0], Throttled)
    assert "Cannot connect" in results[0].reason


async def test_a_host_without_an_address_means_that_nothing_has_run() -> None:
    async with invoking("http://no-such-host.invalid") as client:
        assert isinstance(await client.invoke(a_call("any")), Throttled)


async def test_a_connection_that_does_not_come_about_in_time_means_that_nothing_has_run() -> None:
    """The other end accepts and then says nothing, so the TLS handshake never ends."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = f"https://127.0.0.1:{listening.getsockname()[1]}"
        async with invoking(url, AwsSettings(connect_timeout_s=0.02)) as client:
            results = await asyncio.gather(*[client.invoke(a_call("any")) for _ in range(100)])
    assert all(isinstance(result, Throttled) for result in results)


async def test_closing_leaves_sent_calls_unknown_and_unsent_ones_not_run(server: LambdaServer) -> None:
    async with invoking(server.url) as client:
        sent = client.invoke(a_call("silent"))
        await server.wait_for_requests(1)
        unsent = client.invoke(a_call("echo"))
        await client.close()
        assert isinstance(await sent, OutcomeUnknown)
        assert isinstance(await unsent, Throttled)
        assert isinstance(await client.invoke(a_call("echo")), Throttled)
        await client.close()


async def test_of_every_end_there_is_the_caller_hears_once_and_gets_the_same(server: LambdaServer) -> None:
    calls = [a_call(name, timeout_s=0.2 if name == "silent" else 30.0) for name in (*BEHAVIOURS, "echo", "..")]
    calls = [call for call in calls if call.function_name not in ("held", "raw")]
    heard: list[tuple[str, type]] = []
    all_heard = asyncio.Event()

    def hear(name: str, result: InvocationResult) -> None:
        heard.append((name, type(result)))
        if len(heard) >= len(calls):
            all_heard.set()

    async with invoking(server.url) as client:
        waited_for = [(call.function_name, type(await client.invoke(call))) for call in calls]
        for call in calls:
            client.begin(replace(call, payload=b"[%b]" % call.payload), partial(hear, call.function_name))
        await all_heard.wait()
        await client.close()
        assert sorted(heard, key=str) == sorted(waited_for, key=str)
        client.begin(a_call("echo"), partial(hear, "closed"))
        assert heard[len(calls) :] == [("closed", Throttled)]


async def test_a_call_given_up_while_it_waits_for_a_connection_is_not_sent(server: LambdaServer) -> None:
    async with invoking(server.url) as client:
        given_up = client.invoke(a_call("echo"))
        given_up.cancel()
        await client.invoke(a_call("echo"))
    assert len(server.requests) == 1


async def test_a_call_given_up_after_it_was_sent_leaves_its_connection_usable(server: LambdaServer) -> None:
    async with invoking(server.url) as client:
        given_up = client.invoke(a_call("held"))
        await server.wait_for_requests(1)
        given_up.cancel()
        server.release.set()
        assert isinstance(await client.invoke(a_call("echo")), Success)


async def test_names_that_cannot_be_sent_do_not_use_up_the_connection(server: LambdaServer) -> None:
    async with invoking(server.url) as client:
        results = await asyncio.gather(
            *[client.invoke(a_call("..")) for _ in range(2000)], client.invoke(a_call("echo"))
        )
    assert isinstance(results[-1], Success)
    assert all(isinstance(result, InvocationError) for result in results[:-1])


async def test_expired_credentials_are_reported_and_the_call_may_be_made_again(server: LambdaServer) -> None:
    reports: list[None] = []
    async with invoking(server.url, on_credentials_expired=lambda: reports.append(None)) as client:
        result = await client.invoke(a_call("expired"))
    assert result == Throttled("ExpiredTokenException", everything=True, overload=False)
    assert len(reports) == 1


def test_the_same_holds_on_uvloop() -> None:
    async def calls() -> list[InvocationResult]:
        async with running_lambda() as server, invoking(server.url) as client:
            names = ["echo", "reset", "chunked", "garbage", "missing", "huge", "two-answers", "says-close"]
            results = [await client.invoke(a_call(name)) for name in names]
            results.append(await client.invoke(a_call("silent", timeout_s=0.01)))
            results.extend(await asyncio.gather(*[client.invoke(a_call("echo")) for _ in range(50)]))
            assert all(times == 1 for times in server.runs.values())
            return results

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        results = runner.run(calls())
    assert [type(result) for result in results[:9]] == [
        Success,
        OutcomeUnknown,
        Success,
        OutcomeUnknown,
        InvocationError,
        FunctionError,
        Success,
        Success,
        OutcomeUnknown,
    ]
    assert all(isinstance(result, Success) for result in results[9:])


_WHOLE = answer(200, b'{"a":1}', {"X-Amz-Function-Error": "Unhandled", "X-Amz-Log-Result": "aGk="})
_cut_and_changed = st.builds(
    lambda at, end, extra: _WHOLE[:at] + extra + _WHOLE[end:],
    st.integers(0, len(_WHOLE)),
    st.integers(0, len(_WHOLE)),
    st.binary(max_size=20),
)
_starts = st.sampled_from(
    [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 429 X\r\nContent-Length: 3\r\n\r\n", b"HTTP/1.1 103 X\r\n\r\n"]
)


def test_whatever_bytes_come_back_there_is_a_result() -> None:
    with asyncio.Runner() as runner:
        complaints: list[dict[str, Any]] = []
        runner.get_loop().set_exception_handler(lambda _, context: complaints.append(context))

        async def invoke(data: bytes) -> InvocationResult:
            async with running_lambda() as server, invoking(server.url) as client:
                server.raw_answer = data
                return await asyncio.wait_for(client.invoke(a_call("raw")), 5)

        @given(st.one_of(_cut_and_changed, st.builds(bytes.__add__, _starts, st.binary(max_size=200))))
        @example(b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n")
        @example(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab")
        @example(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n")
        @settings(deadline=None)
        def check(data: bytes) -> None:
            assert isinstance(runner.run(invoke(data)), InvocationResult)
            assert not complaints

        check()
