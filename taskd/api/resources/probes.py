"""What answers whoever asks, for probes that have no credentials: how the daemon is, and what it counts."""

from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from taskd.api.http.json_response import json_response
from taskd.api.http.routing import Route


def metrics_handler(registry: CollectorRegistry) -> Handler:
    """Answers with everything in ``registry``, as it is at that moment."""

    async def handler(request: web.Request) -> web.Response:
        """What the daemon counts and measures, as Prometheus reads it."""
        return web.Response(body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    return handler


Health = Callable[[], Awaitable[dict[str, Any]]]
"""Tells how the daemon is: ``status`` is ``ok``, or else says why not; more fields as it likes."""


def probe_routes(health: Health, registry: CollectorRegistry | None) -> list[Route]:
    """What answers whoever asks: it is for probes that have no credentials."""
    routes = [Route("GET", "/health", _health_handler(health), None)]
    if registry is not None:
        routes.append(Route("GET", "/metrics", metrics_handler(registry), None))
    return routes


def _health_handler(health: Health) -> Callable[[web.Request], Any]:
    async def handler(request: web.Request) -> web.StreamResponse:
        """How the daemon is; 503 when it is not well."""
        report = await health()
        return json_response(report, status=200 if report["status"] == "ok" else 503)

    return handler
