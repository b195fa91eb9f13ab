"""Writes docs/api.md from the comments of proto/: `make docs`. With --check: only compares."""

import argparse
import re
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from google.api import annotations_pb2
from google.protobuf import descriptor_pb2
from grpc_tools import protoc
from protos import ROOT, include_arguments, proto_files

TARGET = ROOT / "docs" / "api.md"

HEADER = """# API reference

<!-- written by `make docs` from the comments of proto/; change those -->

Services are asked over gRPC, and, where an HTTP line says so, by JSON over HTTP too, sent with
`Content-Type: application/json` (`/openapi.json` describes that). The server describes itself by reflection:
`grpcurl -plaintext 127.0.0.1:50051 list`. What errors mean is in [errors.md](errors.md).

"""

# Field numbers of descriptor.proto, as SourceCodeInfo's paths name them.
_MESSAGES, _ENUMS, _SERVICES = 4, 5, 6
_FIELDS, _NESTED, _NESTED_ENUMS, _METHODS, _VALUES = 2, 3, 4, 2, 2

_Path = tuple[int, ...]
_Type = descriptor_pb2.FieldDescriptorProto


class File:
    """A proto file with the comments in front of its parts."""

    def __init__(self, described: descriptor_pb2.FileDescriptorProto) -> None:
        self.described = described
        self._comments: dict[_Path, str] = {
            tuple(location.path): location.leading_comments for location in described.source_code_info.location
        }

    def comment(self, path: _Path) -> str:
        """Return its paragraphs, each on one line."""
        written = self._comments.get(path, "").strip()
        paragraphs = re.split(r"\n\s*\n", written)
        return "\n\n".join(" ".join(line.strip() for line in paragraph.splitlines()) for paragraph in paragraphs)

    def services(self) -> Iterator[str]:
        """Yield each service as Markdown."""
        for index, service in enumerate(self.described.service):
            name = f"{self.described.package}.{service.name}"
            yield f"## {name}\n\n{self.comment((_SERVICES, index))}\n\n"
            for number, method in enumerate(service.method):
                yield f"### {service.name}.{method.name}\n\n"
                request = f"{'stream ' * method.client_streaming}{linked(method.input_type)}"
                reply = f"{'stream ' * method.server_streaming}{linked(method.output_type)}"
                yield f"{request} → {reply}\n\n"
                rule = method.options.Extensions[annotations_pb2.http]
                if rule.post:
                    yield f"HTTP: `POST {rule.post}`\n\n"
                yield f"{self.comment((_SERVICES, index, _METHODS, number))}\n\n"

    def messages(self) -> Iterator[str]:
        """Yield each message and enumeration as Markdown, those inside of others behind them."""
        for index, message in enumerate(self.described.message_type):
            yield from self._message(message, f"{self.described.package}.{message.name}", (_MESSAGES, index))
        for index, enumeration in enumerate(self.described.enum_type):
            yield from self._enumeration(enumeration, f"{self.described.package}.{enumeration.name}", (_ENUMS, index))

    def _message(self, message: descriptor_pb2.DescriptorProto, name: str, path: _Path) -> Iterator[str]:
        if message.options.map_entry:
            return
        yield f"### {name}\n\n{self.comment(path)}\n\n"
        if message.field:
            yield "| field | type | what it is |\n|---|---|---|\n"
        for index, field in enumerate(message.field):
            about = self.comment((*path, _FIELDS, index)).replace("|", "\\|").replace("\n\n", " ")
            yield f"| `{field.name}` | {type_of(field, message)} | {about} |\n"
        yield "\n" if message.field else ""
        for index, nested in enumerate(message.nested_type):
            yield from self._message(nested, f"{name}.{nested.name}", (*path, _NESTED, index))
        for index, enumeration in enumerate(message.enum_type):
            yield from self._enumeration(enumeration, f"{name}.{enumeration.name}", (*path, _NESTED_ENUMS, index))

    def _enumeration(self, enumeration: descriptor_pb2.EnumDescriptorProto, name: str, path: _Path) -> Iterator[str]:
        yield f"### {name}\n\n{self.comment(path)}\n\n| value | what it means |\n|---|---|\n"
        for index, value in enumerate(enumeration.value):
            yield f"| `{value.name}` | {self.comment((*path, _VALUES, index))} |\n"
        yield "\n"

    def comments(self) -> Iterator[tuple[str, str]]:
        """Yield the full name and the comment of each method, message and field."""
        package = self.described.package
        for index, service in enumerate(self.described.service):
            for number, method in enumerate(service.method):
                path = (_SERVICES, index, _METHODS, number)
                yield f"{package}.{service.name}.{method.name}", self.comment(path)
        for index, message in enumerate(self.described.message_type):
            yield from self._message_comments(message, f"{package}.{message.name}", (_MESSAGES, index))

    def _message_comments(
        self, message: descriptor_pb2.DescriptorProto, name: str, path: _Path
    ) -> Iterator[tuple[str, str]]:
        if message.options.map_entry:
            return
        yield name, self.comment(path)
        for number, field in enumerate(message.field):
            yield f"{name}.{field.name}", self.comment((*path, _FIELDS, number))
        for number, nested in enumerate(message.nested_type):
            yield from self._message_comments(nested, f"{name}.{nested.name}", (*path, _NESTED, number))


def type_of(field: descriptor_pb2.FieldDescriptorProto, message: descriptor_pb2.DescriptorProto) -> str:
    """Return the notation of a field's type."""
    entries = {nested.name: nested for nested in message.nested_type if nested.options.map_entry}
    entry = entries.get(field.type_name.rpartition(".")[2])
    if entry is not None:
        key, value = (type_of(part, message) for part in entry.field)
        return f"map of {key} to {value}"
    scalar = _Type.Type.Name(field.type).removeprefix("TYPE_").lower()
    name = linked(field.type_name) if field.type_name else scalar
    return f"list of {name}" if field.label == _Type.LABEL_REPEATED else name


def linked(type_name: str) -> str:
    """A link to a message of ours, or the name of another's."""
    name = type_name.lstrip(".")
    short = name.rpartition(".")[2]
    if name.startswith("google."):
        return f"`{name}`"
    return f"[{short}](#{name.replace('.', '').lower()})"


def compiled() -> list[File]:
    """Our proto files with their comments, the services' own contract first."""
    with tempfile.TemporaryDirectory() as folder:
        image = Path(folder) / "image.binpb"
        status = protoc.main(
            ["protoc", *include_arguments(), "--include_source_info", f"--descriptor_set_out={image}", *proto_files()]
        )
        if status:
            raise SystemExit(f"protoc ended with status {status}")
        described = descriptor_pb2.FileDescriptorSet.FromString(image.read_bytes())
    by_name = {file.name: File(file) for file in described.file}
    return [by_name[name] for name in sorted(by_name, key=_rank)]


def _rank(name: str) -> tuple[int, str]:
    order: Sequence[str] = ("spaceone/api/monitoring/v1/", "event_service/", "spaceone/api/core/", "spaceone/")
    return next(number for number, start in enumerate(order) if name.startswith(start)), name


def reference() -> str:
    """Return the whole document."""
    files = compiled()
    services = "".join(part for file in files for part in file.services())
    messages = "".join(part for file in files for part in file.messages())
    return f"{HEADER}# Services\n\n{services}# Messages\n\n{messages}".rstrip() + "\n"


def uncommented() -> list[str]:
    """Parts of the contract that say nothing about themselves."""
    text = reference()
    parts = re.findall(r"^###? ([\w.]+)\n\n\n", text, re.MULTILINE)
    rows = re.findall(r"^\| `(\w+)` \|(?: .* \|)? {1,2}\|$", text, re.MULTILINE)
    return [f"proto/: {name} has no comment" for name in (*parts, *rows)]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 when docs/api.md is out of date")
    arguments = parser.parse_args()
    if faults := uncommented():
        print("\n".join(faults))
        return 1
    text = reference()
    if arguments.check:
        if TARGET.exists() and TARGET.read_text(encoding="utf-8") == text:
            return 0
        print("docs/api.md is not what proto/ says: run make docs")
        return 1
    TARGET.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
