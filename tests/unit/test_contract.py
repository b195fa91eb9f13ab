"""The wire contract: our proto files and SpaceONE's describe the same messages, byte for byte.

Two packages that register the same file under the same path share one descriptor, and clash if a byte differs. So
each side is loaded in a process of its own to be compared, and both together in a third.
"""

import json
import subprocess
import sys
from pathlib import Path

PROTO = Path(__file__).resolve().parents[2] / "proto"
MIRRORED = sorted(path.relative_to(PROTO).as_posix() for path in (PROTO / "spaceone").rglob("*.proto"))
OWN_PREFIX = "event_service._gen."

LOAD = """
import importlib, json, sys
prefix, files = sys.argv[1], json.loads(sys.argv[2])
paths = {name: prefix + name.removesuffix(".proto").replace("/", ".") + "_pb2" for name in files}
found = {name: importlib.import_module(path).DESCRIPTOR.serialized_pb.hex() for name, path in paths.items()}
print(json.dumps(found))
"""

TOGETHER = """
import importlib, json, sys
for name in json.loads(sys.argv[1]):
    for suffix in ("_pb2", "_pb2_grpc"):
        path = name.removesuffix(".proto").replace("/", ".") + suffix
        theirs, ours = importlib.import_module(path), importlib.import_module("event_service._gen." + path)
        assert theirs is not ours
from spaceone.api.monitoring.v1 import event_pb2 as theirs
from event_service._gen.spaceone.api.monitoring.v1 import event_pb2 as ours
sent = theirs.CreateEventRequest(webhook_id="webhook-1", access_key="key", data={"event_key": "cpu", "load": 0.5})
assert ours.CreateEventRequest.FromString(sent.SerializeToString()).data["load"] == 0.5
assert theirs.DESCRIPTOR is ours.DESCRIPTOR
"""


def run_python(source: str, *arguments: str) -> str:
    """Return the output of a new interpreter for `source`."""
    done = subprocess.run([sys.executable, "-c", source, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def descriptors(prefix: str) -> dict[str, str]:
    """Return the serialised FileDescriptorProto (hex) of every mirrored file, from the package below `prefix`."""
    found: dict[str, str] = json.loads(run_python(LOAD, prefix, json.dumps(MIRRORED)))
    return found


def test_mirrored_files_describe_what_spaceone_api_describes() -> None:
    assert len(MIRRORED) == 6
    ours, theirs = descriptors(OWN_PREFIX), descriptors("")
    assert [name for name in MIRRORED if ours[name] != theirs[name]] == []


def test_both_packages_load_in_one_process() -> None:
    run_python(TOGETHER, json.dumps(MIRRORED))
