"""Writes the table of settings into README.md from settings.py: `make docs`. With --check: only compares."""

import argparse
import sys
from pathlib import Path
from typing import get_args

from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from event_service.settings import Settings

README = Path(__file__).resolve().parent.parent / "README.md"
BEGIN = "<!-- settings: written by `make docs` from src/event_service/settings.py -->\n"
END = "<!-- end of settings -->\n"

# Defaults that are worked out when the service starts.
WORKED_OUT = {"data_dir": "the platform's data directory"}


def default_of(name: str, field: FieldInfo) -> str:
    """Return the default as shown in the table: the value to set, or a dash if empty."""
    if name in WORKED_OUT:
        return WORKED_OUT[name]
    value = field.default
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if value is None or value is PydanticUndefined or value == "":
        return "-"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def table() -> str:
    """Return the settings as a Markdown table, in the order of settings.py."""
    prefix = Settings.model_config["env_prefix"]
    rows = ["| Environment variable | Default | What it does |", "|---|---|---|"]
    for name, field in Settings.model_fields.items():
        words = [f"`{word}`" for word in get_args(field.annotation) if isinstance(word, str)]
        choice = f" One of {', '.join(words)}." if words else ""
        rows.append(f"| `{prefix}{name.upper()}` | {default_of(name, field)} | {field.description}{choice} |")
    return "\n".join(rows) + "\n"


def with_table(text: str) -> str:
    """Return the README's text with the present table. Raises ValueError where its place is not marked."""
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{README.name} does not say where the table of settings goes")
    return before + begin + "\n" + table() + "\n" + end + after


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 when the table is out of date")
    arguments = parser.parse_args()
    text = README.read_text(encoding="utf-8")
    fresh = with_table(text)
    if arguments.check:
        if fresh != text:
            print(f"{README.name}'s table of settings is out of date: run make docs")
        return int(fresh != text)
    README.write_text(fresh, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
