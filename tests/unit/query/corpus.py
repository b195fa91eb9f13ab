"""Queries that somebody would send to get beyond what is his, and patterns that would keep a server busy for ever.

`hostile_queries.json` holds for each query its name, the `list` or `stat` it is, and the field it is refused for;
`exploding_patterns.txt` a regular expression in each line.
"""

import json
from pathlib import Path
from typing import Any

_FOLDER = Path(__file__).parent

HOSTILE_QUERIES: list[dict[str, Any]] = json.loads((_FOLDER / "hostile_queries.json").read_text())
EXPLODING_PATTERNS: list[str] = (_FOLDER / "exploding_patterns.txt").read_text().splitlines()
