"""How much work the judge does for one file: bytes read, records decoded, checks made, failures described.

A file can name the same bytes many times, so its demands have no bound. The judge asks the budget before it works.
Where the budget ends, it notes what was not judged; then the file is INCOMPLETE, never CONFORMANT. The ceilings grow
with the file. They are far above what a sound file of its size needs.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final, Self

from .model import Unjudged

MAX_EXPANSION: Final = 128 << 20
"""Bytes that a cabinet may expand to, unless the caller says otherwise."""
_BYTES: Final = 1 << 20
"""Bytes that may be read beyond twice the size of the file: what several records share is read once."""
_ROWS: Final = 65_536
_RANGES: Final = 24_576
_CHECKS: Final = 500_000
_FAILURES: Final = 10_000


class Work(StrEnum):
    """A kind of work, as the plural noun that a limit names."""

    BYTES = "bytes"
    RECORDS = "records"
    """Records that make an object each: threads, modules, names, streams."""
    ROWS = "rows"
    """Entries of long lists that are read as arrays: memory regions, handles, times of threads."""
    RANGES = "ranges"
    """Ranges of captured memory, and runs of pages."""
    CHECKS = "checks"
    FAILURES = "failures"

    __hash__ = str.__hash__
    """Enum's own is written in Python, and each list and each rule asks the budget."""


class Budget:
    """The work that is left, and what was not judged because it ended."""

    def __init__(self, size: int, records: int) -> None:
        """``size``: the bytes of the file. ``records``: how many it may have beyond one for each 2 KiB."""
        self._ceilings = {
            Work.BYTES: _BYTES + 2 * size,
            Work.RECORDS: records + size // 2048,
            Work.ROWS: _ROWS + size // 32,
            Work.RANGES: _RANGES + size // 1024,
            Work.CHECKS: _CHECKS + size // 32,
            Work.FAILURES: _FAILURES,
        }
        self._left = dict(self._ceilings)
        self._unjudged: dict[tuple[str, str], Unjudged] = {}

    def __copy__(self) -> Self:
        """A copy that is spent by itself."""
        made = type(self).__new__(type(self))
        made._ceilings, made._left, made._unjudged = self._ceilings, dict(self._left), dict(self._unjudged)
        return made

    def grant(self, work: Work, wanted: int, subject: str, judged: int = 0) -> int:
        """How much of ``wanted`` may be done. Notes the rest as not judged.

        ``subject`` names a list, not an entry. ``judged`` is how much of it was granted by earlier calls.
        """
        left = self._left[work]
        granted = min(max(wanted, 0), left)
        self._left[work] = left - granted
        if granted < wanted:
            self._note(subject, self.limit(work), judged + granted, wanted - granted)
        return granted

    def spend(self, work: Work, done: int) -> None:
        """Count work that was done, which may be more than was left."""
        self._left[work] = max(self._left[work] - done, 0)

    def limit(self, work: Work) -> str:
        """The limit on ``work`` as text: ``at most 9000 records``."""
        return f"at most {self._ceilings[work]} {work}"

    def left(self, work: Work) -> int:
        """How much of ``work`` may still be done."""
        return self._left[work]

    def leave(self, subject: str, limit: str, judged: int, present: int | None) -> None:
        """Note that only ``judged`` of ``present`` parts of ``subject`` are judged, because of a limit of the caller's.

        ``limit`` is text such as ``at most 4096 streams``. ``present`` is None if it is not known.
        """
        self._note(subject, limit, judged, None if present is None else present - judged)

    def _note(self, subject: str, limit: str, judged: int, left: int | None) -> None:
        before = self._unjudged.get((subject, limit))
        if before is not None and before.left is not None and left is not None:
            judged, left = max(judged, before.judged), left + before.left
        self._unjudged[subject, limit] = Unjudged(subject, limit, judged, left)

    @property
    def notes(self) -> int:
        """How many parts were not judged."""
        return len(self._unjudged)

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
