"""Judges a small kernel dump by itself: triage header, blocks, and the gaps between them."""

from __future__ import annotations

from typing import Final

from ...case import KernelCase
from ...decode import Record, enumeration, structure
from ...entitlement.kernel_writers import WINDOWS, writers_of
from ...model import Fault, Grade, Level, Source, Span
from ...readers.architectures import ARCHITECTURES
from ...readers.kernel_dump import TRIAGE
from ...rule import Checks, bad, kernel_rule, ok, own
from .asserts import EXCEPTION_CONTEXT, blank_area, header_of
from .writer import is_measured, may_be_by_the_engine, triage_of

_MARKER: Final = b"TRGD"
_IN_HEADER: Final = {
    64: {"ContextOffset": 0x348, "ExceptionOffset": 0xF00},
    32: {"ContextOffset": 0x320, "ExceptionOffset": 0x7D0},
}
_OFFSETS: Final = (
    *("ContextOffset", "ExceptionOffset", "MmOffset", "UnloadedDriversOffset", "PrcbOffset", "ProcessOffset"),
    *("ThreadOffset", "CallStackOffset", "DriverListOffset", "StringPoolOffset", "BrokenDriverOffset"),
    *("DataPageOffset", "DebuggerDataOffset", "DataBlocksOffset"),
)
# Bits of MiniDumpFields that are reliable, with their offset fields (docs/format/kernel-small.md#minidumpfields).
_BITS: Final = {
    "TRIAGE_DUMP_CONTEXT": "ContextOffset",
    "TRIAGE_DUMP_EXCEPTION": "ExceptionOffset",
    "TRIAGE_DUMP_PRCB": "PrcbOffset",
    "TRIAGE_DUMP_PROCESS": "ProcessOffset",
    "TRIAGE_DUMP_THREAD": "ThreadOffset",
    "TRIAGE_DUMP_STACK": "CallStackOffset",
    "TRIAGE_DUMP_DRIVER_LIST": "DriverListOffset",
    "TRIAGE_DUMP_DATAPAGE": "DataPageOffset",
    "TRIAGE_DUMP_DEBUGGER_DATA": "DebuggerDataOffset",
    "TRIAGE_DUMP_DATA_BLOCKS": "DataBlocksOffset",
}
_BLOCK_SIZES: Final = frozenset({0x290, 0x318, 0x328, 0x330, 0x340, 0x360, 0x368, 0x380, 0x3A0, 0x3A8})
"""Sizes of all versions of KDDEBUGGER_DATA64 (docs/format/kernel-debugger-data.md#size-of-the-block)."""
_SMALL: Final = 2 << 20
_FIXED_SIZE: Final = 0x40000
"""docs/format/kernel-small-layouts.md#place-of-the-end-marker."""


def _header(case: KernelCase) -> Record:
    return triage_of(case).header


@kernel_rule(
    "KTRI-END-001",
    "SizeOfDump is at most the size of the file, and the dump ends with the end marker",
    Level.MUST,
    Source("docs/format/kernel-small.md#size-and-end-marker", Grade.WITNESSED, versions=("15063", "29507")),
    Source("docs/format/kernel-small.md#size-and-end-marker", Grade.OBSERVED),
    reports=("kernel.triage.size",),
    applies=lambda case: case.dump.type == TRIAGE,
)
def end_marker(case: KernelCase) -> Checks:
    """ValidOffset is SizeOfDump - 4, and the four bytes there are TRGD. A missing marker means that the dump was not
    finished.
    """
    if case.dump.triage is None:
        return
    at = _header(case)["ValidOffset"]
    found = case.dump.source.read(at, 4)
    yield ok("end marker") if found == _MARKER else bad("end marker", "TRGD", repr(found)[1:], Span(at, at + 4))


@kernel_rule(
    "KTRI-BLOCK-001",
    "Every offset is 0 or lies after the triage header",
    Level.MUST,
    Source("docs/format/kernel-small.md#offsets-of-the-parts", Grade.WITNESSED, versions=("29507",)),
    Source("docs/format/kernel-small.md#offsets-of-the-parts", Grade.OBSERVED),
    needs=("triage",),
)
def offsets(case: KernelCase) -> Checks:
    """Offset 0 means that the part is missing. Context and exception record may lie in the main header."""
    header = _header(case)
    for name in _OFFSETS:
        offset = header[name]
        if not offset or offset >= header.span.end or offset == _IN_HEADER[case.dump.bits].get(name):
            yield ok(f"triage header, {name}")
        else:
            expected = f"0, or at least {header.span.end:#x}"
            yield bad(f"triage header, {name}", expected, f"{offset:#x}", header.span_of(name))


@kernel_rule(
    "KTRI-BLOCK-002",
    "Every block ends before the end marker",
    Level.MUST,
    Source("docs/format/kernel-small.md#triage-header-as-read", Grade.WITNESSED, versions=("29507",)),
    Source("docs/format/kernel-small.md#offsets-of-the-parts", Grade.OBSERVED),
    reports=("kernel.triage.bounds",),
    needs=("triage",),
)
def blocks_inside(case: KernelCase) -> Checks:
    """Each block lies after the triage header and ends at or before ValidOffset."""
    blocks = triage_of(case).blocks
    if blocks:
        yield ok("blocks", len(blocks))


@kernel_rule(
    "KTRI-BLOCK-003",
    "Every block begins at a multiple of 8",
    Level.MUST,
    Source("docs/format/kernel-small.md#offsets-of-the-parts", Grade.WITNESSED, versions=("29507",)),
    Source("docs/format/kernel-small.md#offsets-of-the-parts", Grade.OBSERVED),
    needs=("triage",),
    applies=is_measured,
)
def blocks_aligned(case: KernelCase) -> Checks:
    """The sizes of the blocks are multiples of 8. The bytes of data blocks are not aligned."""
    for name, span in triage_of(case).blocks.items():
        if span.start % 8 == 0:
            yield ok(name)
        else:
            yield bad(name, "a multiple of 8", f"{span.start:#x}", span)


@kernel_rule(
    "KTRI-FLAGS-001",
    "MiniDumpFields has a bit exactly for each part in the dump",
    Level.MUST,
    Source("docs/format/kernel-small.md#minidumpfields", Grade.WITNESSED, versions=("15063", "29507")),
    Source("docs/format/kernel-small.md#minidumpfields", Grade.OBSERVED),
    needs=("header", "triage"),
    applies=is_measured,
)
def fields_mask(case: KernelCase) -> Checks:
    """A part is in the dump if its offset is not 0. The bits for the broken driver and for memory information do not
    follow this in files by Windows, so they are not judged.
    """
    header, main = _header(case), header_of(case.dump)
    names = enumeration("TRIAGE_DUMP_FIELDS")
    mask = main["MiniDumpFields"]
    for name, field in _BITS.items():
        if bool(mask & names[name]) == bool(header[field]):
            yield ok(f"MiniDumpFields, {name}")
        else:
            expected = f"the bit {'set' if header[field] else 'clear'}, because {field} is {header[field]:#x}"
            yield bad(f"MiniDumpFields, {name}", expected, f"{mask:#x}", main.span_of("MiniDumpFields"))


@kernel_rule(
    "KTRI-PARTS-001",
    "Context, exception record, KPRCB and call stack are in the dump",
    Level.MUST,
    Source("docs/format/kernel-small.md#what-a-small-dump-must-hold", Grade.WITNESSED, versions=("15063", "29507")),
    Source("docs/format/kernel-small.md#what-a-small-dump-must-hold", Grade.DOCUMENTED),
    needs=("triage",),
)
def parts(case: KernelCase) -> Checks:
    """Without these parts there is nothing to debug: the engine refuses the file. The stack may be empty, but needs an
    offset.
    """
    header = _header(case)
    for name in ("ContextOffset", "ExceptionOffset", "PrcbOffset", "CallStackOffset"):
        if header[name]:
            yield ok(f"triage header, {name}")
        else:
            yield bad(f"triage header, {name}", "an offset", "0", header.span_of(name), fault=Fault.MISSING)


@kernel_rule(
    "KTRI-STACK-001",
    "The stack pointer lies in the saved stack",
    Level.MUST,
    Source("docs/format/kernel-small.md#call-stack", Grade.OBSERVED),
    needs=("triage", "context"),
    applies=lambda case: own(case) or (is_measured(case) and not _may_leave_the_stack(case)),
)
def stack_pointer(case: KernelCase) -> Checks:
    """TopOfStack is the address of the first and lowest saved byte. Debuggers walk the stack from the stack pointer.
    Without truth the rule skips a dump that saved no stack, and the context of an exception: its stack pointer is
    higher than the saved stack may reach.
    """
    header, context = _header(case), case.dump.context
    assert context is not None
    assert case.dump.architecture is not None
    name = ARCHITECTURES[case.dump.architecture].sp
    top, size, sp = header["TopOfStack"], header["SizeOfCallStack"], context[name]
    if top <= sp < top + size:
        yield ok("stack pointer")
    else:
        yield bad("stack pointer", f"{top:#x} to {top + size:#x}", f"{sp:#x}", context.span_of(name))


def _may_leave_the_stack(case: KernelCase) -> bool:
    context, triage = case.dump.context, case.dump.triage
    raised = context is not None and bool(context["ContextFlags"] & EXCEPTION_CONTEXT)
    return raised or triage is None or "stack" not in triage.blocks


@kernel_rule(
    "KTRI-STACK-002",
    "The saved stack begins at the stack pointer",
    Level.SHOULD,
    Source("docs/format/kernel-small.md#call-stack", Grade.OBSERVED),
    needs=("triage", "context"),
    applies=lambda case: case.dump.context is not None and not case.dump.context["ContextFlags"] & EXCEPTION_CONTEXT,
)
def stack_begins_at_pointer(case: KernelCase) -> Checks:
    """Bytes below the stack pointer are left over from earlier calls. The rule exempts the context of an exception:
    there the saved stack begins at the bug check.
    """
    header, context = _header(case), case.dump.context
    assert context is not None
    assert case.dump.architecture is not None
    sp = context[ARCHITECTURES[case.dump.architecture].sp]
    if header["TopOfStack"] == sp:
        yield ok("TopOfStack")
    else:
        yield bad("TopOfStack", f"{sp:#x}", f"{header['TopOfStack']:#x}", header.span_of("TopOfStack"))


@kernel_rule(
    "KTRI-SIZES-001",
    "The saved blocks have the sizes that the debugger data gives",
    Level.MUST,
    Source("docs/format/kernel-small.md#kprcb-eprocess-and-ethread", Grade.WITNESSED, versions=("15063", "29507")),
    Source("docs/format/kernel-small.md#debugger-data-part", Grade.WITNESSED, versions=("15063", "29507")),
    Source("docs/format/kernel-small.md#debugger-data-part", Grade.OBSERVED),
    needs=("triage", "triage.blocks"),
    applies=lambda case: case.dump.debugger_data is not None and is_measured(case),
)
def block_sizes(case: KernelCase) -> Checks:
    """The sizes are SizePrcb, SizeEProcess and SizeEThread. For KPRCB, EPROCESS and ETHREAD the triage header stores
    only offsets, so the size is the distance to the next block. Windows saves Header.Size bytes of the debugger data;
    each engine saves the size of its own structure. Without truth the size of any version of the structure is accepted.
    """
    triage, record = triage_of(case), case.dump.debugger_data
    assert record is not None
    starts = sorted(span.start for span in triage.blocks.values())
    for name, field in (("prcb", "SizePrcb"), ("process", "SizeEProcess"), ("thread", "SizeEThread")):
        span = triage.blocks.get(name)
        if span is None:
            continue
        following = next((start for start in starts if start > span.start), span.end)
        if record[field] == following - span.start:
            yield ok(name)
        else:
            expected = f"{record[field]:#x} bytes, {field}"
            yield bad(name, expected, f"{following - span.start:#x}", span, record.span_of(field))
    size, held = triage.header["DebuggerDataSize"], record["Header.Size"]
    accepted = {
        held if writer.debugger_data_size is None else writer.debugger_data_size: writer.name
        for writer in writers_of(case.request)
        if triage.layout in writer.layouts
    }
    if size in accepted or (not own(case) and triage.layout == "A" and {size, held} <= _BLOCK_SIZES):
        yield ok("debugger data")
    else:
        where = triage.header.span_of("DebuggerDataSize")
        sizes = tuple(f"{value:#x} bytes, as {name} writes" for value, name in accepted.items())
        yield bad("debugger data", sizes, f"{size:#x}", where)


@kernel_rule(
    "KTRI-SMALL-001",
    "SizeOfDump is at most 2 MiB",
    Level.SHOULD,
    Source("docs/format/kernel-small-real.md#limits-on-size", Grade.OBSERVED),
    needs=("triage",),
)
def small(case: KernelCase) -> Checks:
    """The limit excludes secondary data. Documents say 64 KB; 70 of 72 real files are within 2 MiB."""
    size = _header(case)["SizeOfDump"]
    if size <= _SMALL:
        yield ok("SizeOfDump")
    else:
        yield bad("SizeOfDump", f"at most {_SMALL:#x}", f"{size:#x}", _header(case).span_of("SizeOfDump"))


_FIRST_MEASURED: Final = 19041
"""The oldest build that is known to follow the recipe. Build 9600 fills a file of fixed size; builds between them are
unknown (docs/format/kernel-small-real.md#unused-bytes-before-the-marker).
"""


@kernel_rule(
    "KTRI-ROOM-001",
    "The gap before the end marker has the size that the alignment of data blocks needs, and is zero",
    Level.MUST,
    Source("docs/format/kernel-small-layouts.md#place-of-the-end-marker", Grade.WITNESSED, versions=("29507",)),
    Source("docs/format/kernel-small-layouts.md#place-of-the-end-marker", Grade.OBSERVED),
    needs=("triage", "triage.data"),
    applies=lambda case: case.dump.bits == 64 and (own(case) or case.dump.build >= _FIRST_MEASURED),
    foreign_level=Level.SHOULD,
)
def room(case: KernelCase) -> Checks:
    """The first marker is where the data blocks would end if each were padded to 8. In layout B zeros follow up to a
    multiple of 512, then a second marker. The kernel of build 9600 fills 256 KiB; its real files have stale bytes in
    the gap, so the rule needs truth there. The engines write no file of fixed size. 15063 does not clear the gap; so
    in a file of an engine it is judged with truth alone, and then it is a known error.
    """
    dump, triage = case.dump, triage_of(case)
    valid = triage.header["ValidOffset"]
    if own(case) and has_fixed_size(case):
        yield from blank_area(dump, "room before the end marker", Span(triage.data_end, valid), only_zero=True)
        return
    first = triage.data_end + sum(-block.size % 8 for block in triage.data_blocks)
    if triage.layout == "A":
        if valid != first:
            span = triage.header.span_of("ValidOffset")
            yield bad("end marker", f"at {first:#x}", f"{valid:#x}", span)
        if own(case) or not may_be_by_the_engine(case):
            yield from blank_area(dump, "room before the end marker", Span(triage.data_end, valid), only_zero=True)
        return
    found = dump.source.read(first, 4)
    if found == _MARKER and first <= valid:
        yield ok("first end marker")
    else:
        yield bad("first end marker", f"TRGD at {first:#x}", repr(found)[1:], Span(first, first + 4))
    yield from blank_area(dump, "room before the first end marker", Span(triage.data_end, first), only_zero=True)
    if first + 4 < valid:
        yield from blank_area(dump, "room after the first end marker", Span(first + 4, valid), only_zero=True)


def has_fixed_size(case: KernelCase) -> bool:
    """Whether the dump is one of 256 KiB, as the kernel of build 9600 writes."""
    size = triage_of(case).header["SizeOfDump"]
    return case.dump.build <= 9600 and size == _FIXED_SIZE and WINDOWS in writers_of(case.request)


def expected_places(case: KernelCase) -> dict[str, int]:
    """Expected offsets and sizes by triage header field, from the counts in the file.

    docs/format/kernel-small-layouts.md#recipe-of-a-small-dump
    """
    dump, triage = case.dump, triage_of(case)
    header, record = triage.header, dump.debugger_data
    assert record is not None
    unloaded = 8 + structure("DUMP_UNLOADED_DRIVERS64").size * (50 if triage.layout == "B" else triage.unloaded_count)
    order = [
        ("PrcbOffset", record["SizePrcb"]),
        ("ProcessOffset", record["SizeEProcess"]),
        ("ThreadOffset", record["SizeEThread"]),
        ("CallStackOffset", header["SizeOfCallStack"]),
        ("DebuggerDataOffset", header["DebuggerDataSize"]),
        ("UnloadedDriversOffset", unloaded),
        ("DriverListOffset", structure("DUMP_DRIVER_ENTRY64").size * header["DriverCount"]),
        ("StringPoolOffset", header["StringPoolSize"]),
        ("DataBlocksOffset", structure("TRIAGE_DATA_BLOCK").size * header["DataBlocksCount"]),
    ]
    if triage.layout == "A":
        order.insert(0, order.pop(5))
    at = header.span.end
    places = {"MmOffset": at}
    at += structure("DUMP_MM_STORAGE64").size
    for name, size in order:
        places[name] = at
        at += size
    names = (triage.strings.get(driver["DriverNameOffset"]) for driver in triage.drivers)
    lengths = [name.length for name in names if name is not None]
    if triage.layout == "A":
        places["StringPoolSize"] = sum(-(-(4 + 2 * length + 2) // 8) * 8 for length in lengths)
    else:
        places["StringPoolSize"] = -(-sum(2 * length + 15 for length in lengths) // 8) * 8
    marker = triage.data_end + sum(-block.size % 8 for block in triage.data_blocks)
    if triage.layout == "B":
        places["SizeOfDump"] = -(-(marker + 4) // 512) * 512
    else:
        places["SizeOfDump"] = _FIXED_SIZE if has_fixed_size(case) else marker + 4
    places["ValidOffset"] = places["SizeOfDump"] - 4
    return places


@kernel_rule(
    "KTRI-RECIPE-001",
    "Every offset and size follows the recipe of the layout",
    Level.MUST,
    Source("docs/format/kernel-small-layouts.md#order-of-the-parts", Grade.WITNESSED, versions=("15063", "29507")),
    Source("docs/format/kernel-small-layouts.md#recipe-of-a-small-dump", Grade.OBSERVED),
    needs=("triage", "triage.blocks", "triage.drivers", "triage.strings", "triage.unloaded", "triage.data"),
    applies=lambda case: case.dump.bits == 64 and case.dump.debugger_data is not None,
    foreign_level=Level.SHOULD,
)
def recipe(case: KernelCase) -> Checks:
    """Blocks follow each other in one of two orders, without padding. Some readers take the distance of two offsets for
    a size. The bytes of data blocks follow their table in its order.
    """
    triage = triage_of(case)
    header = triage.header
    for name, value in expected_places(case).items():
        if header[name] == value:
            yield ok(f"triage header, {name}")
        else:
            yield bad(f"triage header, {name}", f"{value:#x}", f"{header[name]:#x}", header.span_of(name))
    at = header["DataBlocksOffset"] + 16 * header["DataBlocksCount"]
    for block in triage.data_blocks:
        if block.offset == at:
            yield ok(block.record.path)
        else:
            yield bad(block.record.path, f"{at:#x}", f"{block.offset:#x}", block.record.span_of("Offset"))
        at += block.size
