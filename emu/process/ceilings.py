"""Refuses what a process asks for beyond a limit, with the status that Windows would give."""

from __future__ import annotations

from ..limits import LIMITS, Meter
from .winnt import Status, StatusError


class Ceilings(Meter):
    """The meter of a process."""

    def admit(self, name: str, have: int, more: int = 1) -> None:
        """Admit ``more`` of a resource of which the process has ``have``. Raises StatusError, as ``refused`` does."""
        if not self.has_room(name, have, more):
            raise _error(name)

    def refused(self, name: str, asked: int) -> StatusError:
        """Count a refusal, and return the error of the service."""
        self.count_refusal(name, asked)
        return _error(name)


def _error(name: str) -> StatusError:
    return StatusError(Status[LIMITS[name].met.removeprefix("STATUS_")])
