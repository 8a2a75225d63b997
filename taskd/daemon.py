"""The composition root: builds the rooms, starts and stops them in order, and listens to signals and systemd."""

import asyncio
import contextlib
import logging
import signal
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import uvloop
from aiohttp import web
from msgspec import UNSET
from msgspec.structs import replace
from prometheus_client import CollectorRegistry, Gauge

from taskd.api.app import build_app
from taskd.api.http.authentication import Authentication
from taskd.api.http.authorization import Authenticate, trust_everybody
from taskd.api.http.client_address import ClientAddresses
from taskd.api.http.server import serve
from taskd.api.resources.probes import Health, LiveMemory
from taskd.audit.entry import Action, Entry
from taskd.audit.operators import by_operator
from taskd.audit.trail import AuditError, AuditTrail
from taskd.auth.account_file import FILE_NAME as ACCOUNTS_FILE
from taskd.auth.account_source import AccountFiles
from taskd.auth.header_files import left_for_commands
from taskd.auth.local_account import EMAIL as LOCAL_EMAIL
from taskd.auth.local_account import local_token, make_local_account
from taskd.auth.service import AuthService
from taskd.auth.task_creators import TaskCreators
from taskd.config import Config
from taskd.execution.api_functions.call import ApiFunctions
from taskd.execution.direct import DirectExecutions
from taskd.execution.runner import Runner
from taskd.execution.settings import DispatchSettings
from taskd.execution.synchronous import SynchronousCalls
from taskd.maintenance.operations import Operations
from taskd.maintenance.owed_events import OwedEvents
from taskd.maintenance.reaper import Reaper
from taskd.maintenance.retention import RetentionService
from taskd.model.clock import Clock, system_clock_ms
from taskd.model.errors import TaskdError
from taskd.model.operation import Objection as OperationObjection
from taskd.model.operation import no_objection as no_operation_objection
from taskd.model.pause import described
from taskd.model.time_zones import zone_data
from taskd.runtime.aws.runtime import AwsRuntime
from taskd.runtime.base import Runtime
from taskd.runtime.local.runtime import LocalRuntime
from taskd.store.base import Change, Objection, TaskStore, no_objection
from taskd.store.factory import make_store
from taskd.system import reload_socket, systemd
from taskd.system.allocator import give_back_large_blocks
from taskd.system.gc_freeze import FrozenHeap, shorten_switch_interval
from taskd.system.listening_site import BACKLOG
from taskd.system.logging import set_up_logging
from taskd.system.os_limits import descriptor_limit, raise_descriptor_limit, raising_start_errors
from taskd.system.privacy import close_to_others, keep_to_own_user, refuse_foreign
from taskd.system.process import end_process
from taskd.telemetry.metrics import Telemetry
from taskd.telemetry.webhooks import WebhookMeasures
from taskd.triggers.scheduler import Scheduler
from taskd.triggers.system_events import SystemEvents
from taskd.webhooks import deliverer
from taskd.webhooks.addresses import AllowedAddresses
from taskd.webhooks.deliverer import Deliverer
from taskd.webhooks.sender import Sender

log = logging.getLogger(__name__)

EXIT_CANNOT_START = 1
_REPORT_S = 5.0
_DESCRIPTORS_PER_SANDBOX = 16
"""Its pipes, its connection, and what starting it takes for a moment."""
_DESCRIPTORS_FOR_FILES = 128
"""For the journal, the catalogue and its readers, accounts and logs."""


def run(config: Config, clock: Clock = system_clock_ms, listener: socket.socket | None = None) -> int:
    """Runs the daemon until it is told to stop; gives the status for the process to exit with.

    ``listener`` is a socket that listens on the configured address already.
    """
    set_up_logging(config.log)
    keep_to_own_user()
    raise_descriptor_limit()
    shorten_switch_interval()
    give_back_large_blocks()
    try:
        with asyncio.Runner(loop_factory=_new_event_loop) as runner:
            runner.run(Daemon(config, clock, listener).run())
    except TaskdError as error:
        log.critical("%s", error)
        return EXIT_CANNOT_START
    return 0


def _new_event_loop() -> asyncio.AbstractEventLoop:
    with raising_start_errors():
        return uvloop.new_event_loop()


class Daemon:
    """One daemon. :meth:`run` is its whole life."""

    def __init__(self, config: Config, clock: Clock = system_clock_ms, listener: socket.socket | None = None) -> None:
        self._config = config
        self._listener = listener
        self._clock = clock
        self._told_to_stop = asyncio.Event()
        self._told_to_hurry = asyncio.Event()
        self._registry = CollectorRegistry()
        self._stopping = False
        self._trail = AuditTrail(Path(config.store.data), config.audit, clock)
        self._auth = AuthService(config.auth, AccountFiles(config.auth, Path(config.store.data)), clock)
        retention = config.retention.retention
        self._store = make_store(config.store, clock, gives_back_space=bool(retention))
        self._runtime = _build_runtime(config, self._store, clock)
        self._telemetry = telemetry = Telemetry(self._registry)
        _count_asyncio_tasks(self._registry)
        self._reaper = Reaper(self._store, on_fatal=end_process, telemetry=telemetry)
        self._store.on_published(telemetry.published)
        self._system_events = SystemEvents(self._store, on_fatal=end_process)
        self._auth.on_events(self._system_events.tell)
        self._owed_events = OwedEvents(self._store, on_fatal=end_process)
        self._scheduler = Scheduler(
            self._store, on_fatal=end_process, telemetry=telemetry, objection=_objection(config, self._auth)
        )
        self._operations = Operations(
            self._store, on_fatal=end_process, objection=_operation_objection(config, self._auth)
        )
        self._retention = RetentionService(self._store, retention, on_fatal=end_process, telemetry=telemetry)
        self._webhook_addresses = AllowedAddresses(config.webhooks.allow_networks)
        self._deliverer = Deliverer(
            *(self._store, Sender(self._webhook_addresses), config.webhooks),
            on_fatal=end_process,
            measures=WebhookMeasures(self._registry),
            objection=_webhook_objection(config, self._auth),
        )
        self._calls = SynchronousCalls()
        execution = (self._store, self._runtime, config.dispatch, self._calls)
        self._executions = DirectExecutions(*execution, telemetry=telemetry)
        self._api_functions = ApiFunctions(*execution, telemetry=telemetry)
        settings = _dispatch_settings(config)
        self._runner = Runner(self._store, self._runtime, settings, on_fatal=end_process, telemetry=telemetry)

    async def run(self) -> None:
        """Starts everything from the ground up, waits for a signal, and stops everything in reverse.

        :raises TaskdError: when something cannot be started; what had been started was stopped again.
        """
        with self._signals():
            async with contextlib.AsyncExitStack() as stack:
                with raising_start_errors():
                    await self._start(stack)
                reporting = asyncio.create_task(self._report_to_systemd())
                stack.callback(reporting.cancel)
                await self._told_to_stop.wait()
                await self._drain()
        log.info("Stopped.")

    async def _start(self, stack: contextlib.AsyncExitStack) -> None:
        systemd.status("Recovering")
        refuse_foreign(Path(self._config.store.data))
        close_to_others(Path(self._config.store.data), known_by="journal")
        await self._store.start()
        stack.push_async_callback(self._store.stop)
        stack.callback(self._trail.close)
        self._start_auth()
        stack.push_async_callback(self._auth.stop)
        await self._runtime.start(self._store.functions())
        stack.push_async_callback(self._stop_running)
        self._store.on_change(Change.FUNCTIONS, lambda: self._runtime.learn(self._store.functions()))
        await self._reaper.start()
        await self._runner.start()
        await self._scheduler.start()
        await self._owed_events.start()
        await self._system_events.start()
        await self._operations.start()
        await self._retention.start()
        stack.push_async_callback(self._retention.stop)
        await self._deliverer.start()
        heap = FrozenHeap()
        heap.start()
        stack.callback(heap.stop)
        await stack.enter_async_context(reload_socket.listening(Path(self._config.store.data), self._reload))
        url = await stack.enter_async_context(self._server())
        self._leave_token(stack, url)
        # The line that scripts and tests wait for.
        print(f"taskd listening on {url}", flush=True)  # noqa: T201
        log.info("Listening on %s, functions run on the %s runtime.", url, self._config.runtime)
        log.info("Time zones are those of %s.", zone_data())
        systemd.ready()

    def _start_auth(self) -> None:
        if self._serves_own_machine and self._config.auth.file is None and self._config.auth.oidc_issuer is None:
            # where the operator has put the accounts elsewhere, or an issuer vouches for callers, it is not wanted
            self._make_local_account(Path(self._config.store.data))
        self._auth.start()
        if self._config.authentication == "disabled":
            log.warning(
                "AUTHENTICATION IS DISABLED: whoever reaches %s may do everything, running code included. "
                'Set mode = "required" under [auth] to ask callers who they are.',
                self._config.listen.url,
            )
        elif self._auth.is_closed_to_all:
            log.warning("There are no accounts yet, so nobody may call; `taskd auth user add` makes the first.")

    def _make_local_account(self, data: Path) -> None:
        if not (data / ACCOUNTS_FILE).exists():
            with self._trail.recording(by_operator(Action.USERS_ADD, "user", LOCAL_EMAIL)):
                make_local_account(data)

    @property
    def _serves_own_machine(self) -> bool:
        """Whether callers must show who they are, and only this machine can reach the address."""
        return self._config.authentication == "required" and self._config.listen.is_loopback

    def _leave_token(self, stack: contextlib.AsyncExitStack, url: str) -> None:
        """Leaves the local account's token to the commands of our own user, while this daemon is at ``url``."""
        if not self._serves_own_machine:
            return
        if (token := local_token(Path(self._config.store.data), self._auth.directory)) is not None:
            stack.enter_context(left_for_commands(url, token))

    @contextlib.asynccontextmanager
    async def _server(self) -> AsyncIterator[str]:
        address = self._config.listen
        app = build_app(
            self._store,
            self._runtime,
            self._config.server,
            self._store.now_ms,
            self._health,
            executions=self._executions,
            api_functions=self._api_functions,
            authenticate=self._authenticate(),
            auth=self._auth,
            registry=self._registry,
            trail=self._trail,
            webhook_addresses=self._webhook_addresses,
        )
        app.on_shutdown.append(self._end_calls)
        runner: web.AppRunner
        runner, url = await serve(
            *(app, address.host, address.port, self._listener),
            connections_max=_connections_max(self._config),
            answer_stall_s=self._config.server.answer_stall_s,
        )
        try:
            yield url
        finally:
            await runner.cleanup()

    def _authenticate(self) -> Authenticate:
        if self._config.authentication == "disabled":
            return trust_everybody
        return Authentication(self._auth, ClientAddresses(self._config.server.trusted_proxies))

    async def _drain(self) -> None:
        """Lets running functions end, as long as the grace lasts and nobody hurries; the API goes on answering."""
        self._stopping = True
        systemd.stopping()
        grace_s = self._config.dispatch.grace_s
        log.info("Stopping: %d running functions have %g s to end.", self._running, grace_s)
        draining = asyncio.create_task(self._let_end(grace_s))
        hurrying = asyncio.create_task(self._told_to_hurry.wait())
        await asyncio.wait([draining, hurrying], return_when=asyncio.FIRST_COMPLETED)
        hurrying.cancel()
        if not draining.done():
            draining.cancel()
        if self._running:
            log.warning("%d functions still run; their outcome is not known.", self._running)

    async def _stop_running(self) -> None:
        await self._let_end(0)
        await self._runtime.stop()
        await self._runner.join()
        await self._calls.join()

    async def _end_calls(self, app: web.Application) -> None:
        """Once no more requests come in: whoever still waits for a function is told what became of it."""
        await self._stop_running()

    async def _let_end(self, grace_s: float) -> None:
        """Begins nothing more from this moment on, whatever part of the daemon waits for the disk."""
        await asyncio.gather(
            *(self._reaper.stop(), self._scheduler.stop(), self._operations.stop()),
            *(self._owed_events.stop(), self._system_events.stop(), self._deliverer.stop()),
            *(self._runner.drain(grace_s), self._calls.drain(grace_s)),
        )

    @property
    def _running(self) -> int:
        """Functions that run now, for a task of the queue or for somebody who waits."""
        return self._runner.in_flight + self._calls.in_flight

    @contextlib.contextmanager
    def _signals(self) -> Any:
        loop = asyncio.get_running_loop()
        handlers: dict[signal.Signals, Callable[[], object]] = {
            signal.SIGTERM: self._stop,
            signal.SIGINT: self._stop,
            signal.SIGHUP: self._reload,
        }
        for number, handler in handlers.items():
            loop.add_signal_handler(number, handler)
        try:
            yield
        finally:
            for number in handlers:
                loop.remove_signal_handler(number)

    def _stop(self) -> None:
        if self._told_to_stop.is_set():
            self._told_to_hurry.set()
        self._told_to_stop.set()

    def _reload(self) -> str | None:
        """Reads credentials anew; gives what is wrong with them."""
        systemd.reloading()
        self._runtime.reload()
        problem = self._reload_accounts()
        log.info("Credentials are read anew.")
        systemd.ready()
        return problem

    def _reload_accounts(self) -> str | None:
        """What is withdrawn must not stay in force because the trail cannot be written."""
        entry = Entry("", action=Action.ACCOUNTS_RELOAD.value, subject_type="accounts")
        try:
            begun = self._trail.begin_now(entry)
        except AuditError as error:
            log.error("The accounts are read anew without an entry in the audit trail: %s", error)
            return self._auth.reload()
        problem = self._auth.reload()
        self._trail.end_now(begun, "" if problem is None else "AccountFileError")
        return problem

    async def _report_to_systemd(self) -> None:
        """Proves that the event loop turns, and says in one line what it is doing."""
        interval_s = min(_REPORT_S, systemd.watchdog_interval_s() or _REPORT_S)
        while True:
            systemd.watchdog()
            systemd.status(await self._summary())
            await asyncio.sleep(interval_s)

    async def _summary(self) -> str:
        store = await self._store.status()
        if store.memory is not None:
            self._telemetry.took_memory(store.memory.used_bytes, store.memory.limit_bytes)
        doing = "Stopping" if self._stopping else "Running"
        counts = f"{self._running} in flight, {store.due} due"
        if self._store.pause() is not None:
            counts += ", everything paused"
        return f"{doing}: {counts}" + (f"; {store.trouble}" if store.trouble else "")

    async def _health(self) -> Health:
        store, pause = await self._store.status(), self._store.pause()
        return Health(
            status=store.trouble or ("stopping" if self._stopping else "ok"),
            runtime=self._config.runtime,
            in_flight=self._runner.in_flight,
            synchronous_calls=self._calls.in_flight,
            in_flight_limit=self._runner.allowed,
            due=store.due,
            lost_history=store.lost_history or UNSET,
            indexing=store.indexing or UNSET,
            time_zones=zone_data(),
            live_memory=LiveMemory(store.memory.used_bytes, store.memory.limit_bytes) if store.memory else UNSET,
            confinement=self._runtime.confinement if isinstance(self._runtime, LocalRuntime) else UNSET,
            paused=UNSET if pause is None else described(pause),
        )


def _count_asyncio_tasks(registry: CollectorRegistry) -> None:
    """A number that only ever grows here is a leak; asked for on the event loop, by whoever reads the metrics."""
    gauge = Gauge("taskd_asyncio_tasks", "Tasks of the event loop now: a leak if it only grows.", registry=registry)
    gauge.set_function(lambda: len(asyncio.all_tasks()))


def _connections_max(config: Config) -> int:
    """As many as leave descriptors for the files, for what calls functions and for what has not been counted yet."""
    calls = config.dispatch.max_in_flight + config.dispatch.max_direct + config.dispatch.max_api_calls
    for_functions = calls if config.runtime == "aws" else _DESCRIPTORS_PER_SANDBOX * config.local.max_sandboxes
    limit = descriptor_limit()
    return max(limit // 2, limit - for_functions - BACKLOG - _DESCRIPTORS_FOR_FILES)


def _dispatch_settings(config: Config) -> DispatchSettings:
    """On this machine no more tasks are claimed than can run at once.

    A task that waited for a sandbox would already be in progress: overtaken by none of a higher priority, and lost
    as a zombie if the daemon died, although it never ran.
    """
    if config.runtime == "aws":
        return config.dispatch
    return replace(config.dispatch, max_in_flight=min(config.dispatch.max_in_flight, config.local.max_sandboxes))


def _objection(config: Config, auth: AuthService) -> Objection:
    """Where nobody is asked who they are, everybody may have tasks made."""
    return no_objection if config.authentication == "disabled" else TaskCreators(auth).objection


def _operation_objection(config: Config, auth: AuthService) -> OperationObjection:
    return no_operation_objection if config.authentication == "disabled" else TaskCreators(auth).operation_objection


def _webhook_objection(config: Config, auth: AuthService) -> deliverer.Objection:
    return deliverer.no_objection if config.authentication == "disabled" else TaskCreators(auth).webhook_objection


def _build_runtime(config: Config, store: TaskStore, clock: Clock) -> Runtime:
    if config.runtime == "aws":
        return AwsRuntime(config.aws, clock, keep_log=store.replace_logs)
    return LocalRuntime(Path(config.store.data) / "functions", config.local, clock)
