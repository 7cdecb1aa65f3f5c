"""How much work the judge does for one file: bytes read, records decoded, checks made, failures described.

A file can name the same bytes many times, so its demands have no bound. The judge asks the budget before it works.
Where the budget ends, it notes what was not judged; then the file is INCOMPLETE, never CONFORMANT. The ceilings grow
with the file. They are far above what a sound file of its size needs.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final, Self

from .memory.page import PAGE_SIZE
from .model import Unjudged

_BYTES: Final = 1 << 20
"""Bytes that may be read beyond twice the size of the file: what several records share is read once."""
_CHECKS: Final = 1_000_000
_FAILURES: Final = 10_000


class Work(StrEnum):
    """A kind of work, as the plural noun that a limit names."""

    BYTES = "bytes"
    RECORDS = "records"
    CHECKS = "checks"
    FAILURES = "failures"


class Budget:
    """The work that is left, and what was not judged because it ended."""

    def __init__(self, size: int, records: int) -> None:
        """``size``: the bytes of the file. ``records``: how many it may have beyond one for each of its pages."""
        pages = size // PAGE_SIZE
        self._ceilings = {
            Work.BYTES: _BYTES + 2 * size,
            Work.RECORDS: records + pages,
            Work.CHECKS: _CHECKS + 16 * pages,
            Work.FAILURES: _FAILURES,
        }
        self._left = dict(self._ceilings)
        self._judged: dict[tuple[str, Work], int] = {}
        self._unjudged: dict[tuple[str, str], Unjudged] = {}

    def __copy__(self) -> Self:
        """A copy that is spent by itself."""
        made = type(self).__new__(type(self))
        made._ceilings, made._left = self._ceilings, dict(self._left)
        made._judged, made._unjudged = dict(self._judged), dict(self._unjudged)
        return made

    def grant(self, work: Work, wanted: int, subject: str) -> int:
        """How much of ``wanted`` may be done. Notes the rest as not judged. ``subject`` names a list, not an entry."""
        granted = min(max(wanted, 0), self._left[work])
        self._left[work] -= granted
        judged = self._judged[subject, work] = self._judged.get((subject, work), 0) + granted
        if granted < wanted:
            self._note(subject, f"at most {self._ceilings[work]} {work}", judged, wanted - granted)
        return granted

    def leave(self, subject: str, limit: str, judged: int, present: int | None) -> None:
        """Note that only ``judged`` of ``present`` parts of ``subject`` are judged, because of a limit of the caller's.

        ``limit`` is text such as ``at most 4096 streams``. ``present`` is None if it is not known.
        """
        self._note(subject, limit, judged, None if present is None else present - judged)

    def _note(self, subject: str, limit: str, judged: int, left: int | None) -> None:
        before = self._unjudged.get((subject, limit))
        if before is not None and before.left is not None and left is not None:
            left += before.left
        self._unjudged[subject, limit] = Unjudged(subject, limit, judged, left)

    @property
    def ended(self) -> bool:
        """Whether something was not judged."""
        return bool(self._unjudged)

    @property
    def unjudged(self) -> tuple[Unjudged, ...]:
        """What was not judged, in the order of its discovery."""
        return tuple(self._unjudged.values())

    def spent(self, work: Work) -> int:
        """How much of ``work`` was done."""
        return self._ceilings[work] - self._left[work]
