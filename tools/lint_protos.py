"""Lints proto/ with buf under the rules of proto/buf.yaml: `make lint`.

buf would fetch google/api from its registry. Instead protoc compiles everything against the installed
googleapis-common-protos into one image with the comments in it, and buf looks at ours in that.
"""

import subprocess
import sys
import tempfile
from pathlib import Path

from grpc_tools import protoc
from protos import PROTO, include_arguments, proto_files


def main() -> int:
    buf = Path(sys.executable).with_name("buf")
    files = proto_files()
    with tempfile.TemporaryDirectory() as folder:
        image = Path(folder) / "image.binpb"
        status = protoc.main(
            ["protoc", *include_arguments(), "--include_imports", "--include_source_info",
             f"--descriptor_set_out={image}", *files]
        )  # fmt: skip
        if status:
            return int(status)
        # Only the top folders of our files: what they import is not ours to judge.
        folders = sorted({name.split("/", 1)[0] for name in files})
        paths = [argument for name in folders for argument in ("--path", name)]
        return subprocess.run([buf, "lint", image, "--config", PROTO / "buf.yaml", *paths], check=False).returncode


if __name__ == "__main__":
    raise SystemExit(main())
