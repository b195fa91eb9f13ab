"""The console at `/`: pages for people over the same managers and the same scope as the API.

Server-rendered; the script adds a live view and asks before it deletes, and everything else works without it.
"""

from event_service.http.console.routes import console_routes

__all__ = ["console_routes"]
