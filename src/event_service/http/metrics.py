"""GET /metrics, for Prometheus."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from event_service.telemetry.metrics import CONTENT_TYPE, Metrics


def metrics_route(metrics: Metrics) -> Route:
    """Return the route. It needs no token, by Prometheus' convention: metrics name no tenant."""

    async def metrics_text(_request: Request) -> Response:
        return Response(metrics.text(), headers={"Content-Type": CONTENT_TYPE, "Cache-Control": "no-store"})

    return Route("/metrics", metrics_text)
