"""The limits of a reply's size."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TypeVar

from event_service.errors import TooLarge

Row = TypeVar("Row")

PAGE_FACTOR = 4
"""A page whose limit the caller chose may be this many times as large as one without a limit."""


@dataclass(frozen=True, slots=True)
class ReplyLimit:
    """The limits of a list and of a stat.

    Attributes:
        rows: of a list without a limit.
        size: bytes of a list without a limit, and of a stat. By default gRPC clients accept messages of 4 MiB.
    """

    rows: int = 1000
    size: int = 4 * 1024 * 1024

    def page(self, rows: Iterable[Row], limit: int | None, size_of: Callable[[Row], int]) -> tuple[list[Row], bool]:
        """Return the rows of a page, and whether these limits cut it. The first row is returned whatever its size.

        Args:
            rows: at most `limit`, or one more than `self.rows`, which shows whether the page is cut.
            limit: the caller's; None if it has none.

        Raises:
            TooLarge: the caller's limit makes a page of more than PAGE_FACTOR times `size`.
        """
        page: list[Row] = []
        size = 0
        for row in rows:
            size += size_of(row)
            if limit:
                if page and size > self.size * PAGE_FACTOR:
                    problem = f"the rows exceed {self.size * PAGE_FACTOR} bytes: ask for fewer, or use `only`"
                    raise TooLarge.at("query.page.limit", problem)
            elif len(page) == self.rows or (page and size > self.size):
                return page, True
            page.append(row)
        return page, False


DEFAULT_LIMIT = ReplyLimit()
