"""The program that the cases were recorded with, which asks them of a running service."""

from pathlib import Path

PROGRAM = Path(__file__).parents[3] / "shared" / "conformance" / "run.py"
"""It is not part of this repository: where it is not beside the checkout, this folder asks the cases by itself."""
