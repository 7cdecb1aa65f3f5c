"""Finds that the pages of a kernel dump stand at other file offsets, or belong to other pages, than the dump says."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Final

from ..case import KernelCase
from ..memory.edited import Edit
from ..memory.page import PAGE_SIZE
from ..model import Shift, Span
from ..readers.kernel_dump import KernelDump
from ..readers.kernel_pages import PageBitmap
from .memory import Placed, wrong_place
from .proposal import Proposal, amount_text, field_edit, moved

if TYPE_CHECKING:
    from ..truth.kernel import KernelTruth

_REACH: Final = 1 << 20
"""Bytes. The farthest shift in the file that is looked for."""
_FARTHEST: Final = 4096
"""Pages. The farthest shift of page numbers that is looked for."""
_SAMPLES: Final = 8
"""Pages that must agree on a shift of page numbers."""
_LOOKED_AT: Final = 4096
"""Pages among which such pages are looked for."""
_DISTINCT: Final = 16
"""Different values that such a page needs."""


def shifted_pages(case: KernelCase) -> Iterator[Proposal]:
    """Pages that are shifted in the file, by bytes or by whole pages; page numbers that are all off by one number."""
    if case.truth is None or not case.dump.paged:
        return
    dump, truth = case.dump, case.truth
    placed = [
        Placed(offset + (pfn - base) * PAGE_SIZE, there, pages * PAGE_SIZE, pfn * PAGE_SIZE)
        for low, high in ((truth.ram | truth.added) - truth.unreadable).runs
        for base, count, offset in dump.pages.runs(low, high)
        for pfn, pages, there in truth.pieces(base, count)
        if there is not None
    ]
    placed.sort(key=lambda item: item.place)
    for run, amount in wrong_place(dump.source, truth.contents, placed, _REACH):
        yield _in_the_file(run, amount)
    yield from _numbers(dump, truth)


def _in_the_file(run: Placed, amount: int) -> Proposal:
    whole = amount % PAGE_SIZE == 0
    shown = amount_text(amount // PAGE_SIZE, "page") if whole else amount_text(amount)
    return Proposal(
        f"page {run.address // PAGE_SIZE:#x} and all that follow in the file",
        f"its bytes at {run.place:#x}",
        f"the machine's pages, shifted by {shown}: they stand too {'late' if amount > 0 else 'early'},"
        f" the bytes expected here at {run.place + amount:#x}",
        Shift(amount // PAGE_SIZE, "page") if whole else Shift(amount),
        (Span(run.place, run.place + min(run.size, PAGE_SIZE)),),
        moved(run.place, amount),
    )


def _numbers(dump: KernelDump, truth: KernelTruth) -> Iterator[Proposal]:
    """Page numbers that are all too high or too low, while the pages stand in order."""
    samples = list(_distinct_pages(dump))
    if not samples:
        return
    first, data = samples[0]
    if bytes(truth.page(first) or b"") == data:
        return
    for shift in sorted(range(-_FARTHEST, _FARTHEST + 1), key=abs):
        if all(bytes(truth.page(pfn - shift) or b"") == held for pfn, held in samples):
            edits = _renumbered(dump, shift)
            if edits:
                yield _of_numbers(dump, shift, edits)
            return


def _distinct_pages(dump: KernelDump) -> Iterator[tuple[int, bytes]]:
    """Some pages of the dump that are unlike others, with their numbers."""
    numbers = (pfn for base, count, _ in dump.pages.runs() for pfn in range(base, base + min(count, 64)))
    found = 0
    for pfn in islice(numbers, _LOOKED_AT):
        page = dump.page(pfn)
        if page is not None and len(set(page)) >= _DISTINCT:
            found += 1
            yield pfn, bytes(page)
        if found == _SAMPLES:
            return


def _of_numbers(dump: KernelDump, shift: int, edits: tuple[Edit, ...]) -> Proposal:
    first = next(base for base, _, _ in dump.pages.runs())
    return Proposal(
        "the page numbers of all runs" if dump.bitmap is None else "the bits of all pages",
        f"{first - shift:#x} as the first",
        f"{first:#x}: all are {amount_text(shift, 'page')} too {'high' if shift > 0 else 'low'}",
        Shift(shift, "page"),
        (dump.run_span(0) if dump.bitmap is None else dump.bitmap,),
        edits,
    )


def _renumbered(dump: KernelDump, shift: int) -> tuple[Edit, ...]:
    """The edits that subtract ``shift`` from the number of each page."""
    if isinstance(dump.pages, PageBitmap):
        assert dump.bitmap is not None
        size = len(dump.bitmap)
        bits = int.from_bytes(dump.source.read(dump.bitmap.start, size), "little")
        right = bits >> shift if shift > 0 else bits << -shift
        right &= (1 << dump.pages.bits) - 1
        if right.bit_count() != bits.bit_count():
            return ()
        return (Edit(dump.bitmap.start, dump.bitmap.start + size, right.to_bytes(size, "little")),)
    if any(base < shift for base, _ in dump.runs):
        return ()
    return tuple(
        field_edit(Span(dump.run_span(index).start, dump.run_span(index).start + dump.pointer), base - shift)
        for index, (base, _) in enumerate(dump.runs)
    )
