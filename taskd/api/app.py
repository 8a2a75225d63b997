"""The application: every resource under its path, every error in the contract's shape."""

from collections.abc import Callable
from typing import Any

from aiohttp import web
from prometheus_client import CollectorRegistry

from taskd.api.answers import json_answer
from taskd.api.bulk import BulkHandlers
from taskd.api.callers import Authenticate, trust_everybody
from taskd.api.deployment import Deployments
from taskd.api.errors import errors_as_answers
from taskd.api.function_logs import FunctionLogHandlers
from taskd.api.functions import FunctionHandlers
from taskd.api.logs import LogHandlers
from taskd.api.metrics import metrics_handler
from taskd.api.routing import Route, mounted
from taskd.api.schedules import ScheduleHandlers
from taskd.api.settings import ServerSettings
from taskd.api.tasks import TaskHandlers
from taskd.model.clock import Clock
from taskd.runtime.base import Runtime
from taskd.store.base import TaskStore

BASE_PATH = "/tasks/v1"

Health = Callable[[], dict[str, Any]]
"""Tells how the daemon is: ``status`` is ``ok``, or else says why not; more fields as it likes."""


def build_app(
    store: TaskStore,
    runtime: Runtime,
    settings: ServerSettings,
    clock: Clock,
    health: Health,
    *,
    authenticate: Authenticate = trust_everybody,
    registry: CollectorRegistry | None = None,
) -> web.Application:
    """The HTTP face of ``store`` and ``runtime``; both must be started before it is served.

    ``registry`` holds the metrics to serve.
    """
    tasks = TaskHandlers(store, clock, settings.body_max_bytes)
    logs = LogHandlers(store)
    functions = FunctionHandlers(store, Deployments(store, runtime), clock, settings.code_body_max_bytes)
    function_logs = FunctionLogHandlers(store, clock)
    schedules = ScheduleHandlers(store, clock, settings.body_max_bytes)
    bulk = BulkHandlers(store, clock, settings.bulk_body_max_bytes)
    app = web.Application(middlewares=[errors_as_answers])
    routes = [*functions.routes(), *function_logs.routes(), *tasks.routes(), *logs.routes()]
    routes += [*schedules.routes(), *bulk.routes()]
    app.add_routes(mounted(BASE_PATH, routes, authenticate))
    app.add_routes(mounted("", _open_routes(health, registry), trust_everybody))
    return app


def _open_routes(health: Health, registry: CollectorRegistry | None) -> list[Route]:
    """What answers whoever asks: it is for probes that have no credentials."""
    routes = [Route("GET", "/health", _health_handler(health), None)]
    if registry is not None:
        routes.append(Route("GET", "/metrics", metrics_handler(registry), None))
    return routes


def _health_handler(health: Health) -> Callable[[web.Request], Any]:
    async def handler(request: web.Request) -> web.Response:
        report = health()
        return json_answer(report, status=200 if report["status"] == "ok" else 503)

    return handler
