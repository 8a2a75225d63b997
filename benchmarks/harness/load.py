"""A lean source of HTTP load, in a process of its own: raw keep-alive connections that parse no more than they must.

``python -m benchmarks.harness.load`` reads a :class:`Plan` as JSON from standard input and prints what each of its
streams got. A stream with a rate sends at its moments whether or not earlier answers are there, and measures from these
moments, so that a slow server cannot hide behind requests that were not sent. A stream without one sends again on
each of its connections as soon as an answer is there.
"""

import asyncio
import itertools
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from functools import partial
from typing import cast
from urllib.parse import urlsplit

import msgspec
import uvloop
from msgspec import Struct, field

from benchmarks.harness.processes import environment

_TICK_S = 0.001
_OK = (b"HTTP/1.1 200", b"HTTP/1.1 201")


class Request(Struct, frozen=True):
    """One request, sent as it is."""

    method: str
    target: str
    body: str = ""
    token: str = ""
    """Sent as bearer, if there is one."""

    def encode(self, host: str) -> bytes:
        """Its bytes."""
        body = self.body.encode()
        head = f"{self.method} {self.target} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
        shown = f"Authorization: Bearer {self.token}\r\n" if self.token else ""
        return f"{head}{shown}Content-Length: {len(body)}\r\n\r\n".encode() + body


class Stream(Struct, frozen=True):
    """Requests that are sent in turn."""

    requests: Sequence[Request]
    connections: int
    rate_per_s: float | None = None


class Plan(Struct, frozen=True):
    """What is to be sent."""

    url: str
    seconds: float
    streams: Sequence[Stream]
    warm_up_s: float = 0.0
    """Time before, in which the same is sent, and not measured."""


class Answers(Struct):
    """What came back on a stream."""

    ok: int = 0
    warm_up: int = 0
    """Good answers before what is measured."""
    refused: int = 0
    """Answers other than success."""
    unsent: int = 0
    """Requests whose moment came while all connections waited, to the end."""
    latencies_ms: list[float] = field(default_factory=list)
    first_refusal: str = ""

    def require_success(self) -> None:
        """Raises ``RuntimeError`` if nothing came back, or anything but success."""
        if self.refused or not self.ok:
            raise RuntimeError(f"{self.ok} answers were good, {self.refused} were not: {self.first_refusal}")


def send(plan: Plan) -> list[Answers]:
    """Executes ``plan`` in another process; returns the answers of each stream, all of which were good."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.harness.load"],
        input=msgspec.json.encode(plan),
        stdout=subprocess.PIPE,
        check=True,
        env=environment(),
    )
    answers = msgspec.json.decode(done.stdout, type=list[Answers])
    for of_stream in answers:
        of_stream.require_success()
    return answers


class _StreamSender:
    """A stream in action."""

    def __init__(self, stream: Stream, host: str) -> None:
        self._requests: Iterator[bytes] = itertools.cycle([request.encode(host) for request in stream.requests])
        self._rate_per_s = stream.rate_per_s
        self._idle: deque[_Connection] = deque()
        self._overdue_s: deque[float] = deque()
        self._next_s = 0.0
        self._from_s = 0.0
        self._until_s = 0.0
        self.answers = Answers()

    def begin(self, from_s: float, until_s: float) -> None:
        """Starts to send; measures what is answered from ``from_s`` on."""
        self._from_s, self._until_s = from_s, until_s
        self._next_s = time.perf_counter()
        if self._rate_per_s is None:
            for connection in list(self._idle):
                connection.send(next(self._requests), time.perf_counter())
        else:
            self._tick()

    def connected(self, connection: "_Connection") -> None:
        """A connection is there."""
        self._idle.append(connection)

    def answered(self, connection: "_Connection", answer: bytes, due_s: float) -> None:
        """An answer is there, and its connection is free."""
        now_s = time.perf_counter()
        self._note(answer, now_s, (now_s - due_s) * 1000)
        if now_s >= self._until_s:
            return
        if self._rate_per_s is None:
            connection.send(next(self._requests), now_s)
        elif self._overdue_s:
            connection.send(next(self._requests), self._overdue_s.popleft())
        else:
            self._idle.append(connection)

    def end(self) -> Answers:
        """What came back."""
        self.answers.unsent = len(self._overdue_s)
        return self.answers

    def _note(self, answer: bytes, now_s: float, latency_ms: float) -> None:
        if not answer.startswith(_OK):
            self.answers.refused += 1
            self.answers.first_refusal = self.answers.first_refusal or answer[:500].decode(errors="replace")
        elif now_s < self._from_s:
            self.answers.warm_up += 1
        else:
            self.answers.ok += 1
            self.answers.latencies_ms.append(latency_ms)

    def _tick(self) -> None:
        assert self._rate_per_s is not None
        now_s = time.perf_counter()
        while self._next_s <= now_s:
            if self._idle:
                self._idle.popleft().send(next(self._requests), self._next_s)
            else:
                self._overdue_s.append(self._next_s)
            self._next_s += 1 / self._rate_per_s
        if now_s < self._until_s:
            asyncio.get_running_loop().call_later(_TICK_S, self._tick)


class _Connection(asyncio.Protocol):
    """Sends one request at a time."""

    def __init__(self, stream: _StreamSender) -> None:
        self._stream = stream
        self._buffer = b""
        self._due_s = 0.0
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is not a subclass
        self._stream.connected(self)

    def send(self, request: bytes, due_s: float) -> None:
        """Sends a request that was to be sent at ``due_s``."""
        self._due_s = due_s
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._buffer = self._buffer + data if self._buffer else data
        if _is_whole(self._buffer):
            answer, self._buffer = self._buffer, b""
            self._stream.answered(self, answer, self._due_s)


def _is_whole(buffer: bytes) -> bool:
    head_end = buffer.find(b"\r\n\r\n")
    if head_end < 0:
        return False
    start = buffer.index(b"Content-Length: ", 0, head_end) + 16
    return len(buffer) >= head_end + 4 + int(buffer[start : buffer.index(b"\r", start)])


async def _execute(plan: Plan) -> list[Answers]:
    loop = asyncio.get_running_loop()
    parts = urlsplit(plan.url)
    running = [_StreamSender(stream, parts.netloc) for stream in plan.streams]
    for stream, of_plan in zip(running, plan.streams, strict=True):
        for _ in range(of_plan.connections):
            await loop.create_connection(partial(_Connection, stream), parts.hostname or "", parts.port or 80)
    from_s = time.perf_counter() + plan.warm_up_s
    for stream in running:
        stream.begin(from_s, from_s + plan.seconds)
    await asyncio.sleep(plan.warm_up_s + plan.seconds)
    return [stream.end() for stream in running]


if __name__ == "__main__":
    the_plan = msgspec.json.decode(sys.stdin.buffer.read(), type=Plan)
    sys.stdout.buffer.write(msgspec.json.encode(uvloop.run(_execute(the_plan))))
