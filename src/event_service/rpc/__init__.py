"""The gRPC door: calls in, replies and errors out. No rules live here."""
