"""Encode and decode payloads, events and timestamps. Knows neither transport nor database."""
