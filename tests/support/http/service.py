"""The HTTP server over a real store and a real local runtime, for wire tests that need no runner."""

import base64
import io
import zipfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from aiohttp import ClientSession, web
from msgspec import Struct

from taskd.api.app import build_app
from taskd.api.http.authentication import Authentication
from taskd.api.http.authorization import Authenticate, trust_everybody
from taskd.api.http.client_address import ClientAddresses
from taskd.api.http.server import serve
from taskd.api.resources.probes import Health, HealthCheck
from taskd.api.settings import ServerSettings
from taskd.audit.settings import AuditSettings
from taskd.audit.trail import AuditTrail
from taskd.auth.service import AuthService
from taskd.execution.api_functions.call import ApiFunctions
from taskd.execution.direct import DirectExecutions
from taskd.execution.settings import DispatchSettings
from taskd.execution.synchronous import SynchronousCalls
from taskd.model.clock import system_clock_ms
from taskd.model.logline import LogLine
from taskd.runtime.local.runtime import LocalRuntime
from taskd.runtime.local.settings import LocalSettings
from taskd.store.base import Completed
from taskd.store.embedded.settings import StoreSettings
from taskd.store.embedded.store import EmbeddedStore

BASE = "/tasks/v1"


class Service(Struct):
    """A running server, and what is behind it."""

    client: ClientSession
    url: str
    store: EmbeddedStore
    runtime: LocalRuntime
    app: web.Application
    directory: Path
    """Where functions may write."""

    async def create(self, **fields: Any) -> dict[str, Any]:
        """A task, created over HTTP."""
        async with self.client.post(BASE, json={"functionName": "hello", **fields}) as response:
            assert response.status == 200, await response.text()
            return dict(await response.json())

    async def get(self, path: str) -> Any:
        """What a successful GET answers."""
        async with self.client.get(BASE + path) as response:
            assert response.status == 200, await response.text()
            return await response.json()

    async def start_all(self) -> None:
        """Brings every due task into progress."""
        while await self.store.claim(100):
            pass

    async def finish(self, task_id: str, *lines: LogLine) -> None:
        """Completes a task in progress that printed ``lines``."""
        await self.store.settle([Completed(task_id, lines)])


async def all_is_well() -> Health:
    """How a daemon is that has no trouble."""
    return Health(status="ok", runtime="local", in_flight=0, synchronous_calls=0, in_flight_limit=0, due=0)


@asynccontextmanager
async def http_service(
    directory: Path,
    server: ServerSettings | None = None,
    store_settings: StoreSettings | None = None,
    health: HealthCheck = all_is_well,
    dispatch: DispatchSettings | None = None,
    authenticate: Authenticate = trust_everybody,
    auth: AuthService | None = None,
    audit: AuditSettings | None = None,
) -> AsyncIterator[Service]:
    """A server on a free port, over a fresh store and runtime in ``directory``; ``auth`` asks callers who they are."""
    server = server or ServerSettings()
    store = EmbeddedStore(store_settings or StoreSettings(data=str(directory / "data")))
    runtime = LocalRuntime(directory / "functions", LocalSettings(writable=(str(directory),)))
    calls = SynchronousCalls()
    trail = AuditTrail(directory / "data", audit)
    app = build_app(
        store,
        runtime,
        server,
        system_clock_ms,
        health,
        executions=DirectExecutions(store, runtime, dispatch or DispatchSettings(), calls),
        api_functions=ApiFunctions(store, runtime, dispatch or DispatchSettings(), calls),
        authenticate=authenticate if auth is None else Authentication(auth, ClientAddresses(server.trusted_proxies)),
        auth=auth,
        trail=trail,
    )
    async with AsyncExitStack() as stack:
        await store.start()
        stack.push_async_callback(store.stop)
        await runtime.start(store.functions())
        stack.callback(trail.close)
        stack.push_async_callback(calls.join)
        stack.push_async_callback(runtime.stop)
        runner, url = await serve(app, "127.0.0.1", 0, answer_stall_s=server.answer_stall_s)
        stack.push_async_callback(runner.cleanup)
        client = await stack.enter_async_context(ClientSession(url))
        yield Service(client, url, store, runtime, app, directory)


def zipped(**files: str) -> str:
    """The base64 of a zip of Python files, by module name."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, text in files.items():
            archive.writestr(f"{name}.py", text)
    return base64.b64encode(buffer.getvalue()).decode()


def function_body(**fields: Any) -> dict[str, Any]:
    """A body that creates the function ``hello``, but for ``fields``."""
    code = zipped(index="def handler(event, context):\n    return 'hello'\n")
    least = {"name": "hello", "code": code, "entryPoint": "index.handler", "runtime": "python3.11"}
    return {**least, **fields}
