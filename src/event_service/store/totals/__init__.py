"""Count events from hourly rollups instead of reading every event. Entry point: `event_totals`. Reasons: ADR 0011."""
