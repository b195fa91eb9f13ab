"""The skip gate: every skipped test is named, and in CI an unexplained one fails the run."""

import pytest

from tests import skips

INNER = """
import pytest

def test_runs():
    pass

@pytest.mark.skip(reason="no such tool here")
def test_tool():
    pass
"""


@pytest.fixture
def inner_run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch):
    """Run a file with one passing and one skipped test under the gate, with these lines in allowed_skips.txt."""
    pytester.makepyfile(test_inner=INNER)

    def run(allowed: str, ci: str) -> pytest.RunResult:
        path = pytester.path / "allowed_skips.txt"
        path.write_text(allowed)
        monkeypatch.setattr(skips, "ALLOWED_FILE", path)
        monkeypatch.setenv("CI", ci)
        return pytester.runpytest_inprocess("-p", "tests.skips", "-p", "no:cacheprovider", "-p", "no:asyncio")

    return run


def test_an_unexplained_skip_fails_in_ci_and_is_named(inner_run) -> None:
    result = inner_run("# nothing\n", ci="true")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    named = "test_inner.py::test_tool: no such tool here (NOT IN*"
    result.stdout.fnmatch_lines(["*skipped tests: 1*", named, "*1 passed, 1 skipped*"])


def test_an_unexplained_skip_only_shows_elsewhere(inner_run) -> None:
    assert inner_run("", ci="").ret == pytest.ExitCode.OK


def test_an_explained_skip_passes(inner_run) -> None:
    result = inner_run("test_inner.py::test_t* | the tool is not packaged everywhere\n", ci="true")
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(["test_inner.py::test_tool: no such tool here"])


def test_a_line_without_a_reason_is_refused() -> None:
    with pytest.raises(ValueError, match="no reason"):
        skips.read_allowed("tests/unit/test_x.py::test_y\n")
