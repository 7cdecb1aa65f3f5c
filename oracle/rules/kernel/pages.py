"""Judges the runs of a kernel dump, which locate its pages (docs/format/kernel-pages.md#offset-of-a-page).

Type 1 has them in the header, range dumps in a header of their own (``page_headers``).
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Final

from ...case import KernelCase
from ...entitlement.kernel_writers import E15063, engine_of, writers_of
from ...memory.page import PAGE_SIZE
from ...model import Grade, Level, Source, Span
from ...readers.kernel_dump import BITMAPS, FULL, RANGES, fill
from ...rule import Checks, bad, kernel_rule, ok, own
from ..asserts import same, same_bytes
from .asserts import blank_area, blank_fields, header_of, truth_of

_PFN_LIMIT: Final = {64: 1 << 52, 32: 1 << 32}


@kernel_rule(
    "KFUL-COUNT-001",
    "A complete dump of type 1 has 1 to 42 runs, or 1 to 86 for a 32-bit target",
    Level.MUST,
    Source("docs/format/kernel-pages.md#number-of-runs", Grade.WITNESSED, versions=("15063",)),
    Source("docs/format/kernel-pages.md#number-of-runs", Grade.IMPLEMENTED),
    reports=("kernel.runs.count",),
    applies=lambda case: case.dump.type == FULL,
)
def run_count(case: KernelCase) -> Checks:
    """The 700 bytes of PhysicalMemoryBlock have room for so many runs. If the field is still fill, no memory map was
    stored, and no page can be found.
    """
    if "runs" in case.dump.facts:
        yield ok("NumberOfRuns")


@kernel_rule(
    "KFUL-COUNT-002",
    "No run uses the padding after the memory map",
    Level.SHOULD,
    Source("docs/format/kernel-pages.md#physical-memory-descriptor", Grade.IMPLEMENTED),
    needs=("runs",),
    applies=lambda case: case.dump.type == FULL and case.dump.bits == 64,
)
def no_43rd_run(case: KernelCase) -> Checks:
    """Two writers store a 43rd run in that padding, but other readers stop at 42."""
    if len(case.dump.runs) <= 42:
        yield ok("runs")
    else:
        yield bad("runs", "at most 42", f"{len(case.dump.runs)}", case.dump.run_span(42))


@kernel_rule(
    "KFUL-MAP-001",
    "The bytes after the memory map are zero or fill, or the target's own bytes there",
    Level.MUST,
    Source("docs/format/kernel-pages.md#number-of-runs", Grade.WITNESSED, versions=("15063",)),
    Source("docs/format/kernel-pages.md#number-of-runs", Grade.DOCUMENTED),
    needs=("runs",),
    applies=lambda case: own(case) and case.dump.type == FULL and case.dump.bits == 64,
)
def exact_map(case: KernelCase) -> Checks:
    """The bytes are the rest of the 700 bytes of PhysicalMemoryBlock, and the padding of the descriptor. Engine 15063
    copies 700 bytes from the target's MmPhysicalMemoryBlock, whatever follows the runs there. Bytes that are not mapped
    keep the fill.
    """
    dump = case.dump
    assert dump.descriptor is not None
    block = header_of(dump).span_of("PhysicalMemoryBlock")
    copied = _raw_memory_map(case, block)
    if E15063 is engine_of(case.request) and copied is not None:
        yield from same_bytes("PhysicalMemoryBlock", copied, header_of(dump).raw("PhysicalMemoryBlock"), block)
        return
    if (
        copied is not None
        and E15063 in writers_of(case.request)
        and dump.source.read(block.start, len(block)) == copied
    ):
        yield ok("PhysicalMemoryBlock")
        return
    yield from blank_fields(dump.descriptor, "PhysicalMemoryBlock", ("_padding04",))
    end = dump.run_span(len(dump.runs)).start
    yield from blank_area(dump, "PhysicalMemoryBlock, after the runs", Span(min(end, block.end), block.end))


def _raw_memory_map(case: KernelCase, block: Span) -> bytes | None:
    """The target's bytes from MmPhysicalMemoryBlock on, and fill from the first page on that is not mapped.

    None if the first page is not mapped. Source: docs/format/kernel-pages.md#number-of-runs.
    """
    truth = truth_of(case)
    pointer = truth.read(truth.symbols.mm_physical_memory_block, 8)
    if pointer is None:
        return None
    address = int.from_bytes(pointer, "little")
    first = min(PAGE_SIZE - address % PAGE_SIZE, len(block))
    for size in (len(block), first):
        held = truth.read(address, size)
        if held is not None:
            return bytes(held) + fill(block.start + size, len(block) - size)
    return None


@kernel_rule(
    "KPAG-RUNS-001",
    "Runs are not empty, ascend, do not overlap and lie in the address space",
    Level.MUST,
    Source("docs/format/kernel-pages.md#order-of-runs", Grade.IMPLEMENTED),
    needs=("runs",),
    applies=lambda case: bool(case.dump.runs) and case.dump.type not in BITMAPS,
)
def sound_runs(case: KernelCase) -> Checks:
    """Readers add up the counts to find a page, and some search by bisection. In an unsorted list they find the wrong
    page without any error. Without truth, KPAG-RUNS-002 and KPAG-RUNS-004 judge the order and empty runs, since the
    engine reads them right. An overlap gives one page two places; in a range dump KPAG-ONCE-001 compares both.
    """
    limit = _PFN_LIMIT[case.dump.bits]
    expected = f"at least one page, after the previous run and below PFN {limit:#x}"
    runs = list(enumerate(case.dump.runs))
    if own(case):
        ordered = True
    else:
        ordered = case.dump.type not in RANGES
        runs = sorted(((index, run) for index, run in runs if run[1]), key=lambda item: item[1])

    def problem(before: Run | None, run: Run) -> str | None:
        if sum(run) > limit:
            return f"an end at PFN {sum(run):#x}"
        return _out_of_order(before, run) if ordered else None

    yield from _each_run(case, runs, expected, problem)


@kernel_rule(
    "KPAG-RUNS-004",
    "Runs of a range dump are not empty, ascend and do not overlap",
    Level.SHOULD,
    Source("docs/format/kernel-pages.md#order-of-runs", Grade.WITNESSED, versions=("29507",)),
    needs=("runs",),
    applies=lambda case: case.dump.type in RANGES and bool(case.dump.runs) and not own(case),
)
def ascending_ranges(case: KernelCase) -> Checks:
    """The vendor's engine writes such runs, and reads others right if pages that occur twice are equal. Readers that
    search by bisection find the wrong page. With truth KPAG-RUNS-001 demands the order.
    """
    runs = list(enumerate(case.dump.runs))
    yield from _each_run(case, runs, "at least one page, after the previous run", _out_of_order)


Run = tuple[int, int]
"""First PFN, and number of pages."""


def _out_of_order(before: Run | None, run: Run) -> str | None:
    if run[1] == 0:
        return "an empty run"
    if before is not None and run[0] < sum(before):
        return f"PFN {run[0]:#x}, but the previous run ends at {sum(before):#x}"
    return None


def _each_run(
    case: KernelCase, runs: list[tuple[int, Run]], expected: str, problem: Callable[[Run | None, Run], str | None]
) -> Checks:
    """Check every run, with its index, beside the one before it; ``problem`` returns what is wrong, or None."""
    failures = 0
    before: Run | None = None
    for index, run in runs:
        found = problem(before, run)
        before = run
        if found is not None:
            failures += 1
            yield bad(f"run {index}", expected, found, case.dump.run_span(index))
    if len(case.dump.runs) > failures:
        yield ok("runs", len(case.dump.runs) - failures)


@kernel_rule(
    "KPAG-RUNS-002",
    "Adjacent runs are merged; the runs ascend, and none is empty",
    Level.SHOULD,
    Source("docs/format/kernel-pages.md#order-of-runs", Grade.INFERRED),
    needs=("runs",),
    applies=lambda case: bool(case.dump.runs) and case.dump.type not in BITMAPS,
)
def no_adjacent_runs(case: KernelCase) -> Checks:
    """If a run begins where the previous one ends, one of them is off by one, or the split is needless. Some readers
    search by bisection, so they miss pages of an unsorted list. With truth KPAG-RUNS-001 judges that, and in a range
    dump KPAG-RUNS-004.
    """
    for index, (base, count) in () if own(case) or case.dump.type in RANGES else enumerate(case.dump.runs):
        before = case.dump.runs[index - 1][0] if index else 0
        if not count or base < before:
            actual = "an empty run" if not count else f"PFN {base:#x}, after PFN {before:#x}"
            yield bad(f"run {index}", "a page or more, after the previous run", actual, case.dump.run_span(index))
    for index, (first, second) in enumerate(pairwise(case.dump.runs)):
        if second[1] and first[0] + first[1] == second[0]:
            span = case.dump.run_span(index + 1)
            yield bad(
                f"run {index + 1}", "a gap after the previous run", f"PFN {second[0]:#x}, directly after it", span
            )
    yield ok("runs", len(case.dump.runs))


@kernel_rule(
    "KPAG-RUNS-003",
    "NumberOfPages is the sum of the runs",
    Level.MUST,
    Source("docs/format/kernel-pages.md#sum-of-the-runs", Grade.WITNESSED, versions=("29507",)),
    Source("docs/format/kernel-pages.md#sum-of-the-runs", Grade.IMPLEMENTED),
    needs=("runs",),
    applies=lambda case: (
        case.dump.descriptor is not None and case.dump.type not in BITMAPS and (own(case) or case.dump.paged)
    ),
)
def page_sum(case: KernelCase) -> Checks:
    """Tools print NumberOfPages as the size of the machine. The engine looks for secondary data after that number of
    pages. Without truth the rule skips types without pages: nobody reads their map.
    """
    assert case.dump.descriptor is not None
    total = sum(count for _, count in case.dump.runs)
    yield from same(case.dump.descriptor, case.dump.descriptor.path, {"NumberOfPages": total})


@kernel_rule(
    "KPAG-LENGTH-001",
    "The file holds every page that it names",
    Level.MUST,
    Source("docs/format/kernel-pages.md#length-of-the-file", Grade.WITNESSED, versions=("29507",)),
    Source("docs/format/kernel-pages.md#truncated-files", Grade.WITNESSED, versions=("15063", "29507")),
    needs=("pages",),
    reports=("kernel.pages.cut",),
    applies=lambda case: case.dump.paged,
)
def all_pages_there(case: KernelCase) -> Checks:
    """Pages follow each other from the offset of the first page. Secondary data may follow the last. A reader that maps
    a truncated file unchecked crashes.
    """
    dump = case.dump
    there = min(dump.pages.total, max(dump.source.size - dump.pages.first, 0) // PAGE_SIZE)
    if there:
        yield ok("pages", there)
