"""The HTTP port: collectors' webhooks, the Cloud Eye API, the JSON form of the gRPC services, and the console."""
