"""How many events a question is about, without reading them all each time. `event_totals` asks; ADR 0011 says why."""
