"""Judges captured memory and the list of memory regions, each stream by itself (docs/format/minidump-memory.md)."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from operator import itemgetter
from typing import Final

from ...case import Case
from ...decode import enumeration
from ...memory.page import PAGE_SIZE
from ...memory.page_compare import differing, first_difference
from ...model import Grade, Level, Source, Span
from ...readers.facts import MemoryRange
from ...rule import Checks, bad, ok, rule
from .threads import unpadded

_STATE: Final = enumeration("MEM_STATE")
_TEBS: Final = enumeration("MINIDUMP_TYPE")["MiniDumpWithProcessThreadData"]


def _ranges(case: Case, stream: int) -> list[MemoryRange]:
    return [item for item in case.dump.memory if item.stream == stream]


def _passed(count: int) -> Checks:
    """As many passing checks of ranges, if there are any."""
    if count:
        yield ok("memory ranges", count)


@rule(
    "MDMP-MEMORY-001",
    "DataSize of the memory list matches its count",
    Level.MUST,
    Source("docs/format/minidump-memory.md#size-of-the-memory-list", Grade.WITNESSED, versions=("29507",)),
    needs=("stream.5",),
    reports=("list.size.5",),
)
def memory_list_size(case: Case) -> Checks:
    """DataSize is 4 + 16 * NumberOfMemoryRanges. Readers drop a list of another size, and with it every stack."""
    if not case.dump.defects_of("list.size.5"):
        count = len(_ranges(case, 5)) + case.dump.defects_of("memory.range") + len(case.dump.empty_ranges)
        yield from unpadded(case, case.dump.streams[5], count, "MINIDUMP_MEMORY_DESCRIPTOR")


@rule(
    "MDMP-MEMORY-002",
    "Every memory range lies inside the file and the address space",
    Level.MUST,
    Source("docs/format/minidump-memory.md#bounds-of-a-memory-range", Grade.WITNESSED, versions=("29507",)),
    needs=("stream.5",),
    reports=("memory.range",),
)
def memory_ranges(case: Case) -> Checks:
    """A range that wraps and one beyond the end of the file describe no memory of the target. The vendor's engine
    refuses a dump with a range beyond the file. Breakpad drops the whole list for one range that wraps.
    """
    yield from _passed(len(_ranges(case, 5)))


@rule(
    "MDMP-MEMORY-006",
    "Every memory range has bytes",
    Level.MUST,
    Source("docs/format/minidump-memory.md#bounds-of-a-memory-range", Grade.WITNESSED, versions=("29507",)),
    needs=("stream.5",),
    foreign_level=Level.SHOULD,
)
def ranges_with_bytes(case: Case) -> Checks:
    """A range of size 0 describes no memory. The vendor's engine and LLDB skip it, Breakpad drops the whole list."""
    for index in case.dump.empty_ranges:
        record = case.dump.descriptors[index]
        yield bad(record.path, "at least one byte", "none", record.span_of("Memory.DataSize"))
    yield from _passed(len(_ranges(case, 5)))


@rule(
    "MDMP-MEMORY-003",
    "The bytes of the ranges follow the memory list without a gap, in list order",
    Level.SHOULD,
    Source("docs/format/minidump-memory.md#bytes-of-the-memory-list", Grade.WITNESSED, versions=("15063", "29507")),
    needs=("memory.5",),
)
def contiguous(case: Case) -> Checks:
    """Microsoft's writers store the bytes in this order. Readers do not depend on it, and other writers use other
    orders.
    """
    expected = case.dump.streams[5].span.end
    right = 0
    for item in _ranges(case, 5):
        if item.offset == expected:
            right += 1
        else:
            span = item.record.span_of("Memory.Rva")
            yield bad(f"memory {item.start:#x}", f"Rva {expected:#x}", f"{item.offset:#x}", span)
        expected = item.offset + item.size
    yield from _passed(right)


def _first_difference(case: Case, one: int, other: int, size: int) -> int | None:
    """The first different byte, counted from each of two file offsets; None if ``size`` bytes are equal."""
    source = case.dump.source
    if size <= PAGE_SIZE and source.read(one, size) == source.read(other, size):
        return None
    for low, high in differing(source, one, source, other, size):
        return low + first_difference(source.read(one + low, high - low), source.read(other + low, high - low))
    return None


def _overlaps(ranges: list[MemoryRange]) -> Iterator[tuple[MemoryRange, MemoryRange]]:
    """Pairs of overlapping ranges in address order: an earlier one that reaches into a later one, and the later one."""
    last: MemoryRange | None = None
    top = 0
    for item in sorted(ranges, key=itemgetter(0, 1)):
        start, end = item.start, item.start + item.size
        if last is not None and start < top:
            yield last, item
        if last is None or end > top:
            last, top = item, end


@rule(
    "MDMP-MEMORY-004",
    "Overlapping ranges of the memory list hold the same bytes",
    Level.MUST,
    Source("docs/format/minidump-memory.md#overlap-of-memory-ranges", Grade.WITNESSED, versions=("29507",)),
    needs=("memory.5",),
)
def overlapping_bytes(case: Case) -> Checks:
    """An address has one value. Old writers store an instruction window twice if it lies in a stack, engine 15063 a
    part of a long stack. The vendor's engine refuses a dump if the common bytes differ. Engine 29507 leaves no overlap.
    """
    ranges = _ranges(case, 5)
    alone = case.request is not None and case.request.contract == "e29507"
    failed = 0
    budget = case.dump.source.size
    for first, second in _overlaps(ranges):
        size = min(first.end, second.end) - second.start
        at: int | None = 0
        if not alone and size <= budget:
            budget -= size
            at = _first_difference(case, first.offset + second.start - first.start, second.offset, size)
        if at is None:
            continue
        failed += 1
        expected = "no overlap (E29507 leaves none)" if alone else f"the same byte as in range {first.start:#x}"
        actual = f"{size} bytes shared with range {first.start:#x}" if alone else "a different byte"
        yield bad(f"memory {second.start + at:#x}", expected, actual, first.record.span, second.record.span)
    if len(ranges) > failed:
        yield ok("memory ranges", len(ranges) - failed)


@rule(
    "MDMP-MEMORY-005",
    "No two ranges of the memory list are adjacent",
    Level.SHOULD,
    Source("docs/format/minidump-memory-ranges.md#adjacent-ranges", Grade.OBSERVED),
    needs=("memory.5",),
    applies=lambda case: not case.dump.flags & _TEBS,
)
def merged_neighbours(case: Case) -> Checks:
    """Some readers look for an address in one range only, so they cannot read a value that continues in the next range.
    A stack may touch another range, since a debugger looks for a stack as a range. The engines leave adjacent TEBs.
    """
    stacks = {(thread.stack_start, thread.stack_size) for thread in case.dump.threads}
    ranges = sorted(_ranges(case, 5))
    adjacent = 0
    for first, second in pairwise(ranges):
        end = first.start + first.size
        if end == second.start and first[:2] not in stacks and second[:2] not in stacks:
            adjacent += 1
            expected = f"a start above {end:#x}, where another range ends"
            span = second.record.span_of("StartOfMemoryRange")
            yield bad(f"memory {second.start:#x}", expected, f"{second.start:#x}", span)
    yield from _passed(len(ranges) - adjacent)


@rule(
    "MDMP-MEMORY64-001",
    "DataSize of the 64-bit memory list matches its count",
    Level.MUST,
    Source("docs/format/minidump-memory.md#size-of-the-memory64-list", Grade.WITNESSED, versions=("29507",)),
    needs=("stream.9",),
    reports=("list.size.9",),
)
def memory64_list_size(case: Case) -> Checks:
    """DataSize is 16 + 16 * NumberOfMemoryRanges. The vendor's engine refuses the dump otherwise, and rust-minidump
    reports an error.
    """
    if not case.dump.defects_of("list.size.9"):
        yield ok("stream 9")


@rule(
    "MDMP-MEMORY64-002",
    "The bytes of the 64-bit memory list end at the end of the file",
    Level.MUST,
    Source("docs/format/minidump-memory.md#place-of-full-memory", Grade.WITNESSED, versions=("15063", "29507")),
    needs=("stream.9",),
    reports=("memory64.bounds",),
)
def memory64_end(case: Case) -> Checks:
    """The bytes of a range start at BaseRva plus the sizes of all ranges before it. One wrong size moves all ranges
    that follow. BaseRva plus all sizes is the size of the file. Foreign files may have more bytes at the end. The rule
    skips compressed memory, whose layout is unknown.
    """
    if case.dump.defects_of("memory64.bounds") or case.dump.memory64_base is None:
        return
    head = case.dump.headers[9]
    end = case.dump.memory64_base + sum(item.size for item in _ranges(case, 9))
    if case.truth is not None and end != case.dump.source.size:
        yield bad("stream 9", f"an end at {case.dump.source.size:#x}, where the file ends", f"{end:#x}", head.span)
    else:
        yield ok("memory ranges", max(1, len(_ranges(case, 9))))


@rule(
    "MDMP-MEMORY64-003",
    "The bytes of the 64-bit memory list follow all other parts of the file",
    Level.MUST,
    Source("docs/format/minidump-memory.md#place-of-full-memory", Grade.WITNESSED, versions=("15063", "29507")),
    needs=("memory.9", "accounting"),
    foreign_level=Level.SHOULD,
)
def memory64_last(case: Case) -> Checks:
    """A reader can then map the small structures alone. 32-bit RVAs reach them, even if the memory has more than 4 GiB.
    Zeros that round up the size of the file do not count.
    """
    base = case.dump.memory64_base
    assert base is not None
    own = {(item.offset, item.offset + item.size) for item in _ranges(case, 9)}
    claims = [claim for claim in case.dump.claims if claim.owner != "padding"]
    late = [claim for claim in claims if claim.end > base and claim[:2] not in own]
    for claim in late:
        yield bad(claim.label, f"an end at most {base:#x}", f"{claim.end:#x}", claim.span)
    if len(claims) > len(late) + len(own):
        yield ok("regions", len(claims) - len(late) - len(own))


@rule(
    "MDMP-MEMORY64-004",
    "The ranges of the 64-bit memory list ascend and do not overlap",
    Level.MUST,
    Source("docs/format/minidump-memory.md#order-of-full-memory", Grade.INFERRED),
    needs=("memory.9",),
)
def memory64_sorted(case: Case) -> Checks:
    """The ranges are the committed regions in address order. Each starts at or above the end of the one before."""
    end = right = 0
    for item in _ranges(case, 9):
        if item.start < end:
            span = item.record.span_of("StartOfMemoryRange")
            yield bad(f"memory {item.start:#x}", f"a start of {end:#x} or more", f"{item.start:#x}", span)
        else:
            right += 1
        end = item.start + item.size
    yield from _passed(right)


@rule(
    "MDMP-MEMORY64-005",
    "Every range of the 64-bit memory list lies inside the address space",
    Level.MUST,
    Source("docs/format/minidump-memory.md#empty-full-memory-ranges", Grade.IMPLEMENTED),
    needs=("stream.9",),
    reports=("memory64.range",),
)
def memory64_ranges(case: Case) -> Checks:
    """A range that wraps describes no memory of the target. A range of size 0 stands for a region that the writer could
    not read.
    """
    yield from _passed(len(_ranges(case, 9)))


@rule(
    "MDMP-MEMORYINFO-001",
    "DataSize of the memory info list matches its header",
    Level.MUST,
    Source("docs/format/minidump-memory.md#size-of-the-memory-info-list", Grade.DOCUMENTED),
    needs=("stream.16",),
    reports=("list.header.16", "list.size.16"),
)
def memory_info_size(case: Case) -> Checks:
    """SizeOfHeader is 16, SizeOfEntry 48, DataSize 16 + 48 * NumberOfEntries. Public readers refuse other sizes."""
    if "memory_info" in case.dump.facts:
        yield ok("stream 16")


@rule(
    "MDMP-MEMORYINFO-002",
    "The regions cover the address space from 0 without a gap, in whole pages",
    Level.MUST,
    Source("docs/format/minidump-memory.md#walk-of-the-address-space", Grade.WITNESSED, versions=("15063", "29507")),
    needs=("memory_info",),
    foreign_level=Level.SHOULD,
)
def gapless_regions(case: Case) -> Checks:
    """The list is a VirtualQuery walk. Each region begins where the one before ends, so every address lies in exactly
    one region.
    """
    infos = case.dump.memory_infos
    expected = right = 0
    for index, (base, size) in enumerate(infos.rows("BaseAddress", "RegionSize")):
        if base != expected or size == 0 or size % PAGE_SIZE or base % PAGE_SIZE:
            actual = f"{size:#x} bytes from {base:#x}"
            yield bad(infos[index].path, f"whole pages that start at {expected:#x}", actual, infos[index].span)
        else:
            right += 1
        expected = base + size
    if right:
        yield ok("regions", right)


@rule(
    "MDMP-MEMORYINFO-003",
    "Every region is committed, reserved or free, with matching protection and type",
    Level.MUST,
    Source("docs/format/minidump-memory.md#free-and-reserved-regions", Grade.DOCUMENTED),
    Source("docs/format/minidump-memory.md#page-protections", Grade.DOCUMENTED),
    needs=("memory_info",),
    foreign_level=Level.SHOULD,
)
def region_states(case: Case) -> Checks:
    """A free region has protection PAGE_NOACCESS, and no type or allocation. A reserved region has a type and no
    protection; Windows reports 1 for one region at the top. A committed region has a type and one of the eight
    protections, with or without modifiers.
    """
    infos = case.dump.memory_infos
    names = ("AllocationBase", "AllocationProtect", "State", "Protect", "Type")
    right: dict[tuple[int, ...], bool] = {}
    passed = 0
    for index, row in enumerate(infos.rows(*names)):
        free = row[2] == _STATE["MEM_FREE"]
        kind = row if free else (0, 0, *row[2:])
        if kind not in right:
            right[kind] = _sound_state(*kind)
        if right[kind]:
            passed += 1
            continue
        actual = (
            f"State {row[2]:#x}, Protect {row[3]:#x}, Type {row[4]:#x}, AllocationBase {row[0]:#x}, "
            f"AllocationProtect {row[1]:#x}"
        )
        start = infos[index].span_of("State").start
        yield bad(infos[index].path, "a combination that VirtualQuery returns", actual, Span(start, start + 12))
    if passed:
        yield ok("regions", passed)


def _sound_state(base: int, allocation: int, state: int, protect: int, kind: int) -> bool:
    """Whether VirtualQuery returns the combination. ``base`` and ``allocation`` count for a free region alone."""
    types = enumeration("MEM_TYPE").members.values()
    if state == _STATE["MEM_FREE"]:
        return (base, allocation, protect, kind) == (0, 0, 1, 0)
    if state == _STATE["MEM_RESERVE"]:
        return protect in {0, 1} and kind in types
    modifiers = protect & ~0xFF & ~enumeration("PAGE_PROTECTION").mask
    return state == _STATE["MEM_COMMIT"] and (protect & 0xFF).bit_count() == 1 and not modifiers and kind in types
