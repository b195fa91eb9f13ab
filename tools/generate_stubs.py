"""Generates src/event_service/_gen from proto/: `make proto`. With --check: only says whether it is up to date.

The Python imports of generated code are rewritten to live below event_service._gen, so that the stubs of
spaceone-api can be loaded beside ours. The proto paths inside the descriptors are left alone: two packages
that register the same file under the same path with the same bytes share one descriptor.
"""

import argparse
import filecmp
import json
import re
import sys
import tempfile
from pathlib import Path

from api_reference import compiled
from grpc_tools import protoc
from protos import ROOT, include_arguments, proto_files

TARGET = ROOT / "src" / "event_service" / "_gen"


def generate(target: Path) -> None:
    """Write stubs, type stubs and grpc stubs of every proto file below `target`, and the comments for /openapi.json."""
    plugin = Path(sys.executable).with_name("protoc-gen-mypy")
    status = protoc.main(
        ["protoc", *include_arguments(), f"--plugin=protoc-gen-mypy={plugin}", f"--python_out={target}",
         f"--mypy_out=quiet:{target}", f"--grpc_python_out={target}", *proto_files()]
    )  # fmt: skip
    if status:
        raise SystemExit(f"protoc ended with status {status}")
    for path in [*target.rglob("*.py"), *target.rglob("*.pyi")]:
        text = path.read_text()
        text = re.sub(r"^from (spaceone|event_service)\.", r"from event_service._gen.\1.", text, flags=re.MULTILINE)
        text = re.sub(
            r"^import ((?:spaceone|event_service)\.[\w.]+) as ",
            r"import event_service._gen.\1 as ",
            text,
            flags=re.MULTILINE,
        )
        path.write_text(text)
    comments = dict(sorted(pair for file in compiled() for pair in file.comments()))
    (target / "comments.json").write_text(json.dumps(comments, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    for folder in [target, *(path for path in target.rglob("*") if path.is_dir())]:
        (folder / "__init__.py").write_text("")


def difference(left: Path, right: Path) -> list[str]:
    """Relative paths that are missing on one side or differ."""
    names = {
        str(path.relative_to(side))
        for side in (left, right)
        for path in side.rglob("*.*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    return sorted(
        name
        for name in names
        if not (left / name).exists()
        or not (right / name).exists()
        or not filecmp.cmp(left / name, right / name, shallow=False)
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 when proto/ and _gen/ differ")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        fresh = Path(folder)
        generate(fresh)
        changed = difference(fresh, TARGET)
        if arguments.check:
            for name in changed:
                print(f"{name} is not what proto/ says: run make proto")
            return 1 if changed else 0
        for name in changed:
            source, destination = fresh / name, TARGET / name
            if source.exists():
                destination.parent.mkdir(parents=True, exist_ok=True)
                destination.write_bytes(source.read_bytes())
            else:
                destination.unlink()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
