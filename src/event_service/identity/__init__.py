"""Who calls, and what they may see: tokens become a Principal, a Principal becomes a Scope."""
