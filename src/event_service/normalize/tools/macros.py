"""Names of the macros of Nagios and its kin, and of Monit's variables, in any spelling.

Source: https://assets.nagios.com/downloads/nagioscore/docs/nagioscore/4/en/macrolist.html
"""

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

_PREFIX = re.compile(r"(?:nagios|icinga2?|naemon|notify|monit)(?=.)")
_LONGEST = 60  # characters; longer names are no macro, and would fill the cache


@lru_cache(maxsize=4096)
def _bare(name: str) -> str:
    written = "".join(filter(str.isalnum, name.lower()))
    return _PREFIX.sub("", written, count=1) if _PREFIX.match(written) else written


def bare_name(name: str) -> str:
    """Return a name without prefix and punctuation: NAGIOS_HOSTNAME, `$HOSTNAME$` and hostName become `hostname`."""
    return _bare(name) if len(name) <= _LONGEST else name


def by_bare_name(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields by bare name. A macro that the tool did not expand is no value."""
    found: dict[str, Any] = {}
    for name, value in body.items():
        is_macro = isinstance(value, str) and len(value) > 2 and value[0] == "$" == value[-1]
        if value not in (None, "") and not is_macro:
            found.setdefault(bare_name(name), value)
    return found
