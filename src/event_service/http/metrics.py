"""GET /metrics, for Prometheus."""

import gzip

from prometheus_client.exposition import gzip_accepted
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from event_service.telemetry.metrics import Metrics


def metrics_route(metrics: Metrics) -> Route:
    """Return the route. It needs no token, by Prometheus' convention: metrics name no tenant."""

    async def metrics_text(request: Request) -> Response:
        content, content_type = await metrics.exposition_of_all(request.headers.get("accept", ""))
        headers = {"Content-Type": content_type, "Cache-Control": "no-store", "Vary": "Accept, Accept-Encoding"}
        if gzip_accepted(request.headers.get("accept-encoding", "")):
            content = gzip.compress(content, 1)
            headers["Content-Encoding"] = "gzip"
        return Response(content, headers=headers)

    return Route("/metrics", metrics_text)
