"""The AWS runtime: functions run on Lambda, or behind anything else that speaks its Invoke API.

Puts the parts of this package together. Functions deployed through this service carry its prefix at AWS; any
other name, and every ARN, is tried as it is.
"""

import asyncio
import time
from asyncio import Future
from collections.abc import Callable, Sequence

from msgspec.structs import replace

from taskd.model.clock import Clock, system_clock_ms
from taskd.model.function import Function
from taskd.model.logline import LogLine
from taskd.runtime.aws.adoption import adopted
from taskd.runtime.aws.client.connector import tls_context
from taskd.runtime.aws.client.invoke_client import InvokeClient
from taskd.runtime.aws.client.sigv4 import Credentials
from taskd.runtime.aws.cloudwatch import LogRequest
from taskd.runtime.aws.control_plane import ControlPlane
from taskd.runtime.aws.credential_refresh import CredentialRefresher
from taskd.runtime.aws.environment import AwsEnvironment, find_environment, warn_of_proxy
from taskd.runtime.aws.function_names import FunctionNames, log_group
from taskd.runtime.aws.log_fetcher import FetchPolicy, KeepLog, LogFetcher
from taskd.runtime.aws.sdk_clients import SdkClients
from taskd.runtime.aws.settings import AwsSettings
from taskd.runtime.base import Invocation, InvocationResult, ResultCallback, Throttled

_NOT_STARTED = Throttled("The runtime has not been started.", everything=True, overload=False)


async def _keep_nothing(call_id: str, lines: Sequence[LogLine]) -> None:
    """The default: long logs stay truncated."""


class AwsRuntime:
    """Implements :class:`taskd.runtime.base.Runtime`.

    ``clock`` dates signatures and log lines; ``now_s`` is a monotonic clock in seconds, for idle connections.
    ``keep_log`` gets the whole log of a call whose result held but the end of it; ``fetch_policy`` says how often it is
    searched for.
    """

    def __init__(
        self,
        settings: AwsSettings,
        clock: Clock = system_clock_ms,
        now_s: Callable[[], float] = time.monotonic,
        *,
        keep_log: KeepLog = _keep_nothing,
        fetch_policy: FetchPolicy | None = None,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._now_s = now_s
        self._keep_log = keep_log
        self._fetch_policy = fetch_policy
        self._names = FunctionNames(settings.name_prefix)
        self._client: InvokeClient | None = None
        self._refresher: CredentialRefresher | None = None

    async def start(self, functions: list[Function]) -> None:
        """Finds region, endpoint and credentials; asks nothing of AWS. Raises :class:`TaskdError`, saying what to set.

        ``functions`` are taken to be at AWS as they were deployed.
        """
        settings = self._settings
        environment = await find_environment(settings)
        warn_of_proxy(environment.endpoint)
        tls = tls_context(environment.ca_bundle)
        refresher = CredentialRefresher(settings.profile, self._use_credentials)
        credentials = await refresher.start()
        self._refresher = refresher
        deployed = [function for function in functions if not function.external]
        self._names.add(function.name for function in deployed)
        self._open_clients(environment)
        self._control.assume_deployed(deployed)
        self._client = InvokeClient(
            environment.endpoint,
            environment.region,
            credentials,
            tls=tls,
            settings=settings,
            clock=self._clock,
            now_s=self._now_s,
            on_credentials_expired=refresher.reload,
            on_truncated_log=self._request_log,
        )

    def _open_clients(self, environment: AwsEnvironment) -> None:
        self._clients = SdkClients(self._settings, environment.region)
        self._control = ControlPlane(self._clients, self._names, self._settings)
        self._log_fetcher = LogFetcher(self._clients, self._keep_log, self._fetch_policy, self._now_s)

    async def stop(self) -> None:
        """Ends calls that still run; their outcome is unknown. Idempotent."""
        if self._refresher is not None:
            await self._refresher.stop()
        if self._client is not None:
            await self._client.close()
            await self._log_fetcher.stop()

    def begin(self, call: Invocation, on_result: ResultCallback) -> None:
        """Sends the call, at once where a connection is free."""
        if self._client is not None:
            self._client.begin(self._named(call), on_result)
        else:
            on_result(_NOT_STARTED)

    def invoke(self, call: Invocation) -> "Future[InvocationResult]":
        """Sends the call, at once where a connection is free."""
        if self._client is not None:
            return self._client.invoke(self._named(call))
        future: Future[InvocationResult] = asyncio.get_running_loop().create_future()
        future.set_result(_NOT_STARTED)
        return future

    def _named(self, call: Invocation) -> Invocation:
        """The call by the name that the function has at AWS."""
        name = self._names.resolve(call.function_name)
        return call if name == call.function_name else replace(call, function_name=name)

    async def prepare(self, function: Function, code: bytes | None) -> Function:
        """Checks the zip and what is known of Lambda's limits. The code is kept until it is deployed or discarded.

        Of an external function only its settings are read.
        """
        if function.external:
            return await adopted(self._clients, self._settings, function)
        return await self._control.prepare(function, code)

    async def deploy(self, function: Function) -> None:
        """Makes, or changes, the function at AWS and waits until it is ready there.

        :raises ContractError: with AWS's reason; deploying the former version brings that back.
        """
        await self._control.deploy(function)
        self._names.add([function.name])

    def learn(self, functions: list[Function]) -> None:
        """Calls them by the names that they have at AWS; those no longer there are called as they are named."""
        deployed = [function for function in functions if not function.external]
        self._names.replace(function.name for function in deployed)
        self._control.assume_deployed(deployed)

    async def discard(self, function: Function) -> None:
        """Forgets the code that was prepared; nothing changes at AWS."""
        self._control.discard(function)

    async def remove(self, function_name: str) -> None:
        """Deletes the function at AWS, unless it was not deployed from here."""
        self._names.remove(function_name)
        await self._control.remove(function_name)

    def reload(self) -> None:
        """Reads the credentials anew; region and endpoint are those of the start."""
        if self._refresher is not None:
            self._refresher.reload()
            self._clients.reload()

    def _request_log(self, call: Invocation, request_id: str) -> None:
        if self._settings.fetches_logs:
            lasted_max_ms = int(call.timeout_s * 1000)
            group = log_group(call.function_name)
            self._log_fetcher.submit(LogRequest(call.task_id, request_id, group, self._clock(), lasted_max_ms))

    def _use_credentials(self, credentials: Credentials) -> None:
        self._clients.reload()
        if self._client is not None:
            self._client.use_credentials(credentials)
