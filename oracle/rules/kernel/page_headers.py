"""Judges the header in front of the pages of a kernel dump: of a bitmap, and of ranges.

Types 2, 5 and 6 have a bitmap, types 8, 9 and 10 ranges (docs/format/kernel-kinds.md#types-on-disk).
"""

from __future__ import annotations

from ...case import KernelCase
from ...decode import Record
from ...memory.page import PAGE_SIZE
from ...model import Grade, Level, Source, Span
from ...readers.kernel_dump import BITMAPS, RANGES, SUMMARY
from ...rule import Checks, bad, kernel_rule, ok, own
from ..asserts import same
from .asserts import blank_area, blank_fields, truth_of


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
