"""``GET /metrics``: what the daemon counts and measures, as Prometheus reads it. There is nothing secret in it."""

from aiohttp import web
from aiohttp.typedefs import Handler
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest


def metrics_handler(registry: CollectorRegistry) -> Handler:
    """Answers with everything in ``registry``, as it is at that moment."""

    async def handler(request: web.Request) -> web.Response:
        """What the daemon counts and measures, as Prometheus reads it."""
        return web.Response(body=generate_latest(registry), headers={"Content-Type": CONTENT_TYPE_LATEST})

    return handler
