"""GET /metrics, for Prometheus."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from event_service.telemetry.metrics import CONTENT_TYPE, Metrics


def metrics_route(metrics: Metrics) -> Route:
    """The route. It asks for no token: Prometheus' own convention, and there is nothing in it that names anybody."""

    async def answer(_request: Request) -> Response:
        return Response(metrics.text(), headers={"Content-Type": CONTENT_TYPE, "Cache-Control": "no-store"})

    return Route("/metrics", answer)
