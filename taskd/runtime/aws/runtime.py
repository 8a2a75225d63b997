"""The AWS runtime: functions run on Lambda, or behind anything else that speaks its Invoke API.

Functions are deployed with AWS's own tools and invoked by name or ARN; a name that is not known here is
simply tried.
"""

import asyncio
import time
from asyncio import Future
from collections.abc import Callable

from taskd.model.clock import Clock, system_clock_ms
from taskd.model.errors import INVALID_CONFIGURATION, ContractError
from taskd.model.function import Function
from taskd.runtime.aws.connector import tls_context
from taskd.runtime.aws.environment import find_environment
from taskd.runtime.aws.invoke import InvokeClient
from taskd.runtime.aws.renewal import CredentialRenewal
from taskd.runtime.aws.settings import AwsSettings
from taskd.runtime.aws.sigv4 import Credentials
from taskd.runtime.base import Invocation, InvocationResult, Throttled


class AwsRuntime:
    """Implements :class:`taskd.runtime.base.Runtime`.

    ``clock`` dates signatures and log lines; ``now_s`` is a monotonic clock in seconds, for idle connections.
    """

    def __init__(
        self,
        settings: AwsSettings,
        clock: Clock = system_clock_ms,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._now_s = now_s
        self._client: InvokeClient | None = None
        self._renewal: CredentialRenewal | None = None

    async def start(self, functions: list[Function]) -> None:
        """Finds region, endpoint and credentials. Raises :class:`TaskdError`, saying what to set."""
        settings = self._settings
        environment = await find_environment(settings)
        tls = tls_context(environment.ca_bundle)
        renewal = CredentialRenewal(settings.profile, self._renewed)
        credentials = await renewal.start()
        self._renewal = renewal
        self._client = InvokeClient(
            environment.endpoint,
            environment.region,
            credentials,
            tls=tls,
            settings=settings,
            clock=self._clock,
            now_s=self._now_s,
            credentials_expired=renewal.reread,
        )

    async def stop(self) -> None:
        """Ends calls that still run; their outcome is unknown. Idempotent."""
        if self._renewal is not None:
            await self._renewal.stop()
        if self._client is not None:
            await self._client.close()

    def invoke(self, call: Invocation) -> "Future[InvocationResult]":
        """Sends the call, at once where a connection is free."""
        if self._client is not None:
            return self._client.invoke(call)
        future: Future[InvocationResult] = asyncio.get_running_loop().create_future()
        future.set_result(Throttled("The runtime has not been started.", everything=True, overload=False))
        return future

    async def prepare(self, function: Function, code: bytes | None) -> Function:
        """Always refused: what is deployed on Lambda is not for this service to change."""
        raise ContractError(
            INVALID_CONFIGURATION,
            "Functions cannot be deployed through this service while it runs them on AWS Lambda. Deploy "
            f"{function.name!r} with AWS's own tools (AWS CLI, SAM, CDK or the console), then create tasks "
            "with its name or ARN as functionName.",
        )

    async def deploy(self, function: Function) -> None:
        """Nothing to do: Lambda already has the function."""

    async def discard(self, function: Function) -> None:
        """Nothing to do: nothing was readied."""

    async def remove(self, function_name: str) -> None:
        """Nothing to do: the function stays on Lambda."""

    def reload(self) -> None:
        """Reads the credentials anew; region and endpoint are those of the start."""
        if self._renewal is not None:
            self._renewal.reread()

    def _renewed(self, credentials: Credentials) -> None:
        if self._client is not None:
            self._client.use_credentials(credentials)
