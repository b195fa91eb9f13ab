"""Webhooks: the endpoints of monitoring tools, their access keys and their parsers' options."""
