"""Sets of page frame numbers (PFNs). A machine of 64 GiB has 16 million pages in a few dozen runs."""

from __future__ import annotations

from .intervals import RangeSet, inside, minus


class PageSet(RangeSet):
    """An immutable set of PFNs: physical addresses divided by 4096."""

    __slots__ = ()

    @property
    def total(self) -> int:
        """The number of pages. ``len`` cannot return it, because a dump may name more than 2^63 pages."""
        return sum(end - start for start, end in self.runs)

    def __bool__(self) -> bool:
        return bool(self.runs)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PageSet) and self.runs == other.runs

    def __hash__(self) -> int:
        return hash(tuple(self.runs))

    def __repr__(self) -> str:
        shown = ", ".join(f"{start:#x}..{end:#x}" for start, end in self.runs[:4])
        return f"<PageSet {shown}{' ...' if len(self.runs) > 4 else ''}>"

    def __or__(self, other: PageSet) -> PageSet:
        return PageSet([*self.runs, *other.runs])

    def __and__(self, other: PageSet) -> PageSet:
        return PageSet(part for start, end in self.runs for part in inside(other.runs, start, end))

    def __sub__(self, other: PageSet) -> PageSet:
        return PageSet(minus(self.runs, other.runs))
