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
_SEARCHED: Final = 0x10000
"""Bytes. How much of the memory is searched for a sample."""
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
    place, sample = next(_samples(contents, runs), (0, b""))
    if not sample:
        return 0
    shifts = sorted(_shifts(source, place, sample), key=abs)[:_CANDIDATES]
    return next((shift for shift in shifts if _all_shifted(source, contents, runs, shift)), 0)


def _samples(contents: ByteSource, runs: Sequence[Placed]) -> Iterator[tuple[int, bytes]]:
    """Memory with enough different bytes that it is found in one place: where the dump places it, and its bytes."""
    left = _SEARCHED
    for run in runs:
        found = bytes(contents.read(run.there, min(run.size, left)))
        for at in range(0, len(found) - _SAMPLE + 1, _SAMPLE):
            if len(set(found[at : at + _SAMPLE])) >= _DISTINCT:
                yield run.place + at, found[at : at + _SAMPLE]
        left -= len(found)
        if not left:
            return


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
