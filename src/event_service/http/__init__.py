"""The HTTP door: collectors' webhooks, the Cloud Eye API, the JSON form of the gRPC services."""
