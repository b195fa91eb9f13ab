#!/bin/sh
# What a monitoring tool does, with curl; and reading by JSON over HTTP. /openapi.json describes it all.
set -eu
http=${EVENT_SERVICE_HTTP:-http://127.0.0.1:8080}

# The webhook's URL holds its credential, so no token is needed.
curl -sS --fail-with-body -H "Idempotency-Key: certificate-shop" \
  -d '{"event_key": "certificate:shop", "title": "Certificate ends in 3 days", "severity": "WARNING"}' \
  "$http/monitoring/v1/webhook/$EVENT_SERVICE_WEBHOOK_ID/$EVENT_SERVICE_ACCESS_KEY/events"
echo

curl -sS --fail-with-body ${EVENT_SERVICE_TOKEN:+-H "Authorization: Bearer $EVENT_SERVICE_TOKEN"} \
  -H "Content-Type: application/json" -d '{"event_key": "certificate:shop", "query": {"page": {"limit": 5}}}' \
  "$http/monitoring/v1/event/list"
echo
