"""Captured memory and the map of the address space, as far as the streams alone can tell."""

from __future__ import annotations

from collections.abc import Iterator

from ...case import Case
from ...decode import enumeration, structure
from ...memory.page import PAGE_SIZE
from ...memory.page_compare import differing, first_difference
from ...model import Grade, Level, Source, Span
from ...readers.facts import MemoryRange
from ...rule import Checks, bad, ok, rule
from .threads import unpadded


def _ranges(case: Case, stream: int) -> list[MemoryRange]:
    return [item for item in case.dump.memory if item.stream == stream]


@rule(
    "MDMP-MEMORY-001",
    "The memory list is as long as its count says",
    Level.MUST,
    Source("minidumpapiset.h MINIDUMP_MEMORY_LIST; spec user-mode 3.8, 4 V09", Grade.DOCUMENTED),
    needs=("stream.5",),
    reports=("list.size.5",),
)
def memory_list_size(case: Case) -> Checks:
    """DataSize is 4 + 16 n. With another size readers drop the list, and with it every stack."""
    if not case.dump.defects_of("list.size.5"):
        count = len(_ranges(case, 5)) + case.dump.defects_of("memory.range")
        yield from unpadded(case, case.dump.streams[5], count, "MINIDUMP_MEMORY_DESCRIPTOR")


@rule(
    "MDMP-MEMORY-002",
    "Every memory range has bytes, in the file and in the address space",
    Level.MUST,
    Source("minidumpapiset.h MINIDUMP_MEMORY_DESCRIPTOR; spec user-mode 4 V13", Grade.DOCUMENTED),
    Source("google/breakpad src/processor/minidump.cc drops the list otherwise", Grade.IMPLEMENTED),
    needs=("stream.5",),
    reports=("memory.range",),
)
def memory_ranges(case: Case) -> Checks:
    """A range of no bytes, one that wraps and one behind the end of the file say nothing true about the target."""
    count = len(_ranges(case, 5))
    if count:
        yield ok("memory ranges", count)


@rule(
    "MDMP-MEMORY-003",
    "The bytes of the ranges follow the memory list without a gap, in its order",
    Level.SHOULD,
    Source("spec user-mode 3.8, 4 V14: 44 of 44 Microsoft files", Grade.OBSERVED),
    needs=("memory.5",),
)
def contiguous(case: Case) -> Checks:
    """Readers do not care; other writers do it otherwise."""
    expected = case.dump.streams[5].span.end
    for item in _ranges(case, 5):
        if item.offset == expected:
            yield ok(f"memory {item.start:#x}")
        else:
            span = item.record.span_of("Memory.Rva")
            yield bad(f"memory {item.start:#x}", f"Rva {expected:#x}", f"{item.offset:#x}", span)
        expected = item.span.end


def _first_difference(case: Case, one: int, other: int, size: int) -> int | None:
    """Where the bytes at two file offsets first differ, relative to them."""
    source = case.dump.source
    for low, high in differing(source, one, source, other, size):
        return low + first_difference(source.read(one + low, high - low), source.read(other + low, high - low))
    return None


def _overlaps(ranges: list[MemoryRange]) -> Iterator[tuple[MemoryRange, MemoryRange]]:
    """Each range with the one before it, in address order, that reaches into it."""
    last: MemoryRange | None = None
    for item in sorted(ranges, key=lambda item: (item.start, item.end)):
        if last is not None and item.start < last.end:
            yield last, item
        if last is None or item.end > last.end:
            last = item


@rule(
    "MDMP-MEMORY-004",
    "Where ranges of the memory list overlap, they hold the same bytes",
    Level.MUST,
    Source("spec user-mode 3.8, 4 V15: an instruction window inside a stack, 1 file", Grade.OBSERVED),
    needs=("memory.5",),
)
def overlapping_bytes(case: Case) -> Checks:
    """An address has one value. Old writers store an instruction window twice when it lies in a stack; one's own
    writer merges the ranges, because Breakpad refuses a list that overlaps.
    """
    ranges = _ranges(case, 5)
    failed = 0
    budget = case.dump.source.size
    for first, second in _overlaps(ranges):
        size = min(first.end, second.end) - second.start
        at: int | None = 0
        if case.truth is None and size <= budget:
            budget -= size
            at = _first_difference(case, first.offset + second.start - first.start, second.offset, size)
        if at is None:
            continue
        failed += 1
        expected = "no overlap" if case.truth else f"the same bytes as in range {first.start:#x}"
        actual = f"{size} bytes common with range {first.start:#x}" if case.truth else "another byte"
        yield bad(f"memory {second.start + at:#x}", expected, actual, first.record.span, second.record.span)
    if len(ranges) > failed:
        yield ok("memory ranges", len(ranges) - failed)


@rule(
    "MDMP-MEMORY-005",
    "No two ranges of the memory list touch",
    Level.MUST,
    Source("spec user-mode 3.8, 4 V51: neighbours are merged in 44 of 44 Microsoft files", Grade.OBSERVED),
    needs=("memory.5",),
    foreign_level=Level.SHOULD,
)
def merged_neighbours(case: Case) -> Checks:
    """Readers look an address up in one range: a value that crosses from one into the next is not found by all. A stack
    may stay a range of its own, since a debugger looks for it as one.
    """
    stacks = {(thread.stack_start, thread.stack_end) for thread in case.dump.threads}
    ranges = sorted(_ranges(case, 5), key=lambda item: (item.start, item.end))
    for first, second in zip([None, *ranges], ranges, strict=False):
        alone = first is not None and ((first.start, first.end) in stacks or (second.start, second.end) in stacks)
        if first is not None and first.end == second.start and not alone:
            expected = f"a start above {first.end:#x}, where another range ends"
            span = second.record.span_of("StartOfMemoryRange")
            yield bad(f"memory {second.start:#x}", expected, f"{second.start:#x}", span)
        else:
            yield ok(f"memory {second.start:#x}")


@rule(
    "MDMP-MEMORY64-001",
    "The 64-bit memory list is as long as its count says",
    Level.MUST,
    Source("minidumpapiset.h MINIDUMP_MEMORY64_LIST; spec user-mode 3.8, 4 V11", Grade.DOCUMENTED),
    needs=("stream.9",),
    reports=("list.size.9",),
)
def memory64_list_size(case: Case) -> Checks:
    """DataSize is 16 + 16 n. WinDbg ignores the stream otherwise, rust-minidump fails it."""
    if not case.dump.defects_of("list.size.9"):
        yield ok("stream 9")


@rule(
    "MDMP-MEMORY64-002",
    "The bytes of the 64-bit memory list end with the file",
    Level.MUST,
    Source("MINIDUMP_MEMORY64_LIST page: raw memory at the end; spec user-mode 4 V12", Grade.DOCUMENTED),
    needs=("stream.9",),
    reports=("memory64.bounds",),
)
def memory64_end(case: Case) -> Checks:
    """The position of each range's bytes is the sum of the sizes before it, so one wrong size moves all that follow.
    BaseRva plus all sizes is the size of the file; a foreign file may have more behind it."""
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
    "Everything else lies in front of the 64-bit memory list's bytes",
    Level.MUST,
    Source("MINIDUMP_MEMORY64_LIST page: raw memory at the end; spec user-mode 4 V12", Grade.DOCUMENTED),
    needs=("memory.9", "accounting"),
)
def memory64_last(case: Case) -> Checks:
    """So that a reader can map the small structures alone, and because a 32-bit RVA cannot reach behind 4 GiB of
    memory. Zeros that round the file up are nothing.
    """
    base = case.dump.memory64_base
    assert base is not None
    own = {item.span for item in _ranges(case, 9)}
    claims = [claim for claim in case.dump.claims if claim.owner != "padding"]
    late = [claim for claim in claims if claim.span.end > base and claim.span not in own]
    for claim in late:
        yield bad(claim.label, f"an end at most {base:#x}", f"{claim.span.end:#x}", claim.span)
    if len(claims) > len(late) + len(own):
        yield ok("regions", len(claims) - len(late) - len(own))


@rule(
    "MDMP-MEMORY64-004",
    "The ranges of the 64-bit memory list ascend and do not overlap",
    Level.MUST,
    Source("spec user-mode 3.8, 4 V16", Grade.INFERRED),
    needs=("memory.9",),
)
def memory64_sorted(case: Case) -> Checks:
    """They are the committed regions in address order: each starts at or behind the end of the one
    before.
    """
    last = None
    for item in _ranges(case, 9):
        if last is not None and item.start < last.end:
            expected = f"a start from {last.end:#x} on"
            span = item.record.span_of("StartOfMemoryRange")
            yield bad(f"memory {item.start:#x}", expected, f"{item.start:#x}", span)
        else:
            yield ok(f"memory {item.start:#x}")
        last = item


@rule(
    "MDMP-MEMORY64-005",
    "Every range of the 64-bit memory list has bytes, in the address space",
    Level.MUST,
    Source(
        "rust-minidump and llvm/lib/Object/Minidump.cpp fail the stream; spec user-mode 4 V13, 5", Grade.IMPLEMENTED
    ),
    needs=("stream.9",),
    reports=("memory64.range",),
)
def memory64_ranges(case: Case) -> Checks:
    """A range of no bytes and one that wraps say nothing true about the target."""
    count = len(_ranges(case, 9))
    if count:
        yield ok("memory ranges", count)


@rule(
    "MDMP-MEMORYINFO-001",
    "The memory info list is as long as its header says",
    Level.MUST,
    Source("minidumpapiset.h MINIDUMP_MEMORY_INFO_LIST; spec user-mode 3.9, 4 V10", Grade.DOCUMENTED),
    needs=("stream.16",),
    reports=("list.header.16", "list.size.16"),
)
def memory_info_size(case: Case) -> Checks:
    """SizeOfHeader 16, SizeOfEntry 48, DataSize 16 + 48 n; public readers refuse other sizes."""
    if "memory_info" in case.dump.facts:
        yield ok("stream 16")


@rule(
    "MDMP-MEMORYINFO-002",
    "The regions are a VirtualQuery walk: from 0, gapless, in whole pages",
    Level.MUST,
    Source("spec user-mode 3.9, 4 V36: 3 of 3 files", Grade.OBSERVED),
    needs=("memory_info",),
    foreign_level=Level.SHOULD,
)
def gapless_regions(case: Case) -> Checks:
    """Each region begins where the one before ends, so every address has exactly one answer."""
    expected = 0
    for record in case.dump.memory_infos:
        base, size = record["BaseAddress"], record["RegionSize"]
        if base != expected or size == 0 or size % PAGE_SIZE or base % PAGE_SIZE:
            actual = f"{size:#x} bytes from {base:#x}"
            yield bad(record.path, f"whole pages from {expected:#x} on", actual, record.span)
        else:
            yield ok(record.path)
        expected = base + size


@rule(
    "MDMP-MEMORYINFO-003",
    "Every region is committed, reserved or free, and typed to match",
    Level.MUST,
    Source("winnt.h MEM_*, PAGE_*; spec user-mode 3.9, 4 V36, V40", Grade.DOCUMENTED),
    needs=("memory_info",),
    foreign_level=Level.SHOULD,
)
def region_states(case: Case) -> Checks:
    """A free region has protection PAGE_NOACCESS and nothing else; a reserved one has no protection (Windows
    reports 1 for one region at the top); a committed one has one of the eight protections, perhaps with modifiers,
    and a type.
    """
    state = enumeration("MEM_STATE")
    types = set(enumeration("MEM_TYPE").members.values())
    basic = {1 << bit for bit in range(8)}
    for record in case.dump.memory_infos:
        protect, kind = record["Protect"], record["Type"]
        allocation = (record["AllocationBase"], record["AllocationProtect"])
        if record["State"] == state["MEM_FREE"]:
            right = protect == 1 and kind == 0 and allocation == (0, 0)
        elif record["State"] == state["MEM_RESERVE"]:
            right = protect in {0, 1} and kind in types
        else:
            modifiers = protect & ~0xFF & ~enumeration("PAGE_PROTECTION").mask
            right = (
                record["State"] == state["MEM_COMMIT"] and protect & 0xFF in basic and not modifiers and kind in types
            )
        if right:
            yield ok(record.path)
            continue
        actual = (
            f"State {record['State']:#x}, Protect {protect:#x}, Type {kind:#x}, AllocationBase {allocation[0]:#x}, "
            f"AllocationProtect {allocation[1]:#x}"
        )
        start = record.span.start + structure("MINIDUMP_MEMORY_INFO").fields["State"].offset
        yield bad(record.path, "values that VirtualQuery returns together", actual, Span(start, start + 12))
