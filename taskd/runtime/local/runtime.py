"""The local runtime: functions as child processes of this machine, behind the same protocol as AWS Lambda.

Puts the parts of this package together. Functions are confined as far as the kernel lets it.
"""

import asyncio
import errno
import logging
from pathlib import Path

from msgspec.structs import replace

from taskd.model.clock import Clock, system_clock_ms
from taskd.model.errors import INVALID_CODE, INVALID_CONFIGURATION, ContractError, TaskdError
from taskd.model.function import Function
from taskd.runtime.base import Invocation, InvocationError, InvocationResult, ResultCallback
from taskd.runtime.local import failures
from taskd.runtime.local.call_queue import Call
from taskd.runtime.local.channel import Channel
from taskd.runtime.local.child_process import ChildProcess, Launch
from taskd.runtime.local.code_directory import CodeDirectory, unavailable
from taskd.runtime.local.confinement.confinement import Confinement
from taskd.runtime.local.confinement.means import OF_THE_KERNEL, Means
from taskd.runtime.local.deployed_function import DeployedFunction, environment
from taskd.runtime.local.languages import PROGRAMS_DIRECTORY, Languages
from taskd.runtime.local.launcher import Launcher
from taskd.runtime.local.memory_monitor import MemoryMonitor
from taskd.runtime.local.runtime_api import RuntimeApi
from taskd.runtime.local.sandbox import Sandbox
from taskd.runtime.local.sandbox_pool import SandboxPool
from taskd.runtime.local.settings import LocalSettings

_log = logging.getLogger(__name__)

_NOWHERE = "external"
"""The version of code that is not on this machine."""


class LocalRuntime:
    """Implements :class:`taskd.runtime.base.Runtime`. ``directory`` holds the unpacked code and is this runtime's own.

    Make it, start it, use it and stop it on one event loop.
    """

    def __init__(
        self,
        directory: Path,
        settings: LocalSettings,
        clock: Clock = system_clock_ms,
        means: Means = OF_THE_KERNEL,
    ) -> None:
        """``means`` is what sandboxes are confined by at most."""
        self._clock = clock
        self._means = means
        self._settings = settings
        self._confinement = Confinement(settings, None, ())
        self._code = CodeDirectory(directory)
        self._api = RuntimeApi()
        self._launcher = Launcher()
        self._pool = SandboxPool(settings, self._make_sandbox, self._sandbox_is_busy, self._sandbox_has_ended)
        self._memory = MemoryMonitor(self._pool.busy)
        self._languages = Languages()

    async def start(self, functions: list[Function]) -> None:
        """Makes ``functions`` callable; a call of one whose code is gone says to deploy it again."""
        await self._languages.detect_version()
        _log.info("the local runtime runs %s", self._languages.describe())
        await self._code.open([function for function in functions if not function.external])
        await self._launcher.start()
        try:
            await self._confine()
        except (OSError, TaskdError):
            await self._launcher.stop()
            raise
        await self._api.start()
        for function in functions:
            self._pool.deploy(self._deployment(function))

    async def _confine(self) -> None:
        """Finds out how far functions can be confined here.

        :raises TaskdError: they are required to be, and cannot be.
        """
        if self._settings.confine == "off":
            _log.warning("functions are not confined: they can do what taskd's user can (local.confine is off)")
            return
        means = await self._working_means()
        self._confinement = Confinement(self._settings, means, self._programs())
        gaps = means.missing() + self._exposed()
        if gaps and self._settings.confine == "required":
            raise TaskdError(f"local.confine is required, and this machine lacks {'; '.join(gaps)}.")
        _log.info("functions are confined by %s", means.describe())
        for gap in gaps:
            _log.warning("functions are not confined by %s", gap)

    async def _working_means(self) -> Means:
        """What confines sandboxes here; what a machine forbids shows only when it is tried."""
        means = self._means
        for means in self._means.fewer():
            if await self._works(means):
                break
        return means

    async def _works(self, means: Means) -> bool:
        confinement = Confinement(self._settings, means, self._programs())
        probe = ChildProcess(Launch([], {}, self._code.work, self._code.work, confinement), self._launcher, self._clock)
        try:
            return await probe.run() == 0
        except OSError as error:
            if error.errno in failures.EXHAUSTION_ERRNOS - {
                errno.ENOSPC
            }:  # that there may be no more namespaces is one, too
                raise
            _log.debug("sandboxes cannot be confined by %s: %s", means.describe(), error)
            return False
        finally:
            await probe.clean_up()

    def _programs(self) -> list[str]:
        return [path for language in self._languages.all() for path in language.readable()]

    def _exposed(self) -> list[str]:
        around = self._confinement.exposes(self._code.work.parents[1])
        return [f"a data directory of its own: it lies in {path}, which functions may use" for path in around]

    @property
    def confinement(self) -> str:
        """How functions are confined, in a line."""
        return self._confinement.description

    async def stop(self) -> None:
        """Ends what still runs, and waits until every process, file and connection of this runtime is gone."""
        await self._pool.stop()
        await self._memory.stop()
        await self._launcher.stop()
        await self._api.stop()
        await self._code.close()

    def begin(self, call: Invocation, on_result: ResultCallback) -> None:
        """See :meth:`invoke`."""
        self._pool.submit(Call(call, on_result))

    def invoke(self, call: Invocation) -> "asyncio.Future[InvocationResult]":
        """Runs the call in a sandbox, at once or when one is free.

        The time limit counts from the moment a sandbox takes the call. One that none takes within ``queue_wait_s``
        (or ``timeout_s``, if that is shorter) has not run and is :class:`~taskd.runtime.base.Throttled`.
        """
        future: asyncio.Future[InvocationResult] = asyncio.get_running_loop().create_future()
        waiting = Call(call, lambda result: None if future.done() else future.set_result(result))
        future.add_done_callback(lambda _: waiting.abandon())
        self._pool.submit(waiting)
        return future

    async def prepare(self, function: Function, code: bytes | None) -> Function:
        """Unpacks ``code`` durably; what is neither deployed nor discarded is removed at the next start."""
        if function.external:
            raise ContractError(INVALID_CONFIGURATION, _external(function))
        language = self._languages.of(function)
        language.check_machine(function)
        if other := language.runs_instead(function):
            _log.warning("function %s asks for %s and runs on %s", function.name, function.runtime, other)
        prepared = replace(function, code_version=await self._version(function, code))
        path = self._code.path(prepared.name, prepared.code_version)
        try:
            await asyncio.to_thread(language.check_code, prepared, path)
        except ContractError:
            await self.discard(prepared)
            raise
        except OSError as error:
            await self.discard(prepared)
            raise unavailable(error) from error
        return prepared

    async def _version(self, function: Function, code: bytes | None) -> str:
        if code is not None:
            return await self._code.add(function.name, code)
        if not self._code.has(function.name, function.code_version):
            message = "The function's code is no longer on this machine: send code together with the change."
            raise ContractError(INVALID_CODE, message)
        return function.code_version

    async def deploy(self, function: Function) -> None:
        """Calls from now on run ``function``; a change of what its sandboxes depend on takes new ones."""
        before = self._pool.deployment(function.name)
        self._pool.deploy(self._deployment(function))
        self._code.release(function.name, function.code_version)
        self._collect(before)

    def learn(self, functions: list[Function]) -> None:
        """Switches new calls over to those whose code is here; a call of one whose code is not says so."""
        known = {function.name for function in functions}
        for name in [name for name in self._pool.names() if name not in known]:
            self._pool.remove(name)
        for function in functions:
            self._pool.deploy(self._deployment(function))

    async def discard(self, function: Function) -> None:
        """Removes the version that was prepared, unless it is deployed or a call still runs it."""
        self._code.release(function.name, function.code_version)
        self._collect(DeployedFunction(function, self._code.path(function.name, function.code_version)))

    async def remove(self, function_name: str) -> None:
        """Removes the function; its code is removed when its last call has ended."""
        before = self._pool.deployment(function_name)
        self._pool.remove(function_name)
        self._collect(before)

    def reload(self) -> None:
        """There is nothing to read anew: this runtime has no credentials."""

    def _deployment(self, function: Function) -> DeployedFunction:
        code = self._code.path(function.name, _NOWHERE if function.external else function.code_version)
        return DeployedFunction(function, code, self._reason_not_to_run(function))

    def _reason_not_to_run(self, function: Function) -> InvocationError | None:
        if function.external:
            return failures.unrunnable(_external(function))
        try:
            self._languages.of(function).check_machine(function)
        except ContractError as error:
            return failures.unrunnable(error.message)
        if not self._code.has(function.name, function.code_version):
            return failures.code_lost(function.name)
        return None

    def _collect(self, deployment: DeployedFunction | None) -> None:
        """Removes the code of ``deployment`` unless a call still runs it."""
        if deployment is not None and not self._pool.uses(deployment):
            self._code.remove(deployment.code)

    def _make_sandbox(self, deployment: DeployedFunction) -> Sandbox:
        secret, address = self._api.new_address()
        language = self._languages.of(deployment.function)
        launch = Launch(
            command=language.command_line(deployment.function, deployment.code),
            environment=environment(deployment, address, PROGRAMS_DIRECTORY),
            code=deployment.code,
            work=self._code.work,
            confinement=self._confinement,
            api_port=int(address.partition("/")[0].rpartition(":")[2]),
        )
        process = ChildProcess(launch, self._launcher, self._clock)
        sandbox = Sandbox(deployment, process, self._pool, self._clock)
        if language.has_channel:
            process.channel = Channel(sandbox)
        self._api.register(secret, sandbox)
        return sandbox

    def _sandbox_is_busy(self) -> None:
        self._memory.start()

    def _sandbox_has_ended(self, sandbox: Sandbox) -> None:
        self._api.unregister(sandbox)
        self._collect(sandbox.deployment)


def _external(function: Function) -> str:
    return (
        f"{function.name} is a function that others deployed at AWS Lambda, and this service runs functions on its own "
        'machine: start it with runtime = "aws", or deploy the function here with its code.'
    )
