#!/usr/bin/env bash
# Software: grpcio 1.85.1, with its default options.
#
# Expected: metadata up to a limit is accepted, and metadata above it is refused.
# Seen: between the soft limit (8 KiB) and the hard one (16 KiB) a request is refused by chance, the more often the
#   larger it is. So a token of 10 KB works in a test, and fails for a part of the calls in use.
# Who is hurt: callers with large tokens, such as those that list a user's projects: calls fail at random with
#   RESOURCE_EXHAUSTED, and mostly succeed when they are sent again.
# Do: set grpc.max_metadata_size on the server to more than any token needs; the hard limit grows with it.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" -q install grpcio==1.85.1
"$folder/venv/bin/python" - <<'PYTHON' | tee "$folder/seen"
from concurrent.futures import ThreadPoolExecutor

import grpc


def refused(size, options):
    server = grpc.server(ThreadPoolExecutor(1), options=options)
    handler = grpc.unary_unary_rpc_method_handler(lambda request, context: request)
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("test.Test", {"Call": handler})])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    failed = 0
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        call = channel.unary_unary("/test.Test/Call")
        for _ in range(300):
            try:
                call(b"", metadata=[("token", "x" * size)])
            except grpc.RpcError as error:
                assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED, error
                failed += 1
    server.stop(None)
    return failed


for size in (7_000, 10_000, 13_000, 17_000):
    print(size, "bytes refused:", refused(size, []), "of 300; with 64 KiB:", refused(size, [("grpc.max_metadata_size", 65536)]))
PYTHON
python3 - "$folder/seen" <<'PYTHON'
import re
import sys

rows = [[int(number) for number in re.findall(r"\d+", line.replace("64 KiB", ""))] for line in open(sys.argv[1])]
below, low, high, above = (row[1] for row in rows)
assert below == 0 and 0 < low < high < 300 and above == 300, rows
assert all(row[-1] == 0 for row in rows), rows
PYTHON
