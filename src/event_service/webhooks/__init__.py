"""Where monitoring tools deliver: webhooks, their access keys and their parsers' options."""
