"""Content of the wheel and the source distribution. tests/e2e/test_dockerfile.py installs a wheel and serves."""

import subprocess
import sys
import tarfile
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with both, as `make dist` builds them."""
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run([sys.executable, "-m", "hatchling", "build", "--directory", folder], cwd=CHECKOUT, check=True)
    return folder


@pytest.mark.xdist_group("packaging")
def test_wheel(dist: Path) -> None:
    (wheel,) = dist.glob("*.whl")
    assert wheel.name.endswith("-py3-none-any.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        metadata_name = next(name for name in names if name.endswith(".dist-info/METADATA"))
        metadata = Parser().parsestr(archive.read(metadata_name).decode())
    assert "event_service/py.typed" in names
    assert "event_service/_gen/spaceone/api/monitoring/v1/event_pb2.py" in names
    assert {f"event_service/http/console/assets/{name}" for name in ("htmx.min.js", "sse.min.js", "README.md")} <= {
        *names
    }
    assert {name.split("/")[0].split("-")[0] for name in names} == {"event_service"}
    assert not [name for name in names if "__pycache__" in name]
    assert "embedded" in metadata.get_all("Provides-Extra", [])
    needed = [line for line in metadata.get_all("Requires-Dist", []) if "extra ==" not in line]
    assert not [line for line in needed if "fiftyone" in line.lower()], "mongod is SSPL and must stay an extra"
    assert metadata["License-Expression"] == "Apache-2.0"


@pytest.mark.xdist_group("packaging")
def test_source_distribution(dist: Path) -> None:
    (source,) = dist.glob("*.tar.gz")
    with tarfile.open(source) as archive:
        names = {name.split("/", 1)[1] for name in archive.getnames() if "/" in name}
    assert {"pyproject.toml", "Makefile", "constraints.txt", "README.md", "LICENSE"} <= names
    assert "proto/spaceone/api/monitoring/v1/event.proto" in names
    assert not [name for name in names if name.startswith((".venv", ".tools", ".make"))]
