"""The backup file round-trips, and changed or truncated files are refused."""

import contextlib
import io
import json
import zipfile
from pathlib import Path

import bson
import pytest

from event_service.store.maintenance.archive import ArchiveError, ArchiveReader, ArchiveWriter, split

DOCUMENTS = [bson.encode({"_id": number, "text": "x" * number}) for number in range(50)]


def written(documents: list[bytes] = DOCUMENTS, batch: int = 7) -> bytes:
    target = io.BytesIO()
    archive = ArchiveWriter(target, database="monitoring", service="1.2.3", schema=1)
    batches = [b"".join(documents[at : at + batch]) for at in range(0, len(documents), batch)]
    assert sum(archive.write("event", batches, [{"v": 2, "key": {"_id": 1}, "name": "_id_"}])) == len(documents)
    assert list(archive.write("empty", [])) == []
    archive.close()
    return target.getvalue()


def saved(tmp_path: Path, content: bytes) -> Path:
    path = tmp_path / "backup.zip"
    path.write_bytes(content)
    return path


def test_archive_round_trips(tmp_path: Path) -> None:
    with ArchiveReader(saved(tmp_path, written())) as archive:
        manifest = archive.manifest
        assert (manifest.database, manifest.service, manifest.schema) == ("monitoring", "1.2.3", 1)
        assert manifest.documents == {"event": 50, "empty": 0}
        archive.verify()
        assert list(archive.documents("event")) == DOCUMENTS
        assert list(archive.documents("empty")) == list(archive.documents("absent")) == []


def test_archive_is_a_zip_of_mongodump_files(tmp_path: Path) -> None:
    with zipfile.ZipFile(saved(tmp_path, written())) as archive:
        assert set(archive.namelist()) == {
            "manifest.json",
            *(f"monitoring/{name}" for name in ("event.bson", "event.metadata.json")),
            *(f"monitoring/{name}" for name in ("empty.bson", "empty.metadata.json")),
        }
        assert bson.decode_all(archive.read("monitoring/event.bson")) == [bson.decode(one) for one in DOCUMENTS]
        metadata = json.loads(archive.read("monitoring/event.metadata.json"))
        one = {"$numberInt": "1"}  # canonical extended JSON
        assert metadata["indexes"] == [{"v": {"$numberInt": "2"}, "key": {"_id": one}, "name": "_id_"}]


@pytest.mark.parametrize("keep", [0, 1, 100, -1, -30])
def test_truncated_archive_is_refused(tmp_path: Path, keep: int) -> None:
    with pytest.raises(ArchiveError, match="is not a backup, or is truncated"):
        ArchiveReader(saved(tmp_path, written()[:keep]))


def test_missing_document_is_damage(tmp_path: Path) -> None:
    """A missing document leaves the ZIP itself valid."""
    path = tmp_path / "backup.zip"
    with zipfile.ZipFile(io.BytesIO(written())) as good, zipfile.ZipFile(path, "w") as bad:
        for name in good.namelist():
            content = good.read(name)
            bad.writestr(name, b"".join(DOCUMENTS[1:]) if name == "monitoring/event.bson" else content)
    with ArchiveReader(path) as archive, pytest.raises(ArchiveError, match="damaged: the collection event"):
        archive.verify()


@pytest.mark.parametrize("tail", [b"\x05", b"\x05\0\0", b"\x06\0\0\0\0", b"\xff\xff\xff\x7f", b"\0\0\0\0"])
def test_invalid_bson_is_damage(tmp_path: Path, tail: bytes) -> None:
    path = tmp_path / "backup.zip"
    with zipfile.ZipFile(io.BytesIO(written())) as good, zipfile.ZipFile(path, "w") as bad:
        for name in good.namelist():
            bad.writestr(name, good.read(name) + (tail if name == "monitoring/event.bson" else b""))
    with ArchiveReader(path) as archive, pytest.raises(ArchiveError, match="damaged: the collection event"):
        archive.verify()


@pytest.mark.parametrize("manifest", [None, "", "[]", "{}", '{"format": "x"}', '{"format": 1, "documents": []}'])
def test_other_zip_files_are_refused(tmp_path: Path, manifest: str | None) -> None:
    path = tmp_path / "other.zip"
    with zipfile.ZipFile(path, "w") as other:
        other.writestr("readme.txt", "hello")
        if manifest is not None:
            other.writestr("manifest.json", manifest)
    with pytest.raises(ArchiveError, match="not a backup of event-service"):
        ArchiveReader(path)


def test_later_format_names_the_version_that_wrote_it(tmp_path: Path) -> None:
    path = tmp_path / "later.zip"
    with zipfile.ZipFile(path, "w") as later:
        later.writestr("manifest.json", json.dumps({"format": 2, "service": "9.0"}))
    with pytest.raises(ArchiveError, match=r"later event-service \(9\.0\)"):
        ArchiveReader(path)


WHOLE = written()


@pytest.mark.parametrize("flipped", [0x01, 0x80, 0xFF])
def test_changed_byte_is_damage_or_harmless(tmp_path: Path, flipped: int) -> None:
    for at in range(len(WHOLE)):
        changed = bytearray(WHOLE)
        changed[at] ^= flipped
        with contextlib.suppress(ArchiveError), ArchiveReader(saved(tmp_path, bytes(changed))) as archive:
            archive.verify()
            assert list(archive.documents("event")) == DOCUMENTS, at


def test_split() -> None:
    assert list(split(b"".join(DOCUMENTS))) == DOCUMENTS
    assert list(split(b"")) == []
