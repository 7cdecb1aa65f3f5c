"""The clauses for full memory and private memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ..memory.intervals import inside
from ..truth.region import COMMIT, GUARD, PRIVATE
from .flags import Format, ignores_inaccessible
from .pieces import Piece
from .writers import Writing

if TYPE_CHECKING:
    from ..truth.process import RegionTruth


def _is_torn(writing: Writing, region: RegionTruth) -> bool:
    """Whether pages of the region cannot be read, and the writer ignores that."""
    holes = [(hole.start, hole.end) for hole in writing.truth.unreadable]
    return ignores_inaccessible(writing.flags) and any(inside(holes, region.base, region.end))


def full_memory(writing: Writing) -> Iterator[Piece]:
    """All readable regions. Of a torn region, what lies before the first hole if partial pages are scanned."""
    for region in writing.truth.regions:
        if not region.readable:
            continue
        name = f"readable region {region.base:#x}"
        if not _is_torn(writing, region):
            yield Piece(region.base, region.end, name)
        elif writing.writer.drops_torn_regions and writing.flags & Format.SCAN_PARTIAL_PAGES:
            head = next(writing.truth.readable_runs(region.base, region.end), None)
            if head is not None and head[0] == region.base:
                yield Piece(region.base, region.base + head[1], f"head of the {name}")


def torn_regions(writing: Writing) -> Iterator[Piece]:
    """Regions with unreadable pages, by a writer of which nobody measured what it leaves out."""
    if not writing.writer.drops_torn_regions:
        for region in writing.truth.regions:
            if region.readable and _is_torn(writing, region):
                yield Piece(region.base, region.end, f"readable region {region.base:#x}")


def _private(writing: Writing) -> Iterator[RegionTruth]:
    for region in writing.truth.regions:
        if region.state == COMMIT and region.type == PRIVATE and region.protect & 0xFF in writing.writer.private:
            yield region


def private_read_write(writing: Writing) -> Iterator[Piece]:
    """Private regions with a protection of the writer's list, without PAGE_GUARD."""
    for region in _private(writing):
        if region.protect & ~0xFF == 0:
            yield Piece(region.base, region.end, f"private region {region.base:#x}, protection {region.protect:#x}")


def private_modified(writing: Writing) -> Iterator[Piece]:
    """The same with PAGE_NOCACHE, PAGE_WRITECOMBINE, or PAGE_GUARD where the writer takes it."""
    for region in _private(writing):
        guarded = bool(region.protect & GUARD)
        if region.protect & ~0xFF and (writing.writer.guarded_private or not guarded):
            yield Piece(region.base, region.end, f"private region {region.base:#x}, protection {region.protect:#x}")
