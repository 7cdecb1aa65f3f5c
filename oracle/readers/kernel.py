"""Reads kernel dumps of every kind, 64-bit and 32-bit, into a ``KernelDump``."""

from __future__ import annotations

import struct
from typing import Final

from ..budget import Work
from ..decode import decode, structure
from ..memory.source import ByteSource
from ..model import Span
from .accounting import account
from .architectures import ARCHITECTURES
from .kernel_blobs import read_blobs
from .kernel_dump import BITMAPS, FILL32, FULL, HEADER, RANGES, READABLE, SUMMARY, TRIAGE, KernelDump
from .kernel_pages import PageBitmap, PageRuns
from .kernel_triage import read_triage
from .reading import Owner

__all__ = ["KernelDump", "read_kernel"]

_RUN64: Final = 16
"""Size of a run of a 64-bit descriptor (docs/format/kernel-pages.md#physical-memory-descriptor)."""
_HEADER_RUNS: Final = {64: 42, 32: 86}
"""By width of the target: how many runs fit in the 700 bytes of PhysicalMemoryBlock
(docs/format/kernel-pages.md#physical-memory-descriptor)."""


def read_kernel(source: ByteSource) -> KernelDump:
    """Read a kernel dump. Never raises on content."""
    bits = 32 if source.read(4, 4) == b"DUMP" else 64
    dump = KernelDump(source, bits=bits, run_size=bits // 4)
    _read_header(dump)
    if dump.header is not None and "kind" in dump.facts:
        if dump.type == FULL:
            _read_full(dump)
        elif dump.type in BITMAPS:
            _read_bitmap(dump)
        elif dump.type in RANGES:
            _read_ranges(dump)
        elif dump.type == TRIAGE:
            read_triage(dump)
        elif dump.type == HEADER:
            dump.primary_end = dump.header_size
        if dump.primary_end is not None:
            read_blobs(dump)
    dump.accounting = account(dump, max_padding=0)
    dump.found("accounting")
    return dump


def _read_header(dump: KernelDump) -> None:
    header = decode(dump.source, 0, f"DUMP_HEADER{dump.bits}", "header")
    if not header.complete:
        dump.defect(
            "kernel.header.size",
            "header",
            f"{header.structure.size:#x} bytes",
            f"{dump.source.size:#x} bytes",
            Span(0, dump.source.size),
            loses=("header", "kind", "memory"),
        )
        dump.claim(Span(0, dump.source.size), "header")
        return
    dump.header = header
    dump.claim(header.span, "header")
    dump.found("header")
    dump.dont_care(
        header.span_of("BootId"),
        "BootId: the target holds no other copy of it (docs/format/kernel-header-fields.md#bootid)",
    )
    low = header.span_of("Attributes").start
    why = "Attributes, bits 0 to 7: writers differ (docs/format/kernel-header-fields.md#values-of-attributes)"
    dump.dont_care(Span(low, low + 1), why)
    at = header.span_of("Exception").start
    dump.exception = decode(dump.source, at, f"EXCEPTION_RECORD{dump.bits}", "exception record")
    if dump.architecture is not None:
        layout = ARCHITECTURES[dump.architecture]
        at = header.span_of("ContextRecord").start
        dump.context = decode(dump.source, at, layout.structure, "context record")
        dump.found("context")
    if dump.type not in READABLE:
        dump.defect(
            "kernel.type",
            "header, DumpType",
            "1, 2, 3, 4, 5, 6, 8, 9 or 10",
            f"{header['DumpType']:#x}",
            header.span_of("DumpType"),
            loses=("kind", "memory"),
        )
    dump.found("kind")
    if dump.type != FULL:
        _read_header_runs(dump)


def _read_header_runs(dump: KernelDump) -> None:
    """Read the memory map in the header of a kind other than type 1, if it is not fill.

    Source: docs/format/kernel-header.md#memory-map-in-the-header.
    """
    assert dump.header is not None
    block = dump.header.span_of("PhysicalMemoryBlock")
    record = decode(dump.source, block.start, f"PHYSICAL_MEMORY_DESCRIPTOR{dump.bits}", "memory map in the header")
    if 0 < record["NumberOfRuns"] <= _HEADER_RUNS[dump.bits]:
        dump.descriptor = record
        _read_runs(dump, block.start + record.structure.size, record["NumberOfRuns"])


def _read_runs(dump: KernelDump, at: int, count: int) -> None:
    dump.runs_at = at
    size = dump.run_size
    count = dump.grant(count, "runs", "runs", "pages", work=Work.RANGES)
    view = dump.source.view(at, count * size)
    dump.runs = list(struct.iter_unpack("<QQ" if size == 16 else "<II", view[: len(view) // size * size]))


def _read_full(dump: KernelDump) -> None:
    """Type 1: the header holds the runs, and the pages follow it.

    Sources: docs/format/kernel-pages.md#physical-memory-descriptor, docs/format/kernel-pages.md#offset-of-a-page.
    """
    assert dump.header is not None
    block = dump.header.span_of("PhysicalMemoryBlock")
    record = decode(dump.source, block.start, f"PHYSICAL_MEMORY_DESCRIPTOR{dump.bits}", "PhysicalMemoryBlock")
    dump.descriptor = record
    most = _HEADER_RUNS[dump.bits]
    count = record["NumberOfRuns"]
    # A 43rd run ends in the padding after the block. Two writers store one.
    if not 1 <= count <= most + (dump.bits == 64):
        dump.defect(
            "kernel.runs.count",
            "PhysicalMemoryBlock, NumberOfRuns",
            f"1 to {most}",
            "PAGE, the fill" if count == FILL32 else f"{count}",
            record.span_of("NumberOfRuns"),
            loses=("runs", "pages", "memory"),
        )
        return
    _read_runs(dump, block.start + record.structure.size, count)
    _place(dump, PageRuns(dump.runs, dump.header_size))


def _place(dump: KernelDump, pages: PageRuns | PageBitmap) -> None:
    """Claim the pages. It is a defect if the file ends before they do."""
    dump.pages = pages
    dump.found("runs")
    dump.found("pages")
    if dump.architecture is not None:
        dump.found("memory")
    end = pages.end
    if end > dump.source.size:
        dump.defect(
            "kernel.pages.cut",
            "pages",
            f"{pages.total} pages from {pages.first:#x} to {end:#x}",
            f"the file ends at {dump.source.size:#x}",
            Span(min(pages.first, dump.source.size), dump.source.size),
        )
    dump.claim(Span(pages.first, min(end, dump.source.size)), "pages", Owner.MEMORY)
    dump.primary_end = min(end, dump.source.size)


def _read_bitmap(dump: KernelDump) -> None:
    """Types 2, 5 and 6: a header, a bitmap, then the pages at HeaderSize.

    Sources: docs/format/kernel-pages.md#summary-dump-header, docs/format/kernel-pages.md#bitmap-dump-header.
    """
    at = dump.header_size
    name = f"SUMMARY_DUMP{dump.bits}" if dump.type == SUMMARY else "BITMAP_DUMP"
    record = decode(dump.source, at, name, "bitmap header")
    signatures = (b"SDMP",) if dump.type == SUMMARY else (b"SDMP", b"FDMP")
    dump.page_header = record
    if not record.complete or record.raw("Signature") not in signatures or record.raw("ValidDump") != b"DUMP":
        dump.defect(
            "kernel.bitmap.header",
            "bitmap header",
            f"{' or '.join(item.decode() for item in signatures)}, then DUMP",
            repr(record.raw("Signature") + record.raw("ValidDump"))[1:],
            record.span,
            loses=("bitmap", "pages", "memory"),
        )
        return
    start, bits = record.span.end, record["BitmapSize"]
    size = -(-bits // 8)
    first = record["HeaderSize"]
    dump.claim(record.span, "bitmap header")
    if not bits or start + size > first or first > dump.source.size:
        dump.defect(
            "kernel.bitmap.size",
            "bitmap",
            f"a bitmap that ends at HeaderSize or before, HeaderSize in a file of {dump.source.size:#x} bytes",
            f"{bits} bits from {start:#x} to {start + size:#x}, HeaderSize {first:#x}",
            record.span_of("HeaderSize"),
            record.span_of("BitmapSize"),
            loses=("bitmap", "pages", "memory"),
        )
        return
    dump.bitmap = Span(start, start + size)
    dump.found("bitmap")
    dump.claim(dump.bitmap, "bitmap")
    dump.claim(Span(start + size, first), "room after the bitmap", Owner.PADDING)
    _place(dump, PageBitmap(dump.source, start, bits, first))


def _read_ranges(dump: KernelDump) -> None:
    """Types 8, 9 and 10: a header, a descriptor as in type 1, then the pages.

    Source: docs/format/kernel-pages.md#range-dump-header.
    """
    head = decode(dump.source, dump.header_size, "RDMP_HEADER", "RDMP header")
    dump.page_header = head
    table = structure("PHYSICAL_MEMORY_DESCRIPTOR64")
    record = decode(dump.source, head.span.end, table.name, "RDMP descriptor")
    size, first, count = head["MetadataSize"], head["FirstPageOffset"], record["NumberOfRuns"]
    signed = head.raw("Signature") == b"RDMP" and head.raw("ValidDump") == b"DUMP"
    if not signed or not record.complete or head["Marker"] != 0x40:
        dump.defect(
            "kernel.rdmp.header",
            "RDMP header",
            "0x40, RDMP, DUMP",
            f"{head['Marker']:#x}, {repr(head.raw('Signature') + head.raw('ValidDump'))[1:]}",
            head.span,
            loses=("runs", "pages", "memory"),
        )
        return
    dump.claim(head.span, "RDMP header")
    sound = size % 16 == 0 and first == head.span.end + size and first <= dump.source.size
    if not sound or not count or table.size + 16 * count > size:
        dump.defect(
            "kernel.rdmp.size",
            "RDMP header",
            f"MetadataSize a multiple of 16 with room for the runs, FirstPageOffset {head.span.end:#x} + MetadataSize",
            f"MetadataSize {size:#x}, FirstPageOffset {first:#x}, NumberOfRuns {count}",
            head.span_of("MetadataSize"),
            head.span_of("FirstPageOffset"),
            record.span_of("NumberOfRuns"),
            loses=("runs", "pages", "memory"),
        )
        return
    dump.descriptor = record
    dump.claim(Span(record.span.start, first), "runs")
    dump.run_size = _RUN64
    _read_runs(dump, record.span.end, count)
    _place(dump, PageRuns(dump.runs, first))
