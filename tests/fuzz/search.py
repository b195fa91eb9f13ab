"""How long a search is: 200 examples in `make test`, 10,000 in `make fuzz` (HYPOTHESIS_PROFILE=fuzz)."""

import os

from hypothesis import HealthCheck, settings

SEARCH = settings(
    max_examples=10_000 if os.environ.get("HYPOTHESIS_PROFILE") == "fuzz" else 200,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)
