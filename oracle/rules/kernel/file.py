"""The file of a kernel dump as a whole: whose bytes are whose, secondary data, what follows everything."""

from __future__ import annotations

from ...case import KernelCase
from ...model import Fault, Grade, Level, Source, Span
from ...readers.kernel_dump import HEADER, TRIAGE, BlobFact, KernelDump
from ...rule import Check, Checks, bad, kernel_rule, ok, own
from ..asserts import same_bytes
from ..overlaps import overlaps
from .asserts import blank, blank_area, header_of, spec, truth_of

_BLOB_BUILD = 0xF000_0000


@kernel_rule(
    "KFIL-LAYOUT-001",
    "No two things of the file want the same bytes",
    Level.MUST,
    spec("6.1 A17, 6.5 T3 [S 72/72]", Grade.OBSERVED),
    needs=("accounting",),
)
def no_overlap(case: KernelCase) -> Checks:
    """Headers, bitmap or runs, pages, the blocks of a small dump and secondary data have bytes of their own. Where two
    overlap, one of them is wrong.
    """
    yield from overlaps(case.dump.accounting)


@kernel_rule(
    "KFIL-LAYOUT-002",
    "Every byte before secondary data belongs to something",
    Level.MUST,
    spec("6.1 A17: no hole at all in small dumps [S 72/72]", Grade.OBSERVED),
    needs=("accounting",),
    applies=lambda case: case.dump.primary_end is not None,
)
def no_hole(case: KernelCase) -> Checks:
    """Header, bitmap or runs, pages, blocks. Bytes that nothing refers to are lost data, leaked data, or a reference
    that points elsewhere.
    """
    dump = case.dump
    assert dump.primary_end is not None
    holes = 0
    for gap in dump.accounting.gaps:
        if gap.start < dump.primary_end:
            holes += 1
            yield bad("hole", "bytes that something owns", f"{len(gap):#x} bytes", gap, fault=Fault.FORBIDDEN)
    if dump.accounting.regions > holes:
        yield ok("regions", dump.accounting.regions - holes)


@kernel_rule(
    "KFIL-ROOM-001",
    "The room between the bitmap and the first page is less than a page, and empty",
    Level.MUST,
    spec("2.6, 6.1 A17, 6.2 B6", Grade.INFERRED),
    needs=("bitmap",),
    foreign_level=Level.SHOULD,
)
def room_behind_bitmap(case: KernelCase) -> Checks:
    """HeaderSize may be rounded up, so that pages are page-aligned in the file; no more than that, and with nothing in
    between.
    """
    dump = case.dump
    assert dump.bitmap is not None
    span = Span(dump.bitmap.end, dump.pages.first)
    if len(span) < 0x1000:
        yield ok("room behind the bitmap")
    else:
        yield bad("room behind the bitmap", "less than 0x1000 bytes", f"{len(span):#x}", span)
    yield from blank_area(dump, "room behind the bitmap", span)


@kernel_rule(
    "KFIL-TAIL-001",
    "Behind the dump there is secondary data, or nothing",
    Level.MUST,
    spec("3.7, 5, 6.1 A16 [S 72/72]", Grade.OBSERVED),
    applies=lambda case: case.dump.tail is not None,
)
def tail(case: KernelCase) -> Checks:
    """The file ends with the pages, or with the last blob. The small dumps of some builds were first extended to
    RequiredDumpSpace: behind their last blob come zeros up to a multiple of 512, and then what the disk had. A dump of
    one's own in that layout has zeros only.
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
            yield from blank_area(dump, "behind the last blob", dump.tail, only_zero=True)
        else:
            yield _surplus(dump)
    elif extended:
        zeros = Span(dump.tail.start, min(-(-dump.tail.start // 512) * 512, dump.tail.end))
        if blank(dump.source.view(zeros.start, len(zeros)), zeros.start) == "zero":
            yield ok("behind the last blob")
        else:
            yield bad("behind the last blob", "zeros up to a multiple of 512", "other bytes", zeros)
    else:
        yield _surplus(dump)


def _surplus(dump: KernelDump) -> Check:
    assert dump.tail is not None
    what = "a DumpBlob region, or the end of the file" if dump.blob_header is None else "the end of the file"
    return bad("behind the dump", what, f"{len(dump.tail):#x} bytes", dump.tail, fault=Fault.FORBIDDEN)


def _space(dump: KernelDump) -> int:
    return header_of(dump)["RequiredDumpSpace"]


@kernel_rule(
    "KFIL-CEILING-001",
    "The file names no more than the judge can examine",
    Level.MUST,
    Source("no known kernel dump comes near; spec kernel-mode 3.2, 3.7 have the largest seen", Grade.OBSERVED),
    reports=("kernel.ceiling",),
)
def within_ceiling(case: KernelCase) -> Checks:
    """A file may name runs, blocks and blobs by the million. What lies beyond the ceiling was not examined, so it
    cannot be called conformant.
    """
    if not case.dump.defects_of("kernel.ceiling"):
        yield ok("file")


@kernel_rule(
    "KFIL-BLOB-001",
    "The chain of secondary data holds together",
    Level.MUST,
    spec("5, 6.5 T16 [S 72/72: 1474 blobs]", Grade.OBSERVED),
    reports=("kernel.blob.header", "kernel.blob.bounds"),
)
def blob_chain(case: KernelCase) -> Checks:
    """There is no count: each blob's header tells where the next begins. Readers follow it by these sizes alone."""
    head = case.dump.blob_header
    if head is None:
        return
    yield ok("secondary data", 1 + len(case.dump.blobs))
    # BuildNumber is 0xF0000000 + build; which build, only a small dump's writer is known to agree on.
    if head["BuildNumber"] >> 28 == 0xF:
        yield ok("secondary data, BuildNumber")
    else:
        actual = f"{head['BuildNumber']:#x}"
        yield bad("secondary data, BuildNumber", "0xf0000000 + build", actual, head.span_of("BuildNumber"))


@kernel_rule(
    "KFIL-BLOB-002",
    "Every small dump has secondary data, at least its header",
    Level.SHOULD,
    spec("3.7, 3.8 step 9 [S 72/72]", Grade.OBSERVED),
    needs=("triage",),
)
def blobs_present(case: KernelCase) -> Checks:
    """At SizeOfDump exactly, even where that is no multiple of 8."""
    if case.dump.blob_header is not None:
        yield ok("secondary data")
    else:
        assert case.dump.primary_end is not None
        at = case.dump.primary_end
        yield bad("secondary data", f"DumpBlob at {at:#x}", "none", Span(at, at), fault=Fault.MISSING)


@kernel_rule(
    "KFIL-BLOB-003",
    "Secondary data is what the bug-check callbacks gave",
    Level.MUST,
    Source("learn.microsoft.com KBUGCHECK_SECONDARY_DUMP_DATA; spec kernel-mode 5", Grade.DOCUMENTED),
    applies=lambda case: (
        own(case)
        and case.dump.primary_end is not None
        and (case.dump.type != HEADER or case.dump.blob_header is not None)
    ),  # a header alone has none
)
def blob_contents(case: KernelCase) -> Checks:
    """Each blob in order, its tag and its bytes; no PrePad; behind each, zeros up to a multiple of 8 in layout A and in
    dumps with pages, or nothing.
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
    """The blob that ends every chain of build 9600: no tag, no data (spec kernel-mode 3.7, 5 [S 40/40])."""
    return not any(blob.record.raw("Tag")) and not len(blob.data) and not any(map(len, blob.pads))
