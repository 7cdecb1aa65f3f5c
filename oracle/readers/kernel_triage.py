"""Reads small dumps: TRIAGE_DUMP, and the parts, lists and strings that its offsets locate.

Source: docs/format/kernel-small.md#triage-header.
"""

from __future__ import annotations

from ..decode import decode, structure
from ..model import Span
from .kernel_dump import XP, DataBlock, KernelDump, PoolString, TriageFacts
from .reading import Owner

# Part -> offset field, size field; None if the header has no size for it.
_BLOCKS = (
    ("mm", "MmOffset", None),
    ("unloaded", "UnloadedDriversOffset", None),
    ("prcb", "PrcbOffset", None),
    ("process", "ProcessOffset", None),
    ("thread", "ThreadOffset", None),
    ("stack", "CallStackOffset", "SizeOfCallStack"),
    ("debugger data", "DebuggerDataOffset", "DebuggerDataSize"),
    ("drivers", "DriverListOffset", "DriverCount"),
    ("pool", "StringPoolOffset", "StringPoolSize"),
    ("block table", "DataBlocksOffset", "DataBlocksCount"),
    ("data page", "DataPageOffset", "DataPageSize"),
)
_SAVED = {"prcb": "SizePrcb", "process": "SizeEProcess", "thread": "SizeEThread"}

FACTS = ("triage.blocks", "triage.drivers", "triage.strings", "triage.unloaded", "triage.data")

UNLOADED_ROOM = 50
"""How many entries fit in the unloaded list of layout B (docs/format/kernel-small.md#unloaded-drivers)."""


def read_triage(dump: KernelDump) -> None:
    """Fill ``dump.triage`` and find its facts. Without a sound TRIAGE_DUMP, all of them are broken.

    A small dump of Windows 2000 is not read: its TRIAGE_DUMP is shorter
    (docs/format/kernel-small-layouts.md#older-and-32-bit-small-dumps).
    """
    if dump.bits == 32 and 0 < dump.build < XP:
        dump.claim(Span(dump.header_size, dump.source.size), "small dump of Windows 2000")
        return
    header = decode(dump.source, dump.header_size, f"TRIAGE_DUMP{dump.bits}", "triage header")
    size, valid = header["SizeOfDump"], header["ValidOffset"]
    least = dump.header_size + header.structure.size + 4
    if not header.complete or not least <= size <= dump.source.size or valid + 4 != size:
        dump.defect(
            "kernel.triage.size",
            "triage header",
            f"SizeOfDump from {least:#x} to the file's {dump.source.size:#x}, ValidOffset = SizeOfDump - 4",
            f"SizeOfDump {size:#x}, ValidOffset {valid:#x}",
            header.span_of("SizeOfDump"),
            header.span_of("ValidOffset"),
            loses=("triage", "memory", *FACTS),
        )
        return
    triage = dump.triage = TriageFacts(header)
    dump.found("triage")
    dump.found("memory")
    dump.claim(header.span, "triage header")
    dump.claim(Span(valid, size), "end marker")
    dump.primary_end = size
    if header["UnloadedDriversOffset"] > header["DebuggerDataOffset"]:
        triage.layout = "B"
    # First, because KDBG holds the sizes of the parts that the header has no size for.
    _place(dump, triage, "debugger data", header["DebuggerDataOffset"], header["DebuggerDataSize"])
    for name, offset_field, size_field in _BLOCKS:
        if name == "debugger data":
            continue
        offset = header[offset_field]
        stored = None if size_field is None else header[size_field]
        _place(dump, triage, name, offset, _size(dump, triage, name, offset, stored))
    _read_lists(dump, triage)
    for fact in FACTS:
        dump.found(fact)


def _size(dump: KernelDump, triage: TriageFacts, name: str, offset: int, stored: int | None) -> int:
    """The size of a part, in bytes. ``stored`` is its size field in the triage header, in bytes or elements."""
    if name == "drivers":
        return (stored or 0) * structure(f"DUMP_DRIVER_ENTRY{dump.bits}").size
    if name == "block table":
        return (stored or 0) * structure("TRIAGE_DATA_BLOCK").size
    if stored is not None:
        return stored
    if name == "mm":
        return structure(f"DUMP_MM_STORAGE{dump.bits}").size
    if name == "unloaded":
        triage.unloaded_count = int.from_bytes(dump.source.read(offset, 4), "little") if offset else 0
        entries = UNLOADED_ROOM if triage.layout == "B" else triage.unloaded_count
        return 8 + max(entries, triage.unloaded_count) * structure(f"DUMP_UNLOADED_DRIVERS{dump.bits}").size
    debugger = dump.debugger_data
    if debugger is not None and debugger[_SAVED[name]]:
        return debugger[_SAVED[name]]
    # Without KDBG the part ends where the next part begins, as in rizin
    # (docs/format/kernel-small.md#offsets-of-the-parts).
    others = (triage.header[field] for _, field, _ in _BLOCKS)
    return min((other for other in others if other > offset), default=offset) - offset


def _place(dump: KernelDump, triage: TriageFacts, name: str, offset: int, size: int) -> None:
    """Claim ``[offset, offset + size)`` for a part. It is a defect if the part is not inside the small dump."""
    if not offset or not size:
        return
    least = triage.header.span.end
    if offset < least or offset + size > triage.header["ValidOffset"]:
        dump.defect(
            "kernel.triage.bounds",
            name,
            f"bytes between {least:#x} and ValidOffset {triage.header['ValidOffset']:#x}",
            f"{offset:#x} to {offset + size:#x}",
            triage.header.span,
            loses=("triage.blocks", *_COSTS.get(name, ())),
        )
        return
    triage.blocks[name] = Span(offset, offset + size)
    dump.claim(triage.blocks[name], name)


_COSTS = {
    "drivers": ("triage.drivers",),
    "pool": ("triage.strings",),
    "unloaded": ("triage.unloaded",),
    "block table": ("triage.data",),
}


def _read_lists(dump: KernelDump, triage: TriageFacts) -> None:
    spans = triage.blocks
    if "mm" in spans:
        triage.mm = decode(dump.source, spans["mm"].start, f"DUMP_MM_STORAGE{dump.bits}", "MM storage")
    if "unloaded" in spans:
        size = structure(f"DUMP_UNLOADED_DRIVERS{dump.bits}").size
        for index in range(dump.grant(triage.unloaded_count, "unloaded drivers", "triage.unloaded")):
            at = spans["unloaded"].start + 8 + index * size
            triage.unloaded.append(
                decode(dump.source, at, f"DUMP_UNLOADED_DRIVERS{dump.bits}", f"unloaded driver {index}")
            )
    if "drivers" in spans:
        name = f"DUMP_DRIVER_ENTRY{dump.bits}"
        size = structure(name).size
        for index in range(dump.grant(len(spans["drivers"]) // size, "drivers", "triage.drivers")):
            triage.drivers.append(decode(dump.source, spans["drivers"].start + index * size, name, f"driver {index}"))
    if "pool" in spans:
        _read_pool(dump, triage, spans["pool"])
    if "block table" in spans:
        _read_data_blocks(dump, triage, spans["block table"])
    else:
        triage.data_end = max((span.end for span in spans.values()), default=triage.header.span.end)
    # A rule judges these bytes: docs/format/kernel-small-layouts.md#place-of-the-end-marker.
    dump.claim(Span(triage.data_end, triage.header["ValidOffset"]), "room before the end marker", Owner.PADDING)


def _read_pool(dump: KernelDump, triage: TriageFacts, pool: Span) -> None:
    """Read the pool: records of length, units and NUL, padded to 8 bytes. The last one ends where the pool ends."""
    at = pool.start
    while at < pool.end:
        length = int.from_bytes(dump.source.read(at, 4), "little")
        end = at + -(-(4 + 2 * length + 2) // 8) * 8
        if end <= pool.end and not dump.grant(1, "strings of the pool", "triage.strings"):
            return
        if end > pool.end:
            dump.defect(
                "kernel.triage.pool",
                "string pool",
                f"records that end at {pool.end:#x}",
                f"a record at {at:#x} of {length} units, to {end:#x}",
                Span(at, min(at + 4, pool.end)),
                loses=("triage.strings",),
            )
            return
        units = dump.source.read(at + 4, 2 * length)
        terminated = dump.source.read(at + 4 + 2 * length, 2) == b"\0\0"
        triage.strings[at] = PoolString(at, length, units.decode("utf-16-le", "replace"), terminated)
        at = end


def _read_data_blocks(dump: KernelDump, triage: TriageFacts, table: Span) -> None:
    size = structure("TRIAGE_DATA_BLOCK").size
    valid = triage.header["ValidOffset"]
    triage.data_end = table.end
    for index in range(dump.grant(len(table) // size, "data blocks", "triage.data")):
        record = decode(dump.source, table.start + index * size, "TRIAGE_DATA_BLOCK", f"data block {index}")
        block = DataBlock.of(record, dump.bits)
        if block.offset < table.end or block.size == 0 or block.offset + block.size > valid:
            dump.defect(
                "kernel.triage.data",
                record.path,
                f"at least one byte between {table.end:#x} and {valid:#x}",
                f"{block.offset:#x} to {block.offset + block.size:#x}",
                record.span,
                loses=("triage.data",),
            )
            continue
        triage.data_blocks.append(block)
        dump.claim(block.span, record.path, Owner.MEMORY)
        triage.data_end = max(triage.data_end, block.offset + block.size)
