"""The console at `/`: pages for people over the same managers and the same scope as the API.

Server-rendered. htmx, shipped in `assets`, swaps results without loading the page again, and brings late figures and
live rows; everything else works without scripts.
"""

from event_service.http.console.routes import console_routes

__all__ = ["console_routes"]
