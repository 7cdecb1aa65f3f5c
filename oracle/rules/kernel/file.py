"""Judges the file of a kernel dump as a whole: layout, secondary data, and bytes after the dump."""

from __future__ import annotations

from ...case import KernelCase
from ...entitlement.kernel_writers import engine_of
from ...memory.page import PAGE_SIZE
from ...model import Fault, Grade, Level, Source, Span
from ...readers.kernel_dump import HEADER, RANGES, TRIAGE, BlobFact, KernelDump
from ...rule import Check, Checks, bad, kernel_rule, ok, own
from ..asserts import overlaps, same_bytes
from .asserts import blank, blank_area, header_of, truth_of
from .writer import engine_that_wrote, is_measured

_BLOB_BUILD = 0xF000_0000
_BUILDS = (0xF, 0xC)
"""Upper digit of BuildNumber of a free and of a checked build.

docs/format/kernel-secondary-data.md#file-header-of-the-region
"""


@kernel_rule(
    "KFIL-LAYOUT-001",
    "No two structures overlap",
    Level.MUST,
    Source("docs/format/kernel-pages.md#every-byte-of-the-file", Grade.WITNESSED, versions=("29507",)),
    Source("docs/format/kernel-small-layouts.md#bytes-accounted-for", Grade.WITNESSED, versions=("29507",)),
    needs=("accounting",),
)
def no_overlap(case: KernelCase) -> Checks:
    """The structures are headers, bitmap or runs, pages, the blocks of a small dump, and secondary data. If two
    overlap, one of them is wrong.
    """
    yield from overlaps(case.dump.accounting)


@kernel_rule(
    "KFIL-LAYOUT-002",
    "Every byte before secondary data belongs to a structure",
    Level.MUST,
    Source("docs/format/kernel-pages.md#every-byte-of-the-file", Grade.WITNESSED, versions=("29507",)),
    Source("docs/format/kernel-small-layouts.md#bytes-accounted-for", Grade.WITNESSED, versions=("29507",)),
    needs=("accounting",),
    applies=lambda case: case.dump.primary_end is not None and (case.dump.triage is None or is_measured(case)),
)
def no_hole(case: KernelCase) -> Checks:
    """Bytes outside header, bitmap or runs, pages and blocks are lost or leaked data, or an offset is wrong. Without
    truth the rule skips small dumps of targets that were not measured: there parts may be aligned or have spare room.
    """
    dump = case.dump
    assert dump.primary_end is not None
    holes = 0
    for gap in dump.accounting.gaps:
        if gap.start < dump.primary_end:
            holes += 1
            yield bad("hole", "bytes of a structure", f"{len(gap):#x} bytes", gap, fault=Fault.FORBIDDEN)
    if dump.accounting.regions > holes:
        yield ok("regions", dump.accounting.regions - holes)


@kernel_rule(
    "KFIL-ROOM-001",
    "The gap between bitmap and first page is smaller than a page and holds zeros or fill",
    Level.MUST,
    Source("docs/format/kernel-pages.md#room-between-bitmap-and-first-page", Grade.INFERRED),
    needs=("bitmap",),
    foreign_level=Level.SHOULD,
)
def room_behind_bitmap(case: KernelCase) -> Checks:
    """HeaderSize may be rounded up to align the pages in the file. Fill is the repeated text PAGE."""
    dump = case.dump
    assert dump.bitmap is not None
    span = Span(dump.bitmap.end, dump.pages.first)
    if len(span) < 0x1000:
        yield ok("room after the bitmap")
    else:
        yield bad("room after the bitmap", "fewer than 0x1000 bytes", f"{len(span):#x}", span)
    yield from blank_area(dump, "room after the bitmap", span)


@kernel_rule(
    "KFIL-TAIL-001",
    "Only secondary data may follow the dump",
    Level.MUST,
    Source("docs/format/kernel-secondary-data.md#what-stands-behind-a-dump", Grade.WITNESSED, versions=("29507",)),
    Source("docs/format/kernel-secondary-data.md#end-of-the-chain", Grade.OBSERVED),
    applies=lambda case: case.dump.tail is not None,
)
def tail(case: KernelCase) -> Checks:
    """The file ends with the pages or with the last blob. Windows extends small dumps of layout B to RequiredDumpSpace
    first. So zeros follow their last blob up to a multiple of 512, then old disk contents. With truth, only zeros may
    follow. Without truth, the same is allowed of other types, and so are zeros up to a page.
    """
    dump = case.dump
    assert dump.tail is not None
    if not len(dump.tail):
        yield ok("end of the file")
        return
    extended = dump.type == TRIAGE and dump.blob_header is not None and dump.tail.end <= _space(dump)
    if own(case):
        layout_b = dump.triage is not None and dump.triage.layout == "B"
        if extended and layout_b and dump.tail.end == _space(dump):
            yield from blank_area(dump, "after the last blob", dump.tail, only_zero=True)
        else:
            yield _surplus(dump)
    elif extended or _is_preset(dump):
        zeros = Span(dump.tail.start, min(-(-dump.tail.start // 512) * 512, dump.tail.end))
        if blank(dump.source.view(zeros.start, len(zeros)), zeros.start) == "zero":
            yield ok("after the last blob")
        else:
            yield bad("after the last blob", "zeros up to a multiple of 512", "other bytes", zeros)
    elif _is_rounded(dump):
        yield ok("after the dump")
    else:
        yield _surplus(dump)


def _is_preset(dump: KernelDump) -> bool:
    """Whether the tail of a dump with pages reaches to RequiredDumpSpace, to which the file was extended first.

    docs/format/kernel-secondary-data.md#what-stands-behind-a-dump
    """
    pages = dump.paged and dump.type not in RANGES and dump.blob_header is not None
    return pages and dump.tail is not None and dump.tail.end == _space(dump)


def _is_rounded(dump: KernelDump) -> bool:
    """Whether the tail is zeros: less than a page, because the file was written in whole sectors; in a small dump up to
    RequiredDumpSpace.
    """
    tail = dump.tail
    assert tail is not None
    likely = (dump.paged and len(tail) < PAGE_SIZE) or (dump.type == TRIAGE and tail.end == _space(dump))
    return likely and blank(dump.source.view(tail.start, len(tail)), tail.start) == "zero"


def _surplus(dump: KernelDump) -> Check:
    assert dump.tail is not None
    what = "a DumpBlob region, or the end of the file" if dump.blob_header is None else "the end of the file"
    return bad("after the dump", what, f"{len(dump.tail):#x} bytes", dump.tail, fault=Fault.FORBIDDEN)


def _space(dump: KernelDump) -> int:
    return header_of(dump)["RequiredDumpSpace"]


@kernel_rule(
    "KFIL-BLOB-001",
    "The chain of secondary data is intact",
    Level.MUST,
    Source("docs/format/kernel-secondary-data.md#header-of-a-blob", Grade.WITNESSED, versions=("15063", "29507")),
    Source("docs/format/kernel-secondary-data.md#file-header-of-the-region", Grade.OBSERVED),
    reports=("kernel.blob.header", "kernel.blob.bounds"),
)
def blob_chain(case: KernelCase) -> Checks:
    """The file does not store the number of blobs. The sizes in the header of each blob lead to the next one."""
    head = case.dump.blob_header
    if head is None:
        return
    yield ok("secondary data", 1 + len(case.dump.blobs))
    # BuildNumber is NtBuildNumber. Only writers of small dumps are known to agree on the build.
    if head["BuildNumber"] >> 28 in _BUILDS:
        yield ok("secondary data, BuildNumber")
    else:
        actual = f"{head['BuildNumber']:#x}"
        expected = ("0xf0000000 + build", "0xc0000000 + build, of a checked build")
        yield bad("secondary data, BuildNumber", expected, actual, head.span_of("BuildNumber"))


@kernel_rule(
    "KFIL-BLOB-002",
    "A small dump has at least the file header of secondary data",
    Level.SHOULD,
    Source("docs/format/kernel-secondary-data.md#secondary-data-in-small-dumps", Grade.OBSERVED),
    Source("docs/format/kernel-small-real.md#secondary-data-of-a-small-dump", Grade.OBSERVED),
    needs=("triage",),
    applies=lambda case: engine_of(case.request) is None and (case.dump.triage is None or not engine_that_wrote(case)),
)
def blobs_present(case: KernelCase) -> Checks:
    """The secondary data begins exactly at SizeOfDump, even if that is no multiple of 8. Small dumps by Windows always
    have secondary data. The engines write it only if the target has some.
    """
    if case.dump.blob_header is not None:
        yield ok("secondary data")
    else:
        assert case.dump.primary_end is not None
        at = case.dump.primary_end
        yield bad("secondary data", f"DumpBlob at {at:#x}", "none", Span(at, at), fault=Fault.MISSING)


@kernel_rule(
    "KFIL-BLOB-003",
    "Secondary data is what the bug-check callbacks supplied",
    Level.MUST,
    Source("docs/format/kernel-secondary-data.md#source-of-the-blobs", Grade.DOCUMENTED),
    Source("docs/format/kernel-secondary-data.md#padding-of-a-blob", Grade.OBSERVED),
    applies=lambda case: (
        own(case)
        and case.dump.primary_end is not None
        and (case.dump.type != HEADER or case.dump.blob_header is not None)
    ),
)
def blob_contents(case: KernelCase) -> Checks:
    """Each blob has its tag and its bytes, in the order of the callbacks, and PrePad 0. In layout A zeros pad a blob to
    a multiple of 8, in layout B never. Dumps with pages may do either. A dump of type 3 needs no secondary data.
    """
    dump, truth = case.dump, truth_of(case)
    layout_b = dump.triage is not None and dump.triage.layout == "B"
    end = dump.primary_end or 0
    if dump.blob_header is None:
        if truth.blobs:
            wanted = f"{len(truth.blobs)} blobs"
            yield bad("secondary data", wanted, "none", Span(end, end), fault=Fault.MISSING)
        else:
            yield ok("secondary data")
        return
    build = _BLOB_BUILD + truth.system.build_number
    span = dump.blob_header.span_of("BuildNumber")
    actual = dump.blob_header["BuildNumber"]
    yield ok("BuildNumber") if actual == build else bad("BuildNumber", f"{build:#x}", f"{actual:#x}", span)
    blobs = dump.blobs
    if len(blobs) == len(truth.blobs) + 1 and dump.triage is not None and dump.build <= 9600 and _is_last(blobs[-1]):
        blobs = blobs[:-1]
    if len(blobs) != len(truth.blobs):
        span = dump.blob_header.span
        yield bad("secondary data", f"{len(truth.blobs)} blobs", f"{len(blobs)}", span)
    for blob, held in zip(blobs, truth.blobs, strict=False):
        path, record = blob.record.path, blob.record
        yield from same_bytes(f"{path}, Tag", held.tag, record.raw("Tag"), record.span_of("Tag"))
        data = dump.source.read(blob.data.start, len(blob.data))
        yield from same_bytes(f"{path}, data", held.data, data, record.span_of("DataSize") if not data else blob.data)
        before, behind = blob.pads
        rounded = -len(blob.data) % 8
        sizes = (0,) if layout_b else (rounded,) if dump.triage is not None else (0, rounded)
        if len(before):
            yield bad(f"{path}, PrePad", "0", f"{len(before)}", record.span_of("PrePad"))
        if len(behind) not in sizes:
            shown = tuple(str(size) for size in sizes)
            yield bad(f"{path}, PostPad", shown, f"{len(behind)}", record.span_of("PostPad"))
        elif len(behind):
            yield from blank_area(dump, f"{path}, PostPad", behind, only_zero=True)


def _is_last(blob: BlobFact) -> bool:
    """Whether this is the empty blob that ends each chain of build 9600.

    docs/format/kernel-secondary-data.md#end-of-the-chain
    """
    return not any(blob.record.raw("Tag")) and not len(blob.data) and not any(map(len, blob.pads))
