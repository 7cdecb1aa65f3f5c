"""Judges the lists of a small kernel dump by themselves: drivers, names, unloaded drivers, data blocks."""

from __future__ import annotations

from typing import Final

from ...budget import Work
from ...case import KernelCase
from ...decode import Record
from ...model import Grade, Level, Source, Span
from ...readers.kernel_dump import DataBlock, Extent
from ...readers.kernel_triage import UNLOADED_ROOM
from ...rule import Checks, bad, kernel_rule, ok, own
from .asserts import blank_area, header_of
from .writer import is_measured, triage_of

_NO_MODULE_LIST: Final = (1, 2)
"""WriterStatus: no module list, a corrupt one (docs/format/kernel-header-fields.md#writerstatus)."""
_OVERFLOWED: Final = 0x100
"""Bit of TriageOptions: the list was truncated (docs/format/kernel-small.md#triageoptions)."""
_MAX_NAME: Final = 24
"""Size of the name in bytes: WCHAR[12] (docs/format/kernel-small.md#unloaded-drivers)."""


@kernel_rule(
    "KTRI-POOL-001",
    "The string pool consists of whole records",
    Level.MUST,
    Source("docs/format/kernel-small.md#string-pool", Grade.WITNESSED, versions=("15063", "29507")),
    Source("docs/format/kernel-small.md#string-pool", Grade.OBSERVED),
    reports=("kernel.triage.pool",),
    needs=("triage",),
    applies=is_measured,
)
def pool(case: KernelCase) -> Checks:
    """A record is the Length in UTF-16 units, the units, a NUL, and padding to 8. With a Length in bytes the next
    record begins at the wrong offset, and all later names are wrong.
    """
    for string in triage_of(case).strings.values():
        span = Span(string.offset, string.offset + 4 + 2 * string.length + 2)
        yield ok("string") if string.terminated else bad("string", "a NUL after the characters", "none", span)


@kernel_rule(
    "KTRI-POOL-002",
    "Records that no driver refers to are empty",
    Level.MUST,
    Source("docs/format/kernel-small.md#string-pool", Grade.OBSERVED),
    needs=("triage", "triage.strings", "triage.drivers"),
    applies=is_measured,
)
def pool_surplus(case: KernelCase) -> Checks:
    """Layout B reserves more than it needs; the zeros there read as empty records. A name without a driver means that a
    driver was lost.
    """
    triage = triage_of(case)
    used = {driver["DriverNameOffset"] for driver in triage.drivers}
    for offset, string in triage.strings.items():
        if offset in used or string.length == 0:
            yield ok("string")
        else:
            yield bad(
                "string",
                "a driver that refers to the name",
                f"no driver refers to {string.text!r}",
                Span(offset, offset + 4),
            )


@kernel_rule(
    "KTRI-DRIVERS-001",
    "DriverNameOffset of every driver leads to a name in the string pool",
    Level.MUST,
    Source("docs/format/kernel-small.md#string-pool", Grade.OBSERVED),
    Source("docs/format/kernel-small.md#driver-list", Grade.IMPLEMENTED),
    needs=("triage", "triage.drivers", "triage.strings"),
    applies=is_measured,
)
def driver_names(case: KernelCase) -> Checks:
    """DriverNameOffset is the file offset of the start of a record in the string pool. Without truth the name may be
    empty: it lies in paged pool, which may be paged out.
    """
    triage = triage_of(case)
    for driver in triage.drivers:
        string = triage.strings.get(driver["DriverNameOffset"])
        if string is not None and (string.length or not own(case)):
            yield ok(driver.path)
        else:
            actual = f"{driver['DriverNameOffset']:#x}"
            yield bad(driver.path, "the offset of a name in the pool", actual, driver.span_of("DriverNameOffset"))


@kernel_rule(
    "KTRI-DRIVERS-002",
    "The first driver is the kernel",
    Level.MUST,
    Source("docs/format/kernel-small.md#what-a-small-dump-must-hold", Grade.DOCUMENTED),
    Source("docs/format/kernel-small.md#contents-of-driver-entries", Grade.OBSERVED),
    needs=("triage", "triage.drivers"),
    applies=lambda case: case.dump.debugger_data is not None and (own(case) or not has_no_module_list(case)),
)
def kernel_first(case: KernelCase) -> Checks:
    """The list is not empty, and DllBase of its first entry is KernBase of the debugger data. Without truth the rule
    skips a dump whose WriterStatus says that the target had no sound module list.
    """
    drivers, record = triage_of(case).drivers, case.dump.debugger_data
    assert record is not None
    base = case.dump.address(record["KernBase"])
    if not drivers:
        where = triage_of(case).header.span_of("DriverCount")
        yield bad("driver list", "at least one driver", "none", where)
    elif drivers[0]["DllBase"] == base:
        yield ok("driver 0, DllBase")
    else:
        actual = f"{drivers[0]['DllBase']:#x}"
        yield bad("driver 0, DllBase", f"{base:#x}, KernBase", actual, drivers[0].span_of("DllBase"))


def has_no_module_list(case: KernelCase) -> bool:
    """Whether WriterStatus says that the module list was missing or corrupt."""
    return header_of(case.dump)["WriterStatus"] in _NO_MODULE_LIST


def _is_whole_list(case: KernelCase) -> bool:
    return own(case) or not (triage_of(case).header["TriageOptions"] & _OVERFLOWED or has_no_module_list(case))


@kernel_rule(
    "KTRI-DRIVERS-003",
    "In layout B the links of neighbouring driver entries agree",
    Level.MUST,
    Source("docs/format/kernel-small-layouts.md#driver-entries-by-layout", Grade.OBSERVED),
    needs=("header", "triage", "triage.drivers"),
    applies=lambda case: case.dump.triage is not None and case.dump.triage.layout == "B" and _is_whole_list(case),
)
def driver_links(case: KernelCase) -> Checks:
    """The first Blink and the last Flink are PsLoadedModuleList. Flink of an entry equals Blink of the entry two places
    later. BaseDllName has the length of the name in the pool. Without truth the rule skips a list that the writer
    calls truncated or corrupt.
    """
    triage, header = triage_of(case), header_of(case.dump)
    drivers, head = triage.drivers, header["PsLoadedModuleList"]
    if not drivers:
        return
    wanted = [(drivers[0], "InLoadOrderLinks.Blink", head), (drivers[-1], "InLoadOrderLinks.Flink", head)]
    wanted += [
        (drivers[index], "InLoadOrderLinks.Flink", drivers[index + 2]["InLoadOrderLinks.Blink"])
        for index in range(len(drivers) - 2)
    ]
    for driver in drivers:
        string = triage.strings.get(driver["DriverNameOffset"])
        if string is not None:
            wanted.append((driver, "BaseDllName.Length", 2 * string.length))
    for driver, name, value in wanted:
        if driver[name] == value:
            yield ok(f"{driver.path}, {name}")
        else:
            yield bad(f"{driver.path}, {name}", f"{value:#x}", f"{driver[name]:#x}", driver.span_of(name))


@kernel_rule(
    "KTRI-UNLOADED-001",
    "There are at most 50 unloaded drivers, each with a range and a name of at most 12 characters",
    Level.MUST,
    Source("docs/format/kernel-small.md#unloaded-drivers", Grade.OBSERVED),
    needs=("triage", "triage.unloaded"),
    applies=lambda case: case.dump.triage is not None and "unloaded" in case.dump.triage.blocks and is_measured(case),
)
def unloaded(case: KernelCase) -> Checks:
    """A count precedes the entries. Layout B has room for 50; unused entries are zero."""
    triage = triage_of(case)
    span = triage.blocks["unloaded"]
    if triage.unloaded_count <= UNLOADED_ROOM:
        yield ok("unloaded drivers")
    else:
        where = Span(span.start, span.start + 4)
        yield bad("unloaded drivers", f"at most {UNLOADED_ROOM}", f"{triage.unloaded_count}", where)
    for entry in triage.unloaded:
        yield from _unloaded(entry)
    end = triage.unloaded[-1].span.end if triage.unloaded else span.start + 8
    if end < span.end:
        yield from blank_area(case.dump, "unused entries", Span(end, span.end), only_zero=True)
    if case.dump.bits == 64:
        yield from blank_area(case.dump, "count", Span(span.start + 4, span.start + 8), only_zero=True)


def _unloaded(entry: Record) -> Checks:
    start, end, length = entry["StartAddress"], entry["EndAddress"], entry["Name.Length"]
    if start <= end:
        yield ok(entry.path)
    else:
        yield bad(entry.path, f"an end of at least {start:#x}", f"{end:#x}", entry.span_of("EndAddress"))
    if length <= _MAX_NAME and length % 2 == 0:
        yield ok(f"{entry.path}, name")
    else:
        expected = f"an even length up to {_MAX_NAME}"
        yield bad(f"{entry.path}, name", expected, f"{length}", entry.span_of("Name.Length"))


@kernel_rule(
    "KTRI-DATA-001",
    "Every data block lies between the block table and the end marker",
    Level.MUST,
    Source("docs/format/kernel-small.md#data-block-table", Grade.WITNESSED, versions=("29507",)),
    Source("docs/format/kernel-small.md#data-block-table", Grade.OBSERVED),
    reports=("kernel.triage.data",),
    needs=("triage",),
)
def data_inside(case: KernelCase) -> Checks:
    """A block has at least one byte."""
    blocks = triage_of(case).data_blocks
    if blocks:
        yield ok("data blocks", len(blocks))


@kernel_rule(
    "KTRI-DATA-002",
    "Blocks with common addresses hold the same bytes",
    Level.MUST,
    Source("docs/format/kernel-small.md#overlapping-data-blocks", Grade.OBSERVED),
    needs=("triage", "triage.data"),
)
def data_agrees(case: KernelCase) -> Checks:
    """Data blocks may overlap each other and the saved stack. If two copies differ, they were captured at different
    times, and readers disagree on which one to show.
    """
    triage = triage_of(case)
    extents: list[DataBlock | Extent] = list(triage.data_blocks)
    stack = triage.blocks.get("stack")
    if stack is not None:
        top = triage.header["TopOfStack"]
        extents.append(Extent(top, top + len(stack), stack.start))
    before: DataBlock | Extent | None = None
    for item in sorted(extents, key=lambda item: (item.start, item.end)):
        if before is not None and item.start < before.end:
            size = min(before.end, item.end) - item.start
            at = before.offset + item.start - before.start
            shared = at == item.offset
            # Blocks of a hostile dump hold the same bytes of the file many times.
            if not shared and case.dump.budget.grant(Work.BYTES, size, "common bytes of data blocks") < size:
                return
            if not shared and case.dump.source.read(at, size) != case.dump.source.read(item.offset, size):
                what = f"{item.start:#x}..{item.start + size:#x}"
                spans = (Span(at, at + size), Span(item.offset, item.offset + size))
                yield bad(what, "the same bytes in both blocks", "other bytes", *spans)
        yield ok("blocks")
        if before is None or item.end > before.end:
            before = item


@kernel_rule(
    "KTRI-DATA-003",
    "Every data block lies in the address space",
    Level.MUST,
    Source("docs/format/kernel-small.md#data-block-table", Grade.IMPLEMENTED),
    needs=("triage", "triage.data"),
)
def data_addresses(case: KernelCase) -> Checks:
    """Address + Size is at most 2^64, or 2^32 for a 32-bit target."""
    limit = 1 << case.dump.bits
    for block in triage_of(case).data_blocks:
        start = case.dump.address(block.start)
        if start + block.size <= limit:
            yield ok(block.record.path)
        else:
            actual = f"{start + block.size:#x}"
            yield bad(block.record.path, f"an end of at most {limit:#x}", actual, block.record.span_of("Address"))
