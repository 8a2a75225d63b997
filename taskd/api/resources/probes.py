"""What answers whoever asks, for probes that have no credentials: how the daemon is, and what it counts."""

from collections.abc import Awaitable, Callable, Iterator

import msgspec
from aiohttp import web
from msgspec import UNSET, Struct, UnsetType
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from taskd.api.http.json_response import json_response
from taskd.api.http.routing import Route


class LiveMemory(Struct, rename="camel"):
    """How much memory waiting and running tasks take, and past what none are created, in bytes."""

    used_bytes: int
    limit_bytes: int


class Health(Struct, rename="camel"):
    """How the daemon is: ``status`` is ``ok``, or else says why not.

    ``inFlight`` counts the tasks of the queue that run now, up to ``inFlightLimit``; ``attended`` the executions and
    calls that somebody waits for; ``due`` the tasks that could run now. ``lostHistory`` says which ends of tasks were
    found lost at the start, where any were; ``timeZones`` whose data of time zones is used. Nothing that is to come
    depends on it, so the daemon counts as well.
    ``indexing`` says which fields listings cannot look up yet, while that is so.
    ``liveMemory`` is there where tasks are kept in memory.
    ``paused`` says since when and why nothing is started, while everything is paused: all is well then.
    ``confinement`` is what the kernel confines functions of this machine by.
    """

    status: str
    runtime: str
    in_flight: int
    synchronous_calls: int = msgspec.field(name="attended")
    in_flight_limit: int
    due: int
    lost_history: str | UnsetType = UNSET
    indexing: str | UnsetType = UNSET
    time_zones: str | UnsetType = UNSET
    live_memory: LiveMemory | UnsetType = UNSET
    confinement: str | UnsetType = UNSET
    paused: str | UnsetType = UNSET


class ServiceHealth(Struct):
    """Whether a service is well: ``ok``, or what is wrong with the daemon that serves it."""

    status: str


HealthCheck = Callable[[], Awaitable[Health]]


class ProbeHandlers:
    """Answers ``/health``, and ``/metrics`` where there is a registry of them."""

    def __init__(self, health: HealthCheck, registry: CollectorRegistry | None) -> None:
        self._health = health
        self._registry = registry

    def routes(self) -> Iterator[Route]:
        """The routes of the server itself."""
        yield Route(
            *("GET", "/health", self.health, None),
            tag="Service",
            summary="Ask whether the daemon is well",
            response=Health,
            error_responses={503: Health},
        )
        if self._registry is not None:
            yield Route(*("GET", "/metrics", self.metrics, None), tag="Service", summary="Read the metrics")

    def service_routes(self) -> Iterator[Route]:
        """The routes below each service's own base."""
        yield Route(
            *("GET", "/health", self.service_health, None),
            tag="Service",
            summary="Ask whether this service is well",
            response=ServiceHealth,
            error_responses={503: ServiceHealth},
        )

    async def service_health(self, request: web.Request) -> web.StreamResponse:
        """How the daemon is that serves it, in a word; 503 when it is not well."""
        health = await self._health()
        return json_response(ServiceHealth(health.status), status=200 if health.status == "ok" else 503)

    async def health(self, request: web.Request) -> web.StreamResponse:
        """How the daemon is; 503 when it is not well."""
        health = await self._health()
        return json_response(health, status=200 if health.status == "ok" else 503)

    async def metrics(self, request: web.Request) -> web.StreamResponse:
        """What the daemon counts and measures, as Prometheus reads it."""
        assert self._registry is not None, "without one there is no route"
        return web.Response(body=generate_latest(self._registry), headers={"Content-Type": CONTENT_TYPE_LATEST})
