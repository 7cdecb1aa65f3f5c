"""Judges how a kernel dump locates its pages (docs/format/kernel-pages.md#offset-of-a-page).

Type 1 has runs in the header; other types have a bitmap or ranges.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Final

from ...case import KernelCase
from ...decode import Record
from ...entitlement.kernel_writers import E15063, engine_of, writers_of
from ...memory.page import PAGE_SIZE
from ...model import Grade, Level, Source, Span
from ...readers.kernel_dump import BITMAPS, FULL, RANGES, SUMMARY, fill
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


def _page_header(case: KernelCase) -> Record:
    assert case.dump.page_header is not None
    return case.dump.page_header


@kernel_rule(
    "KBMP-HEADER-001",
    "The bitmap header has its signatures",
    Level.MUST,
    Source("docs/format/kernel-pages.md#signature-of-the-bitmap-header", Grade.WITNESSED, versions=("29507",)),
    Source("docs/format/kernel-pages.md#signature-of-the-bitmap-header", Grade.IMPLEMENTED),
    reports=("kernel.bitmap.header",),
    applies=lambda case: case.dump.type in BITMAPS,
)
def bitmap_header(case: KernelCase) -> Checks:
    """The signatures are SDMP or FDMP, then DUMP. Type 2 has SDMP only; types 5 and 6 may have either."""
    if "pages" in case.dump.facts or "kernel.bitmap.size" in case.dump.broken.values():
        yield ok("bitmap header")


@kernel_rule(
    "KBMP-SIZE-001",
    "The bitmap lies between its header and the first page",
    Level.MUST,
    Source("docs/format/kernel-pages.md#size-of-the-bitmap", Grade.WITNESSED, versions=("29507",)),
    Source("docs/format/kernel-pages.md#size-of-the-bitmap", Grade.IMPLEMENTED),
    reports=("kernel.bitmap.size",),
    applies=lambda case: case.dump.type in BITMAPS,
)
def bitmap_size(case: KernelCase) -> Checks:
    """BitmapSize counts bits; HeaderSize is the file offset of the first page. A size in bytes would lose seven eighths
    of the memory.
    """
    if "bitmap" in case.dump.facts:
        yield ok("bitmap")


@kernel_rule(
    "KBMP-COUNT-001",
    "Pages is the number of set bits",
    Level.MUST,
    Source("docs/format/kernel-pages.md#set-bits", Grade.WITNESSED, versions=("15063", "29507")),
    Source("docs/format/kernel-pages.md#set-bits", Grade.IMPLEMENTED),
    needs=("bitmap",),
)
def popcount(case: KernelCase) -> Checks:
    """Each set bit is one page of the file."""
    yield from same(_page_header(case), "bitmap header", {"Pages": case.dump.pages.total})


@kernel_rule(
    "KBMP-COUNT-002",
    "The two bit counts of a summary dump agree",
    Level.MUST,
    Source("docs/format/kernel-pages.md#summary-dump-header", Grade.IMPLEMENTED),
    needs=("bitmap",),
    applies=lambda case: case.dump.type == SUMMARY,
    foreign_level=Level.SHOULD,
)
def summary_counts(case: KernelCase) -> Checks:
    """The counts are BitmapSize, and SizeOfBitMap of the RTL_BITMAP that follows it. No real file confirms that they
    agree.
    """
    header = _page_header(case)
    yield from same(header, "bitmap header", {"Bitmap.SizeOfBitMap": header["BitmapSize"]})


@kernel_rule(
    "KBMP-TAIL-001",
    "The bits after the first BitmapSize bits are zero",
    Level.MUST,
    Source("docs/format/kernel-pages.md#set-bits", Grade.IMPLEMENTED),
    needs=("bitmap",),
    foreign_level=Level.SHOULD,
)
def bits_beyond(case: KernelCase) -> Checks:
    """The last byte has spare bits if BitmapSize is no multiple of 8. Readers that round up would find pages that do
    not exist.
    """
    bits, span = _page_header(case)["BitmapSize"], case.dump.bitmap
    assert span is not None
    if bits % 8 == 0:
        yield ok("bitmap")
        return
    last = case.dump.source.read(span.end - 1, 1)[0] >> bits % 8
    if last:
        yield bad("bitmap, last byte", f"no set bit from bit {bits % 8} on", f"{last << bits % 8:#x}", _last(span))
    else:
        yield ok("bitmap, last byte")


def _last(span: Span) -> Span:
    return Span(span.end - 1, span.end)


@kernel_rule(
    "KBMP-ALIGN-001",
    "HeaderSize and BitmapSize suit all readers",
    Level.SHOULD,
    Source("docs/format/kernel-pages.md#alignment-in-bitmap-dumps", Grade.IMPLEMENTED),
    needs=("bitmap",),
)
def aligned(case: KernelCase) -> Checks:
    """HeaderSize is a multiple of a page, at most 16 MiB. BitmapSize is a multiple of 64 below 2^31. Real files break
    this; LeechCore then takes them for raw memory.
    """
    header = _page_header(case)
    first, bits = header["HeaderSize"], header["BitmapSize"]
    for name, passed, expected, value in (
        ("HeaderSize", first % PAGE_SIZE == 0 and first <= 0x0100_0000, "a multiple of 0x1000 up to 0x1000000", first),
        ("BitmapSize", bits % 64 == 0 and bits <= 0x7FFF_FFFF, "a multiple of 64 up to 0x7fffffff", bits),
    ):
        span = header.span_of(name)
        yield ok(f"bitmap header, {name}") if passed else bad(f"bitmap header, {name}", expected, f"{value:#x}", span)


@kernel_rule(
    "KBMP-COVER-001",
    "The bitmap covers all memory of the machine, and at most rounds up to a multiple of 64 bits",
    Level.MUST,
    Source("docs/format/kernel-pages.md#bits-for-all-of-memory", Grade.OBSERVED),
    Source("docs/format/kernel-pages.md#bits-for-all-of-memory", Grade.INFERRED),
    needs=("bitmap",),
    applies=own,
)
def covers(case: KernelCase) -> Checks:
    """The bitmap has a bit for every PFN up to the highest one of RAM. Readers take its size for the size of the
    machine.
    """
    truth, header = truth_of(case), _page_header(case)
    top = max(end for _, end in (truth.ram | truth.added).runs)
    most = -(-top // 64) * 64
    if top <= header["BitmapSize"] <= most:
        yield ok("bitmap header, BitmapSize")
    else:
        expected = f"{top:#x} to {most:#x}"
        yield bad("bitmap header, BitmapSize", expected, f"{header['BitmapSize']:#x}", header.span_of("BitmapSize"))


@kernel_rule(
    "KBMP-FILL-001",
    "Unused fields of the bitmap header are zero or fill",
    Level.MUST,
    Source("docs/format/kernel-pages.md#bitmap-dump-header", Grade.INFERRED),
    Source("docs/format/kernel-pages.md#summary-dump-header", Grade.INFERRED),
    needs=("bitmap",),
    foreign_level=Level.MAY,
)
def bitmap_rest(case: KernelCase) -> Checks:
    """The unused fields are DumpOptions, unknown bytes, and the stored pointer of type 2. Type 2 may have DumpOptions
    1: kernel addresses are valid.
    """
    header = _page_header(case)
    names = [name for name in ("_unknown", "_padding1C", "Bitmap.Buffer") if name in header.structure.fields]
    if header["DumpOptions"] == 1 and case.dump.type == SUMMARY:
        yield ok("bitmap header, DumpOptions")
    else:
        names.append("DumpOptions")
    yield from blank_fields(header, "bitmap header", names)


@kernel_rule(
    "KRNG-HEADER-001",
    "The RDMP header has its signatures and sizes",
    Level.MUST,
    Source("docs/format/kernel-pages.md#range-dump-header", Grade.WITNESSED, versions=("29507",)),
    Source("docs/format/kernel-pages.md#what-is-read-of-the-range-header", Grade.IMPLEMENTED),
    reports=("kernel.rdmp.header", "kernel.rdmp.size"),
    applies=lambda case: case.dump.type in RANGES,
)
def ranges_header(case: KernelCase) -> Checks:
    """The header begins with 0x40, RDMP and DUMP. HeaderSize is 0x2020 + DescriptorSize, and the runs fit into
    DescriptorSize.
    """
    if "pages" in case.dump.facts:
        yield ok("RDMP header")


@kernel_rule(
    "KRNG-ZERO-001",
    "No range begins at PFN 0",
    Level.SHOULD,
    Source("docs/format/kernel-pages.md#run-at-pfn-0", Grade.IMPLEMENTED),
    needs=("runs",),
    applies=lambda case: case.dump.type in RANGES,
)
def no_page_zero(case: KernelCase) -> Checks:
    """kdmp-parser takes BasePage 0 for the end of the list and then shows no memory."""
    for index, (base, _) in enumerate(case.dump.runs):
        if base == 0:
            yield bad(f"run {index}", "a BasePage above 0", "0", case.dump.run_span(index))
    yield ok("runs", len(case.dump.runs))


@kernel_rule(
    "KRNG-FILL-001",
    "Unused fields of the RDMP header are zero",
    Level.MUST,
    Source("docs/format/kernel-pages.md#range-dump-header", Grade.WITNESSED, versions=("29507",)),
    Source("docs/format/kernel-pages.md#run-of-zeros-behind-the-last-run", Grade.IMPLEMENTED),
    needs=("runs",),
    applies=lambda case: case.dump.type in RANGES,
    foreign_level=Level.MAY,
)
def ranges_rest(case: KernelCase) -> Checks:
    """The unused fields are two reserved fields, and the bytes of DescriptorSize after the last run. One run of zeros
    may follow the last run; it keeps some readers from reading past the end.
    """
    dump, header = case.dump, _page_header(case)
    assert dump.descriptor is not None
    for record, name in ((header, "_unknown0C"), (dump.descriptor, "_padding04")):
        if any(record.raw(name)):
            yield bad(f"{record.path}, {name}", "0", f"{record[name]:#x}", record.span_of(name))
        else:
            yield ok(f"{record.path}, {name}")
    rest = Span(dump.run_span(len(dump.runs)).start, dump.pages.first)
    if len(rest) > 16:
        yield bad("after the runs", "at most one run of zeros", f"{len(rest):#x} bytes", rest)
    yield from blank_area(dump, "after the runs", rest, only_zero=True)
