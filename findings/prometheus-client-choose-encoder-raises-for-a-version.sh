#!/usr/bin/env bash
# Software: prometheus_client 0.26.0.
#
# Expected: choose_encoder takes any Accept header of a caller and returns an encoder and its content type; what it does
#   not understand means the text format.
# Seen: a version that is not numbers, in a syntactically valid header, raises TypeError; so the scrape is an error 500.
# Who is hurt: whoever serves /metrics from a framework of his own by this function, as its documentation proposes.
# Do: compare the media type yourself, and hand over a header of your own.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" -q install prometheus_client==0.26.0
seen=$("$folder/venv/bin/python" - <<'PYTHON'
from prometheus_client.exposition import choose_encoder

for version in ("1.0.0", "2.0.0", "latest"):
    try:
        print(version, choose_encoder(f"application/openmetrics-text;version={version}")[1].partition(";")[0])
    except TypeError as error:
        print(version, type(error).__name__)
PYTHON
)
echo "$seen"
[ "$(tail -n 1 <<< "$seen")" = "latest TypeError" ]
