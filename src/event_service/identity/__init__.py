"""Authentication and authorization: a token becomes a Principal, a Principal becomes a Scope."""
