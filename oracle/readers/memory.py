"""Reads streams 5, 9 and 16 of a minidump: captured memory, and the map of the address space."""

from __future__ import annotations

from bisect import bisect_right

from ..budget import Work
from ..decode import decode, structure
from ..model import Span
from .container import STREAM, STREAM_FACTS, read_counted, read_headed, settle
from .facts import Dump, MemoryRange
from .reading import Claim, Owner
from .table import Table

ADDRESS_SPACE = 1 << 64
"""Bytes. No range may end beyond."""
_COMPRESSED = (STREAM["CompressedMemoryStream"], STREAM["CompressedMemoryStreamSQL"])
"""With one of these the memory is not read, for its layout is unknown
(docs/format/minidump-memory.md#compressed-memory)."""


def read_memory_list(dump: Dump) -> None:
    """Read stream 5 into ``dump.memory`` (docs/format/minidump-memory.md#memory-list)."""
    stream = dump.streams.get(STREAM["MemoryListStream"])
    if stream is None:
        return
    table = read_counted(dump, stream, "MINIDUMP_MEMORY_LIST", "MINIDUMP_MEMORY_DESCRIPTOR", "memory range")
    dump.descriptors = table
    listed: set[tuple[int, ...]] = set()
    claims, size_of_file = dump.claims, dump.source.size
    for index, row in enumerate(table.rows("StartOfMemoryRange", "Memory.DataSize", "Memory.Rva")):
        start, size, rva = row
        if size == 0:
            dump.empty_ranges.append(index)
        elif start + size > ADDRESS_SPACE or rva + size > size_of_file:
            if not dump.again("memory.range"):
                _beyond(dump, table, index, row)
        else:
            dump.memory.append(MemoryRange(start, size, rva, 5, table, index))
            if row not in listed:  # the same descriptor again names the same bytes
                listed.add(row)
                claims.append(Claim(rva, rva + size, f"memory {start:#x}", Owner.MEMORY))
    for index in dump.empty_ranges:
        dump.dont_care(table[index].span_of("Memory.Rva"), "Rva: the range has no bytes")
    settle(dump, stream.type)


def _beyond(dump: Dump, table: Table, index: int, row: tuple[int, ...]) -> None:
    start, size, rva = row
    dump.defect(
        "memory.range",
        f"memory range {start:#x}",
        f"bytes inside the file of {dump.source.size} bytes and inside the address space",
        f"{size} bytes at file offset {rva:#x}",
        table[index].span,
        loses=STREAM_FACTS[5],
    )


def read_memory64_list(dump: Dump) -> None:
    """Read stream 9 into ``dump.memory`` (docs/format/minidump-memory.md#memory64-list)."""
    stream = dump.streams.get(STREAM["Memory64ListStream"])
    if stream is None:
        return
    head = decode(dump.source, stream.rva, "MINIDUMP_MEMORY64_LIST", stream.name)
    entry = structure("MINIDUMP_MEMORY_DESCRIPTOR64").size
    count, base = head["NumberOfMemoryRanges"], head["BaseRva"]
    if stream.size != head.structure.size + count * entry:
        dump.defect(
            "list.size.9",
            stream.name,
            f"DataSize {head.structure.size + count * entry} for {count} ranges",
            f"DataSize {stream.size}",
            stream.record.span_of("Location.DataSize"),
            head.span_of("NumberOfMemoryRanges"),
            loses=STREAM_FACTS[stream.type],
        )
        count = min(count, max(0, stream.size - head.structure.size) // entry)
    dump.headers[stream.type] = head
    if any(number in dump.streams for number in _COMPRESSED):
        return
    dump.memory64_base = base
    offset = base
    first = head.span.end
    granted = dump.grant(count, stream.name, *STREAM_FACTS[stream.type], work=Work.RANGES)
    places = range(first, first + granted * entry, entry)
    table = Table(dump.source, "MINIDUMP_MEMORY_DESCRIPTOR64", "memory range", places)
    for index, (start, size) in enumerate(table.rows("StartOfMemoryRange", "DataSize")):
        if start + size > ADDRESS_SPACE:
            dump.defect(
                "memory64.range",
                f"memory range {start:#x}",
                "bytes inside the address space",
                f"{size:#x} bytes",
                table[index].span,
                loses=STREAM_FACTS[stream.type],
            )
        if offset + size > dump.source.size:
            dump.defect(
                "memory64.bounds",
                f"memory range {start:#x}",
                f"an end at most {dump.source.size:#x}, where the file ends",
                f"{offset + size:#x}",
                head.span_of("BaseRva"),
                table[index].span_of("DataSize"),
                loses=STREAM_FACTS[stream.type],
            )
            break
        if size:
            dump.memory.append(MemoryRange(start, size, offset, 9, table, index))
            dump.claims.append(Claim(offset, offset + size, f"memory {start:#x}", Owner.MEMORY))
        offset += size
    settle(dump, stream.type)


def read_memory_infos(dump: Dump) -> None:
    """Read stream 16 and fill ``dump.memory_infos`` (docs/format/minidump-memory.md#memory-info-list)."""
    stream = dump.streams.get(STREAM["MemoryInfoListStream"])
    if stream is None:
        return
    dump.memory_infos = read_headed(dump, stream, "MINIDUMP_MEMORY_INFO_LIST", ("MINIDUMP_MEMORY_INFO",), "memory info")
    settle(dump, stream.type)


def claim_stacks(dump: Dump) -> None:
    """Claim the stacks whose bytes no memory range owns: only the thread's record names them."""
    spans = sorted((item.offset, item.offset + item.size) for item in dump.memory)
    starts = [start for start, _ in spans]
    for thread in dump.threads:
        span = Span(thread.stack_rva, thread.stack_rva + thread.stack_size)
        if span.start == 0 or span.end > dump.source.size:
            continue
        index = bisect_right(starts, span.end - 1) - 1
        if index < 0 or spans[index][1] <= span.start:
            dump.claim(span, f"stack of thread {thread.id:#x}", Owner.MEMORY, shared=True)
