"""A Lambda endpoint that does the least possible: every Invoke request is answered at once with ``{}``.

Run it as ``python -m benchmarks.harness.lambda_stub``: it takes a free port, prints ``READY <url>`` and serves until
it is ended. With ``--ceiling`` it then also prints how many requests per second it can answer, asked by a client that
neither signs nor reads. Benchmarks start it in a process of its own with :func:`running_stub`.

It keeps a tally of the calls that came in, which :func:`tally_of` asks for. A call whose event has
``"due_ms":<milliseconds>`` in its data is also measured against that moment.
"""

import argparse
import asyncio
import base64
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit
from urllib.request import urlopen

import msgspec
import uvloop
from msgspec import Struct, field

from benchmarks.harness.processes import serving

_LOG_TAIL = base64.b64encode(
    b"START RequestId: 11111111-2222-4333-8444-555555555555 Version: $LATEST\n"
    b"END RequestId: 11111111-2222-4333-8444-555555555555\n"
    b"REPORT RequestId: 11111111-2222-4333-8444-555555555555\tDuration: 1.05 ms\tBilled Duration: 2 ms\t"
    b"Memory Size: 128 MB\tMax Memory Used: 36 MB\t\n"
)
_ANSWER = (
    b"HTTP/1.1 200 OK\r\nDate: Wed, 29 Sep 2021 15:17:07 GMT\r\nContent-Type: application/json\r\n"
    b"Content-Length: 2\r\nConnection: keep-alive\r\n"
    b"x-amzn-RequestId: 11111111-2222-4333-8444-555555555555\r\nX-Amzn-Remapped-Content-Length: 0\r\n"
    b"X-Amz-Executed-Version: $LATEST\r\nX-Amz-Log-Result: " + _LOG_TAIL + b"\r\n"
    b"X-Amzn-Trace-Id: root=1-6154840f-0123456789abcdef01234567;sampled=0\r\n\r\n{}"
)
_CEILING_REQUEST = (
    b"POST /2015-03-31/functions/noop/invocations HTTP/1.1\r\nHost: 127.0.0.1\r\n"
    b"Content-Type: application/json\r\nAuthorization: " + b"x" * 280 + b"\r\nContent-Length: 300\r\n\r\n" + b"x" * 300
)


_DUE = b'"due_ms":'
_TALLY_REQUEST = b"POST /tally "


class Tally(Struct):
    """The calls that came in so far."""

    calls: int = 0
    first_s: float = 0.0
    """When the first came, on a clock that only goes forward."""
    last_s: float = 0.0
    late_ms: list[float] = field(default_factory=list)
    """How long after its moment each call came that was due at one."""

    def note(self, request: bytes) -> None:
        """One call came in."""
        self.last_s = time.perf_counter()
        self.calls += 1
        if self.calls == 1:
            self.first_s = self.last_s
        due_at = request.find(_DUE)
        if due_at >= 0:
            digits_at = due_at + len(_DUE)
            due_ms = int(request[digits_at : digits_at + 13])  # epoch milliseconds have 13 digits until 2286
            self.late_ms.append(time.time_ns() / 1e6 - due_ms)


class _StubProtocol(asyncio.Protocol):
    """Answers each request when its last byte is in; ``latency_s`` later, if that is set."""

    def __init__(self, latency_s: float, tally: Tally) -> None:
        self._latency_s = latency_s
        self._tally = tally
        self._buffer = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is not a subclass

    def data_received(self, data: bytes) -> None:
        self._buffer = self._buffer + data if self._buffer else data
        while (end := _request_end(self._buffer)) is not None:
            request, self._buffer = self._buffer[:end], self._buffer[end:]
            if request.startswith(_TALLY_REQUEST):
                self._send_tally()
                continue
            self._tally.note(request)
            if self._latency_s:
                asyncio.get_running_loop().call_later(self._latency_s, self._answer)
            else:
                self._answer()

    def _send_tally(self) -> None:
        assert self._transport is not None
        body = msgspec.json.encode(self._tally)
        self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))

    def _answer(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(_ANSWER)


def _request_end(buffer: bytes) -> int | None:
    """Where the first request ends; ``None`` if it is not complete."""
    head_end = buffer.find(b"\r\n\r\n")
    if head_end < 0:
        return None
    start = buffer.index(b"Content-Length: ") + 16
    end = head_end + 4 + int(buffer[start : buffer.index(b"\r", start)])
    return end if end <= len(buffer) else None


class _CeilingProtocol(asyncio.Protocol):
    """Sends the same bytes again whenever as many bytes as an answer has came in."""

    def __init__(self, requests: int, done: "asyncio.Future[None]") -> None:
        self._left = requests
        self._received = 0
        self._done = done
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is not a subclass
        self._transport.write(_CEILING_REQUEST)

    def data_received(self, data: bytes) -> None:
        assert self._transport is not None
        self._received += len(data)
        if self._received < len(_ANSWER):
            return
        self._received = 0
        self._left -= 1
        if self._left:
            self._transport.write(_CEILING_REQUEST)
        else:
            self._transport.close()
            self._done.set_result(None)


async def ceiling(url: str, requests: int = 40_000, in_flight: int = 64) -> float:
    """Requests per second that the stub at ``url`` answers to a client that does nothing but send."""
    loop = asyncio.get_running_loop()
    parts = urlsplit(url)
    finished: list[asyncio.Future[None]] = [loop.create_future() for _ in range(in_flight)]
    started_s = time.perf_counter()
    for done in finished:
        await loop.create_connection(
            partial(_CeilingProtocol, requests // in_flight, done),
            parts.hostname or "127.0.0.1",
            parts.port or 80,
        )
    await asyncio.gather(*finished)
    return requests // in_flight * in_flight / (time.perf_counter() - started_s)


def tally_of(url: str) -> Tally:
    """The tally of the stub at ``url``."""
    with urlopen(f"{url}/tally", data=b"") as response:
        return msgspec.json.decode(response.read(), type=Tally)


@contextmanager
def running_stub(latency_s: float = 0.0) -> Iterator[str]:
    """A stub in a process of its own, ready to answer; returns its URL."""
    command = [sys.executable, "-m", "benchmarks.harness.lambda_stub", "--latency-s", str(latency_s)]
    with tempfile.TemporaryDirectory() as folder, serving(command, Path(folder) / "log") as server:
        yield server.url


async def _serve(port: int, latency_s: float, *, with_ceiling: bool) -> None:
    tally = Tally()
    server = await asyncio.get_running_loop().create_server(
        lambda: _StubProtocol(latency_s, tally), "127.0.0.1", port, backlog=4096
    )
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    print(f"READY {url}", flush=True)
    if with_ceiling:
        client = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "benchmarks.harness.lambda_stub", "--ask", url
        )
        await client.wait()
    await server.serve_forever()


def main() -> None:
    """Parses the command line and serves, or asks another stub."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--latency-s", type=float, default=0.0, help="how long each call takes")
    parser.add_argument("--ceiling", action="store_true", help="print the stub's requests per second")
    parser.add_argument("--ask", metavar="URL", help="do not serve; print the requests per second of another stub")
    options = parser.parse_args()
    if options.ask:
        print(f"ceiling: {uvloop.run(ceiling(options.ask)):,.0f} requests/s", flush=True)
    else:
        uvloop.run(_serve(options.port, options.latency_s, with_ceiling=options.ceiling))


if __name__ == "__main__":
    main()
