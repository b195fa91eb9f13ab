"""Length of a search: 40 examples in `make test`, 10,000 in `make fuzz` (HYPOTHESIS_PROFILE=fuzz); 20 and 2,000 if each
is a call to a running service.
"""

import os

from hypothesis import HealthCheck, settings

IS_LONG = os.environ.get("HYPOTHESIS_PROFILE") == "fuzz"

_UNHEALTHY = [
    HealthCheck.too_slow,
    HealthCheck.data_too_large,
    HealthCheck.filter_too_much,
    HealthCheck.function_scoped_fixture,
]

SEARCH = settings(max_examples=10_000 if IS_LONG else settings.default.max_examples, suppress_health_check=_UNHEALTHY)
CALLS = settings(max_examples=2000 if IS_LONG else 20, suppress_health_check=_UNHEALTHY)

SECONDS = int(os.environ.get("EVENT_SERVICE_FUZZ_SECONDS", "1"))
"""Run time of each coverage-guided target."""
