#!/bin/sh
# Sends, lists and counts with grpcurl, which needs no proto files: the server describes itself.
set -eu
server=${EVENT_SERVICE_SERVER:-127.0.0.1:50051}
ask() { grpcurl -plaintext ${EVENT_SERVICE_TOKEN:+-H "token: $EVENT_SERVICE_TOKEN"} "$@"; }

ask -H "idempotency-key: backup-2026-03-01" -d @ "$server" spaceone.api.monitoring.v1.Event/create <<JSON
{"webhook_id": "$EVENT_SERVICE_WEBHOOK_ID", "access_key": "$EVENT_SERVICE_ACCESS_KEY",
 "data": {"event_key": "backup", "title": "Backup failed", "severity": "ERROR"}}
JSON

ask -d '{"query": {"filter": [{"k": "title", "v": "backup", "o": "contain"}], "page": {"limit": 5}}}' \
  "$server" spaceone.api.monitoring.v1.Event/list

ask -d '{"query": {"aggregate": [{"group": {"keys": [{"k": "severity", "n": "severity"}],
                                            "fields": [{"n": "count", "o": "count"}]}}]}}' \
  "$server" spaceone.api.monitoring.v1.Event/stat
