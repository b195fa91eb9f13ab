"""The backup's file: a ZIP of what mongodump writes, a BSON file and its indexes per collection, and a manifest.

    monitoring/event.bson              the documents, one after the other
    monitoring/event.metadata.json     its indexes, as mongorestore reads them
    manifest.json                      what the archive holds, written last

Laid out so, `unzip` and `mongorestore` can restore it without this service. ZIP has a checksum for each member and its
directory at the end: an archive that was cut off or changed is noticed before anything is restored.
"""

import json
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from bson import json_util

from event_service.wire.timestamps import format_timestamp

FORMAT = 1

_MANIFEST = "manifest.json"
_LENGTH = struct.Struct("<i")
_SMALLEST, _LARGEST = 5, 48 * 1024 * 1024  # bytes of a BSON document; servers allow 16 MiB and a little
_COMPRESSION = 3  # of 9: documents shrink to nearly the same, in half the time

# What zipfile makes of a damaged file, beside its own BadZipFile: bad streams, impossible offsets, flags and names.
_DAMAGE = (
    zipfile.BadZipFile, zlib.error, struct.error, EOFError, KeyError, ValueError, NotImplementedError, RuntimeError,
    OverflowError,
)  # fmt: skip
_DAMAGED_MEMBER = (*_DAMAGE, OSError)
"""The file could be opened, so an OSError speaks of its content: an offset before its beginning, or a bad sector."""


class ArchiveError(Exception):
    """The file is no backup that can be restored; the text is one line for the operator."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What an archive holds.

    Attributes:
        database: the name of the database it was made of.
        service: version of event-service that made it.
        schema: schema version of the database; 0 where it had none.
        made_at: ISO 8601, UTC.
        documents: how many of each collection.
    """

    database: str
    service: str
    schema: int
    made_at: str
    documents: Mapping[str, int] = field(default_factory=dict)
    format: int = FORMAT


class ArchiveWriter:
    """Writes an archive; `close` ends it.

    Args:
        target: a file opened for writing bytes. It need not be seekable.
    """

    def __init__(self, target: IO[bytes], *, database: str, service: str, schema: int) -> None:
        self._zip = zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=_COMPRESSION)
        self._database = database
        self._service = service
        self._schema = schema
        self._made_at = format_timestamp(datetime.now(UTC))
        self._documents: dict[str, int] = {}

    def write(
        self, collection: str, batches: Iterable[bytes], indexes: Sequence[Mapping[str, Any]] = ()
    ) -> Iterator[int]:
        """Writes a collection.

        Args:
            batches: whole BSON documents, one or more after the other.

        Yields:
            After each batch how many documents it held.
        """
        count = 0
        with self._zip.open(f"{self._database}/{collection}.bson", "w", force_zip64=True) as member:
            for batch in batches:
                member.write(batch)
                held = sum(1 for _ in split(batch))
                count += held
                yield held
        metadata = {"options": {}, "indexes": list(indexes), "collectionName": collection, "type": "collection"}
        written = json_util.dumps(metadata, json_options=json_util.CANONICAL_JSON_OPTIONS)
        self._zip.writestr(f"{self._database}/{collection}.metadata.json", written)
        self._documents[collection] = count

    def close(self) -> Manifest:
        """Writes the manifest and the ZIP's directory. Without it the archive is none."""
        manifest = Manifest(self._database, self._service, self._schema, self._made_at, self._documents)
        self._zip.writestr(_MANIFEST, json.dumps(asdict(manifest), indent=2))
        self._zip.close()
        return manifest


class ArchiveReader:
    """Reads an archive. Use as a context manager.

    Raises:
        ArchiveError: it is none, or one of a later format.
        OSError: it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._zip = zipfile.ZipFile(path)
        except _DAMAGE:
            raise ArchiveError(f"{path} is no backup, or was cut off") from None
        try:
            self.manifest = self._read_manifest()
        except BaseException:
            self._zip.close()
            raise

    def __enter__(self) -> "ArchiveReader":
        return self

    def __exit__(self, *_: object) -> None:
        self._zip.close()

    def documents(self, collection: str) -> Iterator[bytes]:
        """The documents of a collection as BSON; none where the archive has no such collection.

        Raises:
            ArchiveError: it was changed since it was made.
        """
        if collection not in self.manifest.documents:
            return
        count = 0
        try:
            with self._zip.open(f"{self.manifest.database}/{collection}.bson") as member:
                while head := member.read(_LENGTH.size):
                    count += 1
                    yield head + self._rest(member, head)
        except _DAMAGED_MEMBER:
            raise self._damaged(collection) from None
        if count != self.manifest.documents[collection]:
            raise self._damaged(collection)

    def verify(self) -> None:
        """Reads all of it.

        Raises:
            ArchiveError: it was changed since it was made.
        """
        for collection in self.manifest.documents:
            for _ in self.documents(collection):
                pass

    def _rest(self, member: IO[bytes], head: bytes) -> bytes:
        if len(head) < _LENGTH.size:
            raise EOFError
        (length,) = _LENGTH.unpack(head)
        if not _SMALLEST <= length <= _LARGEST:
            raise EOFError
        rest = member.read(length - _LENGTH.size)
        if len(rest) < length - _LENGTH.size:
            raise EOFError
        return rest

    def _damaged(self, collection: str) -> ArchiveError:
        return ArchiveError(f"{self._path} is damaged: {collection} is not as it was written")

    def _read_manifest(self) -> Manifest:
        try:
            content = json.loads(self._zip.read(_MANIFEST))
            if int(content["format"]) > FORMAT:
                raise ArchiveError(f"{self._path} was made by a later event-service ({content['service']})")
            return Manifest(
                database=str(content["database"]),
                service=str(content["service"]),
                schema=int(content["schema"]),
                made_at=str(content["made_at"]),
                documents={str(name): int(count) for name, count in content["documents"].items()},
                format=int(content["format"]),
            )
        except (*_DAMAGED_MEMBER, TypeError, AttributeError):
            raise ArchiveError(f"{self._path} is a ZIP file, but no backup of event-service") from None


def split(documents: bytes) -> Iterator[bytes]:
    """BSON documents that stand one after the other."""
    at = 0
    while at < len(documents):
        (length,) = _LENGTH.unpack_from(documents, at)
        yield documents[at : at + length]
        at += length
