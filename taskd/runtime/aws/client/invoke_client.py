"""The client of Lambda's Invoke API. It has no asyncio task per call: everything is decided in callbacks.

A call is in one of three states: waiting for a connection (it has certainly not run), sent (it may have
run, whatever happens now), or settled. It is never sent twice.
"""

import asyncio
import ssl
import time
from asyncio import Future
from collections.abc import Callable
from functools import partial

from taskd.model.clock import Clock
from taskd.model.limits import LAMBDA_PAYLOAD_MAX_BYTES
from taskd.runtime.aws.client.connection import Connection, Response
from taskd.runtime.aws.client.connection_pool import ConnectionPool
from taskd.runtime.aws.client.connector import Connector
from taskd.runtime.aws.client.endpoint import Endpoint
from taskd.runtime.aws.client.invoke_request import InvokeRequests, UnusableNameError
from taskd.runtime.aws.client.sigv4 import Credentials
from taskd.runtime.aws.client.timing_wheel import TimingWheel
from taskd.runtime.aws.invoke_response import (
    EXPIRED_CREDENTIALS,
    HEADERS_READ,
    classify,
    classify_oversized,
    truncated_log_request_id,
)
from taskd.runtime.aws.settings import AwsSettings
from taskd.runtime.base import Invocation, InvocationError, InvocationResult, OutcomeUnknown, ResultCallback, Throttled

_RESPONSE_MAX_BYTES = LAMBDA_PAYLOAD_MAX_BYTES + 256 * 1024
"""The largest result there is, with room for the head, the log tail and the framing."""
_STOPPED = "The runtime was stopped."


class _Exchange:
    """One call under way. ``connection`` is set once the request has been sent."""

    __slots__ = ("call", "connection", "deadline_tick", "future", "on_result", "settled")

    def __init__(
        self, call: Invocation, on_result: ResultCallback, future: "Future[InvocationResult] | None" = None
    ) -> None:
        """``future`` is what the caller waits for, if it is a future."""
        self.call = call
        self.on_result = on_result
        self.future = future
        self.connection: Connection | None = None
        self.deadline_tick = 0
        self.settled = False

    @property
    def is_cancelled(self) -> bool:
        """Whether its caller has cancelled the future."""
        return self.future is not None and self.future.cancelled()


class InvokeClient:
    """Invokes functions at one endpoint. To be made, used and closed on one event loop.

    ``clock`` dates signatures and log lines; ``now_s`` is a monotonic clock in seconds.
    ``on_credentials_expired`` is called whenever the service says so, ``on_truncated_log`` with a call and its request
    id whenever a response holds but the end of the call's log.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        region: str,
        credentials: Credentials,
        *,
        tls: ssl.SSLContext,
        settings: AwsSettings,
        clock: Clock,
        now_s: Callable[[], float] = time.monotonic,
        on_credentials_expired: Callable[[], None] = lambda: None,
        on_truncated_log: Callable[[Invocation, str], None] = lambda call, request_id: None,
    ) -> None:
        self._endpoint = endpoint
        self._region = region
        self._clock = clock
        self._on_credentials_expired = on_credentials_expired
        self._on_truncated_log = on_truncated_log
        self._connect_timeout_s = settings.connect_timeout_s
        self._loop = asyncio.get_running_loop()
        self._requests = InvokeRequests(endpoint, region, credentials)
        self._deadlines: TimingWheel[_Exchange] = TimingWheel(self._expired)
        self._connector = Connector(
            endpoint, self._make_connection, tls=tls, timeout_s=settings.connect_timeout_s, now_s=now_s
        )
        self._pool: ConnectionPool[_Exchange] = ConnectionPool(
            self, self._connector.connect, idle_s=settings.idle_connection_s, now_s=now_s
        )
        self._sent: dict[Connection, _Exchange] = {}
        self._closed = False

    def use_credentials(self, credentials: Credentials) -> None:
        """Calls sent from now on are signed with these."""
        self._requests = InvokeRequests(self._endpoint, self._region, credentials)

    def begin(self, call: Invocation, on_result: ResultCallback) -> None:
        """Sends the call, at once where a connection is free; ``on_result`` must not raise."""
        self._begin(_Exchange(call, on_result))

    def invoke(self, call: Invocation) -> "Future[InvocationResult]":
        """Sends the call, at once where a connection is free. The future never raises."""
        future: Future[InvocationResult] = self._loop.create_future()
        self._begin(_Exchange(call, partial(_resolve, future), future))
        return future

    def _begin(self, exchange: _Exchange) -> None:
        if self._closed:
            self._settle(exchange, _not_sent(_STOPPED))
        elif connection := self._pool.acquire():
            if not self._send(exchange, connection):
                self._pool.release(connection)
        else:
            exchange.deadline_tick = self._deadlines.add(exchange, self._connect_timeout_s)
            self._pool.enqueue(exchange)

    async def close(self) -> None:
        """Ends everything: what was sent has an unknown outcome, what was not has not run. Idempotent."""
        self._closed = True
        for exchange in list(self._sent.values()):
            self._settle(exchange, OutcomeUnknown(_STOPPED))
        await self._pool.close(_STOPPED)
        await self._connector.close()
        self._deadlines.clear()

    def assign(self, waiter: _Exchange, connection: Connection) -> bool:
        """Called by the pool."""
        self._deadlines.remove(waiter, waiter.deadline_tick)
        return not waiter.is_cancelled and self._send(waiter, connection)

    def fail(self, waiter: _Exchange, reason: str) -> None:
        """Called by the pool."""
        self._settle(waiter, _not_sent(reason))

    def response_received(self, connection: Connection, response: Response) -> None:
        """Called by the connection."""
        if exchange := self._sent.get(connection):
            if response.oversized:
                result = classify_oversized(response.status, response.headers)
            else:
                result = classify(response.status, response.headers, response.body, self._clock())
            self._settle(exchange, result)
            if request_id := truncated_log_request_id(response.headers):
                self._on_truncated_log(exchange.call, request_id)
            if isinstance(result, Throttled) and result.reason in EXPIRED_CREDENTIALS:
                self._on_credentials_expired()
        self._pool.release(connection)

    def connection_lost(self, connection: Connection, reason: str) -> None:
        """Called by the connection."""
        if exchange := self._sent.get(connection):
            self._settle(exchange, OutcomeUnknown(f"No complete answer: {reason}."))
        self._pool.discard(connection)

    def _make_connection(self) -> Connection:
        return Connection(self, HEADERS_READ, _RESPONSE_MAX_BYTES)

    def _send(self, exchange: _Exchange, connection: Connection) -> bool:
        """Returns whether the connection is used: a call that cannot be made is settled without it."""
        call = exchange.call
        try:
            head = self._requests.head(call.function_name, call.payload, self._clock())
        except UnusableNameError as error:
            self._settle(exchange, InvocationError("InvalidParameterValueException", str(error)))
            return False
        exchange.connection = connection
        self._sent[connection] = exchange
        exchange.deadline_tick = self._deadlines.add(exchange, call.timeout_s)
        connection.send(head, call.payload)
        return True

    def _settle(self, exchange: _Exchange, result: InvocationResult) -> None:
        self._deadlines.remove(exchange, exchange.deadline_tick)
        if exchange.connection is not None:
            del self._sent[exchange.connection]
        if not exchange.settled:
            exchange.settled = True
            exchange.on_result(result)

    def _expired(self, exchange: _Exchange) -> None:
        if exchange.connection is None:
            self._pool.cancel(exchange)
            reason = f"Cannot connect to {self._endpoint} within {self._connect_timeout_s:g} s."
            self._settle(exchange, _not_sent(reason))
        else:
            exchange.connection.abort("the answer took too long")
            self._settle(exchange, OutcomeUnknown(f"No answer within {exchange.call.timeout_s:g} s."))


def _resolve(future: "Future[InvocationResult]", result: InvocationResult) -> None:
    if not future.done():  # its caller may have cancelled it
        future.set_result(result)


def _not_sent(reason: str) -> Throttled:
    """Nothing was written, so nothing can have run; it would have been the same for every function."""
    return Throttled(reason, everything=True, overload=False)
