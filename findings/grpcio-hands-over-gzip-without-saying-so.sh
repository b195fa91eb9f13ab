#!/usr/bin/env bash
# Software: grpcio 1.85.1.
#
# Expected: with grpc.per_message_decompression=0 a server that unpacks messages itself learns which ones are packed: from
#   a flag, or from grpc-encoding in the metadata.
# Seen: it is handed the bytes of gzip, and nothing says so: the flag is gone, and grpc-encoding is not in the metadata.
#   A message that gzip would not make shorter arrives as it is on the same call.
# Who is hurt: whoever wants to bound what a packed message unpacks to, which gRPC itself checks only afterwards.
# Do: look for gzip's magic number. No protobuf message begins with it: 0x1f is a field of wire type 7.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" -q install grpcio==1.85.1
seen=$("$folder/venv/bin/python" - <<'PYTHON'
import gzip
from concurrent.futures import ThreadPoolExecutor

import grpc


def answer(request, context):
    told = [name for name, _ in context.invocation_metadata() if "encoding" in name]
    form = "gzip" if request[:2] == b"\x1f\x8b" else "plain"
    length = len(gzip.decompress(request)) if form == "gzip" else len(request)
    return f"{form} of {length} bytes, told by {told}".encode()


server = grpc.server(ThreadPoolExecutor(1), options=[("grpc.per_message_decompression", 0)])
handler = grpc.unary_unary_rpc_method_handler(answer)
server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("test.Test", {"Call": handler})])
port = server.add_insecure_port("127.0.0.1:0")
server.start()
with grpc.insecure_channel(f"127.0.0.1:{port}", compression=grpc.Compression.Gzip) as channel:
    call = channel.unary_unary("/test.Test/Call")
    for request in (b"x" * 10_000, b"x"):
        print(call(request).decode())
server.stop(None)
PYTHON
)
echo "$seen"
[ "$seen" = "gzip of 10000 bytes, told by []
plain of 1 bytes, told by []" ]
