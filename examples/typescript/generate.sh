#!/bin/sh
# Makes the stubs of events.ts in gen/; needs the Python package grpcio-tools, which has protoc and googleapis.
set -eu
cd "$(dirname "$0")"
mkdir -p gen
python -m grpc_tools.protoc --plugin=protoc-gen-es=node_modules/.bin/protoc-gen-es --es_out=gen --es_opt=target=ts,import_extension=js \
  -I ../../proto -I "$(python -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])')" \
  google/api/annotations.proto google/api/http.proto spaceone/api/core/v2/query.proto spaceone/api/monitoring/v1/event.proto
