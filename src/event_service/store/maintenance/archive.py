"""The backup file: a ZIP of the files that mongodump writes, and a manifest. Reasons: ADR 0013.

    monitoring/event.bson              concatenated documents
    monitoring/event.metadata.json     indexes, as mongorestore reads them
    manifest.json                      versions and counts, written last

`unzip` and `mongorestore` restore it without this service. ZIP has a checksum for each member and its directory at the
end: a truncated or changed archive is refused before anything is restored.
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
_MIN_LENGTH, _MAX_LENGTH = 5, 48 * 1024 * 1024  # bytes of a BSON document; servers allow 16 MiB and 16 KiB
_COMPRESSION = 3  # of 9: nearly the same size in half the time

# Exceptions of zipfile for damaged files, beside BadZipFile: bad streams, impossible offsets, flags and names.
_DAMAGE = (
    zipfile.BadZipFile, zlib.error, struct.error, EOFError, KeyError, ValueError, NotImplementedError, RuntimeError,
    OverflowError,
)  # fmt: skip
_DAMAGED_MEMBER = (*_DAMAGE, OSError)
"""Once the file is open, an OSError means damage too: a negative offset, or a bad sector."""


class ArchiveError(Exception):
    """The file is not a backup that can be restored. The message is one line for the operator."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """Manifest of an archive.

    Attributes:
        database: name of the database.
        service: version of event-service that wrote it.
        schema: schema version of the database; 0 for none.
        made_at: ISO 8601, UTC.
        documents: number of documents by collection.
    """

    database: str
    service: str
    schema: int
    made_at: str
    documents: Mapping[str, int] = field(default_factory=dict)
    format: int = FORMAT


class ArchiveWriter:
    """Writes an archive.

    Args:
        target: a file opened for writing bytes; not necessarily seekable.
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
        """Write a collection.

        Args:
            batches: each of one or more concatenated BSON documents.

        Yields:
            After each batch its number of documents.
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
        """Write the manifest and the ZIP's directory, without which the archive cannot be read."""
        manifest = Manifest(self._database, self._service, self._schema, self._made_at, self._documents)
        self._zip.writestr(_MANIFEST, json.dumps(asdict(manifest), indent=2))
        self._zip.close()
        return manifest


class ArchiveReader:
    """Reads an archive. Use as a context manager.

    Raises:
        ArchiveError: the file is not an archive, or one of a later format.
        OSError: the file cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._zip = zipfile.ZipFile(path)
        except _DAMAGE:
            raise ArchiveError(f"{path} is not a backup, or is truncated") from None
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
        """Yield the documents of a collection as BSON; none if the archive lacks the collection.

        Raises:
            ArchiveError: the archive is damaged.
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
        # A member that was replaced by a valid shorter one passes the checksums of the ZIP.
        if count != self.manifest.documents[collection]:
            raise self._damaged(collection)

    def verify(self) -> None:
        """Read every document.

        Raises:
            ArchiveError: the archive is damaged.
        """
        for collection in self.manifest.documents:
            for _ in self.documents(collection):
                pass

    def _rest(self, member: IO[bytes], head: bytes) -> bytes:
        if len(head) < _LENGTH.size:
            raise EOFError
        (length,) = _LENGTH.unpack(head)
        if not _MIN_LENGTH <= length <= _MAX_LENGTH:
            raise EOFError
        rest = member.read(length - _LENGTH.size)
        if len(rest) < length - _LENGTH.size:
            raise EOFError
        return rest

    def _damaged(self, collection: str) -> ArchiveError:
        return ArchiveError(f"{self._path} is damaged: the collection {collection} is not as it was written")

    def _read_manifest(self) -> Manifest:
        try:
            content = json.loads(self._zip.read(_MANIFEST))
            if int(content["format"]) > FORMAT:
                raise ArchiveError(f"{self._path} was written by a later event-service ({content['service']})")
            return Manifest(
                database=str(content["database"]),
                service=str(content["service"]),
                schema=int(content["schema"]),
                made_at=str(content["made_at"]),
                documents={str(name): int(count) for name, count in content["documents"].items()},
                format=int(content["format"]),
            )
        except (*_DAMAGED_MEMBER, TypeError, AttributeError):
            raise ArchiveError(f"{self._path} is a ZIP file, but not a backup of event-service") from None


def split(documents: bytes) -> Iterator[bytes]:
    """Yield each of concatenated BSON documents."""
    at = 0
    while at < len(documents):
        (length,) = _LENGTH.unpack_from(documents, at)
        yield documents[at : at + length]
        at += length
