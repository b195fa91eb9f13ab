"""Licences of what the service imports, the extra `otel` included: those that Apache-2.0 software may depend on.

The extra `embedded` is a program of its own, under MongoDB's licence.
"""

import re
from importlib.metadata import Distribution, distribution

from packaging.requirements import Requirement

# SPDX identifiers: permissive licences, and MPL-2.0, which covers its own files only.
ALLOWED = {
    "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "MIT", "MIT-0", "MPL-2.0", "PSF-2.0", "Unlicense",
}  # fmt: skip

# Texts of packages without an SPDX expression.
NAMES = {
    "3-Clause BSD License": "BSD-3-Clause",
    "Apache": "Apache-2.0",
    "Apache 2.0": "Apache-2.0",
    "Apache License 2.0": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "BSD License": "BSD-3-Clause",
    "ISC License (ISCL)": "ISC",
    "MIT License": "MIT",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "Python Software Foundation License": "PSF-2.0",
}


def runtime_dependencies() -> dict[str, Distribution]:
    """Return all packages that event-service[otel] needs here, by name."""
    found: dict[str, Distribution] = {}
    waiting = [Requirement("event-service[otel]")]
    while waiting:
        wanted = waiting.pop()
        installed = distribution(wanted.name)
        found[wanted.name] = installed
        for line in installed.requires or ():
            needed = Requirement(line)
            applies = needed.marker is None or any(
                needed.marker.evaluate({"extra": extra}) for extra in ("", *wanted.extras)
            )
            if applies and needed.name not in found:
                waiting.append(needed)
    return found


def licences(package: Distribution) -> set[str]:
    """Return the SPDX identifiers of a package's licence expression, else of its classifiers or licence field."""
    metadata = package.metadata
    if expression := metadata["License-Expression"]:
        return set(re.split(r"\s+(?:AND|OR)\s+|[()]", expression)) - {""}
    classifiers = [text.rsplit(" :: ", 1)[1] for text in metadata.get_all("Classifier") or () if "License ::" in text]
    return {NAMES.get(name, name) for name in classifiers or [metadata["License"] or "unknown"]}


def test_every_runtime_dependency_has_an_allowed_licence() -> None:
    packages = runtime_dependencies()
    assert {"pymongo", "grpcio", "cffi", "opentelemetry-sdk"} <= packages.keys()
    refused = {name: found for name, package in packages.items() if not (found := licences(package)) <= ALLOWED}
    assert refused == {}
