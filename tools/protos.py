"""Locations of the proto files and their imports, for the tools that compile them."""

from pathlib import Path

import google.api
import grpc_tools

ROOT = Path(__file__).resolve().parent.parent
PROTO = ROOT / "proto"


def include_arguments() -> list[str]:
    """Return protoc's -I arguments: proto/, the installed googleapis-common-protos, google.protobuf's files."""
    googleapis = Path(next(iter(google.api.__path__))).parent.parent
    well_known = Path(next(iter(grpc_tools.__path__))) / "_proto"
    return [f"-I{PROTO}", f"-I{googleapis}", f"-I{well_known}"]


def proto_files() -> list[str]:
    """Return every proto file of ours, by its import path."""
    return sorted(path.relative_to(PROTO).as_posix() for path in PROTO.rglob("*.proto"))
