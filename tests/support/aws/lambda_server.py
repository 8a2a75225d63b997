"""An Invoke endpoint on a real socket that behaves, or misbehaves, as the name of the function says."""

import asyncio
import base64
import json
import ssl
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from urllib.parse import unquote

LOG = (
    "START RequestId: 11111111-2222-4333-8444-555555555555 Version: $LATEST\n"
    "hello from the function\nEND RequestId: 11111111-2222-4333-8444-555555555555\n"
    "REPORT RequestId: 11111111-2222-4333-8444-555555555555\tDuration: 1.05 ms\tBilled Duration: 2 ms\n"
)


class Request:
    """One request as it came over the wire; ``headers`` by lower-case name."""

    def __init__(self, head: bytes, body: bytes) -> None:
        request_line, *lines = head.decode("ascii").split("\r\n")
        self.method, self.path, self.version = request_line.split(" ")
        self.headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        self.body = body

    @property
    def function_name(self) -> str:
        return unquote(self.path.removesuffix("/invocations").rpartition("/")[2])


class LambdaServer:
    """Counts what it is asked. ``runs`` counts request bodies, so a call that is sent twice shows."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.runs: Counter[bytes] = Counter()
        self.connections = 0
        self.arrived = asyncio.Condition()
        self.gone = asyncio.Event()
        """Set whenever the server has closed a connection."""
        self.release = asyncio.Event()
        """Lets calls of ``held`` end."""
        self.url = ""
        self.raw_answer = b""
        """What ``raw`` answers."""

    async def wait_for_requests(self, count: int) -> None:
        async with self.arrived:
            await self.arrived.wait_for(lambda: len(self.requests) >= count)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while request := await _read(reader):
                await self._count(request)
                behaviour = BEHAVIOURS.get(request.function_name.partition(":")[0], _echo)
                if not await behaviour(self, request, writer):
                    break
        except ConnectionError:
            pass
        finally:
            writer.transport.abort()
            self.gone.set()

    async def _count(self, request: Request) -> None:
        async with self.arrived:
            self.requests.append(request)
            self.runs[request.body] += 1
            self.arrived.notify_all()


async def _read(reader: asyncio.StreamReader) -> Request | None:
    try:
        head = await reader.readuntil(b"\r\n\r\n")
        request = Request(head.removesuffix(b"\r\n\r\n"), b"")
        request.body = await reader.readexactly(int(request.headers["content-length"]))
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    return request


@asynccontextmanager
async def running_lambda(tls: ssl.SSLContext | None = None) -> AsyncIterator[LambdaServer]:
    server = LambdaServer()
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0, ssl=tls)
    port = listening.sockets[0].getsockname()[1]
    server.url = f"https://localhost:{port}" if tls else f"http://127.0.0.1:{port}"
    try:
        yield server
    finally:
        server.release.set()
        listening.close()
        await listening.wait_closed()


Behaviour = Callable[[LambdaServer, Request, asyncio.StreamWriter], Awaitable[bool]]
"""Answers one request; gives whether the connection stays open."""


def answer(status: int, body: bytes = b"", headers: dict[str, str] | None = None) -> bytes:
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


def error(status: int, name: str, body: dict[str, object], headers: dict[str, str] | None = None) -> Behaviour:
    return fixed(answer(status, json.dumps(body).encode(), {"x-amzn-ErrorType": name, **(headers or {})}))


def throttle(reason: str) -> Behaviour:
    body: dict[str, object] = {"Type": "User", "Reason": reason, "message": "Rate Exceeded."}
    return error(429, "TooManyRequestsException", body, {"Retry-After": "7"})


def fixed(data: bytes, *, stay_open: bool = True) -> Behaviour:
    async def behave(server: LambdaServer, request: Request, writer: asyncio.StreamWriter) -> bool:
        writer.write(data)
        await writer.drain()
        return stay_open

    return behave


def _with_log(body: bytes, headers: dict[str, str] | None = None) -> bytes:
    tail = base64.b64encode(LOG.encode()).decode()
    return answer(200, body, {"X-Amz-Executed-Version": "$LATEST", "X-Amz-Log-Result": tail, **(headers or {})})


async def _echo(server: LambdaServer, request: Request, writer: asyncio.StreamWriter) -> bool:
    writer.write(_with_log(request.body))
    return True


async def _echo_then_close(server: LambdaServer, request: Request, writer: asyncio.StreamWriter) -> bool:
    writer.write(answer(200, request.body))
    await writer.drain()
    return False


async def _raw(server: LambdaServer, request: Request, writer: asyncio.StreamWriter) -> bool:
    writer.write(server.raw_answer)
    await writer.drain()
    return False


async def _silent(server: LambdaServer, request: Request, writer: asyncio.StreamWriter) -> bool:
    await server.release.wait()
    return False


async def _held(server: LambdaServer, request: Request, writer: asyncio.StreamWriter) -> bool:
    await server.release.wait()
    return await _echo(server, request, writer)


async def _reset(server: LambdaServer, request: Request, writer: asyncio.StreamWriter) -> bool:
    return False


async def _chunked(server: LambdaServer, request: Request, writer: asyncio.StreamWriter) -> bool:
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    for start in range(0, len(request.body), 7):
        part = request.body[start : start + 7]
        writer.write(b"%x\r\n%b\r\n" % (len(part), part))
        await writer.drain()
    writer.write(b"0\r\n\r\n")
    return True


async def _drip(server: LambdaServer, request: Request, writer: asyncio.StreamWriter) -> bool:
    for byte in _with_log(request.body):
        writer.write(bytes([byte]))
        await writer.drain()
        await asyncio.sleep(0)
    return True


_CUT_OFF = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf a bo"
_FAILURE = {"errorType": "ValueError", "errorMessage": "no such patient", "stackTrace": ["..."]}
_PENDING = {"Type": "User", "Message": "The function is currently in the following state: Pending"}

BEHAVIOURS: dict[str, Behaviour] = {
    "function-error": fixed(
        _with_log(json.dumps(_FAILURE).encode(), {"X-Amz-Function-Error": "Unhandled"}),
    ),
    "account-concurrency": throttle("ConcurrentInvocationLimitExceeded"),
    "caller-rate": throttle("CallerRateLimitExceeded"),
    "reserved-concurrency": throttle("ReservedFunctionConcurrentInvocationLimitExceeded"),
    "reserved-rate": throttle("ReservedFunctionInvocationRateLimitExceeded"),
    "function-rate": throttle("FunctionInvocationRateLimitExceeded"),
    "snapshot-rate": throttle("ConcurrentSnapshotCreateLimitExceeded"),
    "missing": error(404, "ResourceNotFoundException", {"Type": "User", "Message": "Function not found: it"}),
    "denied": error(403, "AccessDeniedException", {"Message": "not authorized to perform lambda:InvokeFunction"}),
    "expired": error(403, "ExpiredTokenException", {"message": "The security token included is expired"}),
    "pending": error(409, "ResourceConflictException", dict(_PENDING)),
    "too-large": error(413, "RequestTooLargeException", {"Type": "User", "message": "over 6291456 bytes"}),
    "service-error": error(500, "ServiceException", {"Type": "Service", "Message": "internal"}),
    "eni-limit": error(502, "ENILimitReachedException", {"Type": "Service", "Message": "no more interfaces"}),
    "kms-denied": error(502, "KMSAccessDeniedException", {"Type": "Service", "Message": "no decrypting"}),
    "proxy-error": fixed(answer(504, b"<html>Gateway Time-out</html>")),
    "reset": _reset,
    "reset-in-body": fixed(_CUT_OFF, stay_open=False),
    "until-close": fixed(b"HTTP/1.1 200 OK\r\n\r\n{}", stay_open=False),
    "silent": _silent,
    "held": _held,
    "huge": fixed(answer(200, b'"' + b"x" * 7_000_000 + b'"')),
    "says-close": fixed(answer(200, b"{}", {"Connection": "close"})),
    "closes-quietly": _echo_then_close,
    "chunked": _chunked,
    "drip": _drip,
    "garbage": fixed(b"\x16\x03\x01 this is not HTTP\r\n\r\n"),
    "continue-first": fixed(b"HTTP/1.1 100 Continue\r\nX-Amz-Function-Error: no\r\n\r\n" + answer(200, b"{}")),
    "upgrade": fixed(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"),
    "two-answers": fixed(answer(200, b"1") + answer(200, b"2", {"X-Amz-Function-Error": "Unhandled"})),
    "answer-and-garbage": fixed(answer(200, b"1") + b"\x00\x01\x02"),
    "raw": _raw,
}
"""By function name, without an alias. Any other function gives back what it got."""
