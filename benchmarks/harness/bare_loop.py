"""The yardstick: the same signed requests with no queue at all.

``python -m benchmarks.harness.bare_loop`` keeps a number of calls in flight through the AWS runtime's client, against
the stub in a process of its own, and prints requests per second and the CPU time of a call on this side.
"""

import argparse
import asyncio
from asyncio import Future

import uvloop
from msgspec import Struct

from benchmarks.harness.lambda_stub import ceiling, running_stub
from benchmarks.harness.processes import elapsed
from taskd.model.clock import system_clock_ms
from taskd.runtime.aws.client.connector import tls_context
from taskd.runtime.aws.client.endpoint import parse_endpoint
from taskd.runtime.aws.client.invoke_client import InvokeClient
from taskd.runtime.aws.client.sigv4 import Credentials
from taskd.runtime.aws.settings import AwsSettings
from taskd.runtime.base import Invocation, InvocationResult, Success

_PAYLOAD = b'{"id":"614b1f2d8f3c2a0012345678","status":"inProgress","data":{"pad":"' + b"x" * 200 + b'"}}'


class Measure(Struct, frozen=True):
    """What a run of the bare loop gave."""

    requests: int
    in_flight: int
    elapsed_s: float
    cpu_s: float
    """CPU time of this process."""

    @property
    def per_second(self) -> float:
        """Requests per second."""
        return self.requests / self.elapsed_s

    @property
    def cpu_ms_each(self) -> float:
        """CPU time of a call, in milliseconds."""
        return 1000 * self.cpu_s / self.requests

    def __str__(self) -> str:
        rate = f"{self.per_second:,.0f} requests/s"
        return f"bare loop: {rate}, {self.cpu_ms_each:.4f} ms CPU each, {self.in_flight} in flight"


class _Loop:
    """Sends another call whenever one is answered, without a task anywhere."""

    def __init__(self, client: InvokeClient, requests: int) -> None:
        self._client = client
        self._to_send = self._to_come = requests
        self._call = Invocation("614b1f2d8f3c2a0012345678", "noop", _PAYLOAD, timeout_s=45.0)
        self.done: Future[None] = asyncio.get_running_loop().create_future()

    def send(self) -> None:
        """Sends one call if any are left."""
        if self._to_send:
            self._to_send -= 1
            self._client.invoke(self._call).add_done_callback(self._answered)

    def _answered(self, future: "Future[InvocationResult]") -> None:
        result = future.result()
        if not isinstance(result, Success) and not self.done.done():
            self.done.set_exception(RuntimeError(f"The stub did not answer as it should: {result}"))
        self._to_come -= 1
        self.send()
        if not self._to_come and not self.done.done():
            self.done.set_result(None)


async def bare_loop(url: str, requests: int = 100_000, in_flight: int = 64) -> Measure:
    """Sends ``requests`` calls to the stub at ``url``, ``in_flight`` at a time, on the running event loop."""
    client = InvokeClient(
        parse_endpoint(url),
        "eu-west-1",
        Credentials("AKIDEXAMPLE", "not a secret", "x" * 300),
        tls=tls_context(None),
        settings=AwsSettings(),
        clock=system_clock_ms,
    )
    try:
        await _run(client, in_flight, in_flight)  # opens the connections
        with elapsed() as took:
            await _run(client, requests, in_flight)
    finally:
        await client.close()
    return Measure(requests, in_flight, took.wall_s, took.cpu_s)


async def _run(client: InvokeClient, requests: int, in_flight: int) -> None:
    loop = _Loop(client, requests)
    for _ in range(in_flight):
        loop.send()
    await loop.done


def main() -> None:
    """Parses the command line, measures and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument("--in-flight", type=int, default=64)
    options = parser.parse_args()
    with running_stub() as url:
        print(f"stub's ceiling: {uvloop.run(ceiling(url)):,.0f} requests/s")
        print(uvloop.run(bare_loop(url, options.requests, options.in_flight)))


if __name__ == "__main__":
    main()
