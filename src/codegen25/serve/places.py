"""How many answers a model owes at once. One over the bound is refused, not queued."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from codegen25.errors import UserError
from codegen25.sample.request import BusyError


class Places:
    """Of one event loop: nothing comes between looking whether there is room and taking it."""

    def __init__(self, count: int) -> None:
        self.count, self.taken = count, 0

    @contextmanager
    def held(self, wanted: int) -> Iterator[None]:
        """Hold places within the block.

        A BusyError when there are not so many now, a UserError when there never will be.
        """
        if wanted > self.count:
            raise UserError(
                f"{wanted} answers are wanted at once; this server has {self.count} places for "
                "those it writes and those that wait (--queue): ask for fewer"
            )
        if self.taken + wanted > self.count:
            raise BusyError(f"{self.taken} answers are under way or waiting; ask again in a second")
        self.taken += wanted
        try:
            yield
        finally:
            self.taken -= wanted
