"""Queries of attackers who reach for another tenant's data, and patterns that keep a server busy.

`hostile_queries.json` has for each query its name, its kind (`list` or `stat`) and the field of the error;
`exploding_patterns.txt` has one regular expression per line.
"""

import json
from pathlib import Path
from typing import Any

_FOLDER = Path(__file__).parent

HOSTILE_QUERIES: list[dict[str, Any]] = json.loads((_FOLDER / "hostile_queries.json").read_text())
EXPLODING_PATTERNS: list[str] = (_FOLDER / "exploding_patterns.txt").read_text().splitlines()
