"""The words the whole service speaks: events, alerts, webhooks, scopes. Imports nothing of ours but errors."""
