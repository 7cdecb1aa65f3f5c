"""Finds that the memory of a dump is the target's, but stands at another file offset than the dump says."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from ..memory.page_compare import differing
from ..memory.source import ByteSource
from ..model import Span
from ..rule import Check, bad

_REACH: Final = 0x10000
"""Bytes. The farthest shift that is looked for."""
_CANDIDATES: Final = 16
"""Shifts that are tried, the shortest first."""
_SAMPLE: Final = 64
"""Bytes that are looked for."""
_DISTINCT: Final = 6
"""Different values that a sample needs. Zeros are found anywhere."""


@dataclass(frozen=True, slots=True)
class Placed:
    """Memory of the target: where the dump places it, and where the truth has it."""

    place: int
    """File offset."""
    there: int
    """Offset in the truth's memory."""
    size: int
    address: int


def shift_of(source: ByteSource, contents: ByteSource, runs: Sequence[Placed]) -> int:
    """The number of bytes by which all of ``runs`` stand too late in the file; negative if too early, 0 if neither."""
    for run in runs:
        for at in range(0, run.size - _SAMPLE + 1, _SAMPLE):
            sample = bytes(contents.read(run.there + at, _SAMPLE))
            if len(set(sample)) < _DISTINCT:
                continue
            shifts = sorted(_shifts(source, run.place + at, sample), key=abs)[:_CANDIDATES]
            return next((shift for shift in shifts if _all_shifted(source, contents, runs, shift)), 0)
    return 0


def _shifts(source: ByteSource, place: int, sample: bytes) -> Iterator[int]:
    """How far from ``place`` the sample stands, for each place near it but this one."""
    low = max(place - _REACH, 0)
    near = bytes(source.read(low, min(place + _REACH + _SAMPLE, source.size) - low))
    found = near.find(sample)
    while found >= 0:
        if low + found != place:
            yield low + found - place
        found = near.find(sample, found + 1)


def _all_shifted(source: ByteSource, contents: ByteSource, runs: Sequence[Placed], shift: int) -> bool:
    """Whether every run stands there, as far as the file goes."""
    for run in runs:
        start = max(run.place + shift, 0)
        skipped = start - run.place - shift
        size = min(run.size - skipped, source.size - start)
        if size > 0 and any(differing(contents, run.there + skipped, source, start, size)):
            return False
    return True


def shifted(first: Placed, shift: int) -> Check:
    """The one finding for memory that is shifted from ``first`` on."""
    where = Span(first.place, first.place + first.size)
    actual = f"the target's bytes, shifted by {shift} bytes: those of this address stand at {first.place + shift:#x}"
    return bad(
        f"memory {first.address:#x} and all that follows in the file", f"its bytes at {first.place:#x}", actual, where
    )
