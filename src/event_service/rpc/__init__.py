"""The gRPC transport: servers, interceptors and servicers, without rules of the domain."""
