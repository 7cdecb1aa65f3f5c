"""Where a kernel dump says its pages are: runs in the header, a bitmap, ranges."""

from __future__ import annotations

from itertools import pairwise
from typing import Final

from ...case import KernelCase
from ...decode import Record
from ...memory.page import PAGE_SIZE
from ...model import Grade, Level, Span
from ...readers.kernel_dump import BITMAPS, FULL, RANGES, SUMMARY
from ...rule import Checks, bad, kernel_rule, ok, own
from ..asserts import same
from .asserts import blank_area, blank_fields, header_of, spec, truth_of

_PFN_LIMIT: Final = {64: 1 << 52, 32: 1 << 32}


@kernel_rule(
    "KFUL-COUNT-001",
    "The header of a complete dump has 1 to 42 runs",
    Level.MUST,
    spec("2.4, 6.2 B1: 86 of a 32-bit target; 0vercl0k/kdmp-parser", Grade.IMPLEMENTED),
    reports=("kernel.runs.count",),
    applies=lambda case: case.dump.type == FULL,
)
def run_count(case: KernelCase) -> Checks:
    """As many as the 700 bytes hold. Fill means that nobody ever stored a memory map, and then no page can be found."""
    if "runs" in case.dump.facts:
        yield ok("NumberOfRuns")


@kernel_rule(
    "KFUL-COUNT-002",
    "No run lies in the padding behind the memory map",
    Level.SHOULD,
    spec("2.4, 6.2 B1: a 43rd run fits only by 4 bytes of padding", Grade.IMPLEMENTED),
    needs=("runs",),
    applies=lambda case: case.dump.type == FULL and case.dump.bits == 64,
)
def no_43rd_run(case: KernelCase) -> Checks:
    """Two writers use it; other readers stop at 42."""
    if len(case.dump.runs) <= 42:
        yield ok("runs")
    else:
        yield bad("runs", "at most 42", f"{len(case.dump.runs)}", case.dump.run_span(42))


@kernel_rule(
    "KFUL-MAP-001",
    "The memory map is the machine's, and nothing stands behind it",
    Level.MUST,
    spec("2.4, 6.3 C3", Grade.DOCUMENTED),
    needs=("runs",),
    applies=lambda case: own(case) and case.dump.type == FULL and case.dump.bits == 64,
)
def exact_map(case: KernelCase) -> Checks:
    """The rest of the 700 bytes, and the padding in the descriptor, are zero or fill."""
    dump = case.dump
    assert dump.descriptor is not None
    yield from blank_fields(dump.descriptor, "PhysicalMemoryBlock", ("_padding04",))
    end = dump.run_span(len(dump.runs)).start
    block = header_of(dump).span_of("PhysicalMemoryBlock")
    yield from blank_area(dump, "PhysicalMemoryBlock, behind the runs", Span(min(end, block.end), block.end))


@kernel_rule(
    "KPAG-RUNS-001",
    "Runs are not empty, ascend, do not overlap and lie in the address space",
    Level.MUST,
    spec("2.4, 2.7, 6.2 B2: radareorg/radare2, kdmp-parser-rs", Grade.IMPLEMENTED),
    needs=("runs",),
    applies=lambda case: bool(case.dump.runs) and case.dump.type not in BITMAPS,
)
def sound_runs(case: KernelCase) -> Checks:
    """Readers add up the counts to find a page, and some search the runs by halves: an unsorted list gives the wrong
    page without a word.
    """
    dump, limit = case.dump, _PFN_LIMIT[case.dump.bits]
    failures = 0
    before = (0, 0)
    for index, (base, count) in enumerate(dump.runs):
        problem = None
        if count == 0:
            problem = "an empty run"
        elif base + count > limit:
            problem = f"an end at PFN {base + count:#x}"
        elif index and base < before[0] + before[1]:
            problem = f"PFN {base:#x} behind a run that ends at {before[0] + before[1]:#x}"
        before = (base, count)
        if problem:
            failures += 1
            expected = f"at least one page, behind the run before, below {limit:#x}"
            yield bad(f"run {index}", expected, problem, dump.run_span(index))
    if len(dump.runs) > failures:
        yield ok("runs", len(dump.runs) - failures)


@kernel_rule(
    "KPAG-RUNS-002",
    "Neighbouring runs are one run",
    Level.SHOULD,
    spec("6.2 B2", Grade.INFERRED),
    needs=("runs",),
    applies=lambda case: bool(case.dump.runs) and case.dump.type not in BITMAPS,
)
def no_adjacent_runs(case: KernelCase) -> Checks:
    """A run that begins where the one before ends is an off-by-one of either, or a needless split."""
    for index, (first, second) in enumerate(pairwise(case.dump.runs)):
        if second[1] and first[0] + first[1] == second[0]:
            span = case.dump.run_span(index + 1)
            yield bad(f"run {index + 1}", "a gap to the run before", f"PFN {second[0]:#x} joins it", span)
    yield ok("runs", len(case.dump.runs))


@kernel_rule(
    "KPAG-RUNS-003",
    "NumberOfPages is the sum of the runs",
    Level.MUST,
    spec("2.4, 6.2 B3: radareorg/radare2", Grade.IMPLEMENTED),
    needs=("runs",),
    applies=lambda case: case.dump.descriptor is not None and case.dump.type not in BITMAPS,
)
def page_sum(case: KernelCase) -> Checks:
    """Tools print it as the size of the machine."""
    assert case.dump.descriptor is not None
    total = sum(count for _, count in case.dump.runs)
    yield from same(case.dump.descriptor, case.dump.descriptor.path, {"NumberOfPages": total})


@kernel_rule(
    "KPAG-LENGTH-001",
    "The file holds every page that it names",
    Level.MUST,
    spec("2.8, 6.2 B4 [S SB, ST exactly]", Grade.OBSERVED),
    needs=("pages",),
    reports=("kernel.pages.cut",),
    applies=lambda case: case.dump.paged,
)
def all_pages_there(case: KernelCase) -> Checks:
    """Pages stand back to back from the first page's offset; what follows the last is secondary data, or nothing. A
    reader that maps the file without looking dies on one that is cut short.
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
    spec("2.5, 2.6: volatility3, rizin, kdmp-parser refuse others", Grade.IMPLEMENTED),
    reports=("kernel.bitmap.header",),
    applies=lambda case: case.dump.type in BITMAPS,
)
def bitmap_header(case: KernelCase) -> Checks:
    """SDMP or FDMP, then DUMP; type 2 has SDMP only. Which of the two is not tied to the type."""
    if "pages" in case.dump.facts or "kernel.bitmap.size" in case.dump.broken.values():
        yield ok("bitmap header")


@kernel_rule(
    "KBMP-SIZE-001",
    "The bitmap lies between its header and the first page",
    Level.MUST,
    spec("2.5, 2.6, 6.2 B6", Grade.IMPLEMENTED),
    reports=("kernel.bitmap.size",),
    applies=lambda case: case.dump.type in BITMAPS,
)
def bitmap_size(case: KernelCase) -> Checks:
    """BitmapSize counts bits, HeaderSize is the file offset of the first page. A size in bytes where bits were meant
    loses seven eighths of memory.
    """
    if "bitmap" in case.dump.facts:
        yield ok("bitmap")


@kernel_rule(
    "KBMP-COUNT-001",
    "Pages is the number of set bits",
    Level.MUST,
    spec("2.5, 2.6, 6.2 B5: radareorg/radare2 and rizin refuse other files", Grade.IMPLEMENTED),
    needs=("bitmap",),
)
def popcount(case: KernelCase) -> Checks:
    """Each set bit is one page of the file."""
    yield from same(_page_header(case), "bitmap header", {"Pages": case.dump.pages.total})


@kernel_rule(
    "KBMP-COUNT-002",
    "The two bit counts of a summary dump agree",
    Level.MUST,
    spec("2.5 [H4, H5]", Grade.IMPLEMENTED),
    needs=("bitmap",),
    applies=lambda case: case.dump.type == SUMMARY,
)
def summary_counts(case: KernelCase) -> Checks:
    """BitmapSize, and SizeOfBitMap of the RTL_BITMAP that was written with it."""
    header = _page_header(case)
    yield from same(header, "bitmap header", {"Bitmap.SizeOfBitMap": header["BitmapSize"]})


@kernel_rule(
    "KBMP-TAIL-001",
    "Bits behind the last one are zero",
    Level.MUST,
    spec("6.2 B5", Grade.IMPLEMENTED),
    needs=("bitmap",),
)
def bits_beyond(case: KernelCase) -> Checks:
    """The last byte of a bitmap of an odd size. Readers that round up would find pages that are not there."""
    bits, span = _page_header(case)["BitmapSize"], case.dump.bitmap
    assert span is not None
    if bits % 8 == 0:
        yield ok("bitmap")
        return
    last = case.dump.source.read(span.end - 1, 1)[0] >> bits % 8
    if last:
        yield bad("bitmap, last byte", f"nothing from bit {bits % 8} on", f"{last << bits % 8:#x}", _last(span))
    else:
        yield ok("bitmap, last byte")


def _last(span: Span) -> Span:
    return Span(span.end - 1, span.end)


@kernel_rule(
    "KBMP-ALIGN-001",
    "Sizes of the bitmap suit every reader",
    Level.SHOULD,
    spec("2.6, 6.2 B7, 7.2: ufrisk/LeechCore refuses other files", Grade.IMPLEMENTED),
    needs=("bitmap",),
)
def aligned(case: KernelCase) -> Checks:
    """HeaderSize a multiple of a page and at most 16 MiB, BitmapSize a multiple of 64 below 2^31. Windows' debugger
    engine writes files that are not so, and one reader takes those for raw memory.
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
    "The bitmap has a bit for every page of the machine, and few more",
    Level.MUST,
    spec("6.2 B8 [SB: exactly the machine's pages]", Grade.INFERRED),
    needs=("bitmap",),
    applies=own,
)
def covers(case: KernelCase) -> Checks:
    """From PFN 0 to the highest of RAM, rounded up to 64 at most: readers take the size for that of the machine."""
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
    "What the bitmap header has no value for is zero or fill",
    Level.MUST,
    spec("2.5, 2.6", Grade.INFERRED),
    needs=("bitmap",),
    foreign_level=Level.MAY,
)
def bitmap_rest(case: KernelCase) -> Checks:
    """DumpOptions, unknown bytes, the pointer of a bitmap that was in memory. Type 2's options say which addresses are
    valid: 1 the kernel's, 2 the user's.
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
    spec("2.7, 6.2 B9: 0vercl0k/kdmp-parser refuses other files; one published run list", Grade.IMPLEMENTED),
    reports=("kernel.rdmp.header", "kernel.rdmp.size"),
    applies=lambda case: case.dump.type in RANGES,
)
def ranges_header(case: KernelCase) -> Checks:
    """0x40, RDMP, DUMP; FirstPageOffset is 0x2020 + MetadataSize, and the runs fit into MetadataSize."""
    if "pages" in case.dump.facts:
        yield ok("RDMP header")


@kernel_rule(
    "KRNG-ZERO-001",
    "No range begins at PFN 0",
    Level.SHOULD,
    spec("2.7, 6.2 B10: 0vercl0k/kdmp-parser ends its list there", Grade.IMPLEMENTED),
    needs=("runs",),
    applies=lambda case: case.dump.type in RANGES,
)
def no_page_zero(case: KernelCase) -> Checks:
    """A reader that takes BasePage 0 for the end of the list sees no memory at all."""
    for index, (base, _) in enumerate(case.dump.runs):
        if base == 0:
            yield bad(f"run {index}", "a BasePage above 0", "0", case.dump.run_span(index))
    yield ok("runs", len(case.dump.runs))


@kernel_rule(
    "KRNG-FILL-001",
    "What an RDMP header has no value for is zero",
    Level.MUST,
    spec("2.7: 0 in both unknown fields; a terminating run of zeros is harmless", Grade.INFERRED),
    needs=("runs",),
    applies=lambda case: case.dump.type in RANGES,
    foreign_level=Level.MAY,
)
def ranges_rest(case: KernelCase) -> Checks:
    """Two unknown fields, and whatever MetadataSize counts behind the last run: one run of zeros at most, which spares
    some readers to run over the end.
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
        yield bad("behind the runs", "at most one run of zeros", f"{len(rest):#x} bytes", rest)
    yield from blank_area(dump, "behind the runs", rest, only_zero=True)
