"""The rules of events, between the transports and the store."""
