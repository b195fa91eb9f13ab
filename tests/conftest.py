"""What every test of the project shares."""

pytest_plugins = ["pytester", "tests.skips"]

LONGEST_ID = 60


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Long, binary and compound parameters are named by their place: made anew in each process, they would have other
    names in each, and pytest-xdist would refuse to share them out.
    """
    if isinstance(val, bytes | dict | list) or (isinstance(val, str) and len(val) > LONGEST_ID):
        return argname
    return None
