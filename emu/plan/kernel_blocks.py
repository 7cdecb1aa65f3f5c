"""Selects the data blocks of a small kernel dump, as measured in real ones.

docs/format/kernel-small-real.md#kernel-variables-in-data-blocks and the sections after it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..snapshot.kernel import KernelSnapshot
from ..snapshot.process import PAGE_SIZE
from .kernel_constants import KERNEL_HALF, PAGE_SHIFT
from .kernel_debugger_data import KDDEBUGGER_DATA64
from .kernel_memory import VirtualMemory
from .ranges import Range, merge, subtract

_TABLE_ENTRY = 0x10
_VERIFIER_DATA = 0x9C
_BUILD_LAB = 0x100
_CONTEXT = 0x4D0
_POINTED = 0x100
_STACK_CAP = 0x2000
_MAXIMUM_POINTED = 256
"""Most blocks for words that point at memory. Real dumps hold hundreds."""
_MAXIMUM_TRIAGE_ARRAY = 0x100
_REGISTERS = (
    "Rax", "Rcx", "Rdx", "Rbx", "Rsp", "Rbp", "Rsi", "Rdi", "R8", "R9", "R10", "R11", "R12", "R13", "R14", "R15",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class BlockPlan:
    """Virtual memory [address, address + size), and why the dump holds it."""

    address: int
    size: int
    reason: str
    zeros: bool = False
    """Bytes that cannot be read are written as zeros."""


def reserved(blocks: Sequence[BlockPlan]) -> int:
    """Return the bytes of the table and of the blocks, each block padded to 8.

    docs/format/kernel-small-layouts.md#place-of-the-end-marker
    """
    return sum(_TABLE_ENTRY + -(-block.size // 8) * 8 for block in blocks)


def data_blocks(
    snapshot: KernelSnapshot,
    memory: VirtualMemory,
    kdbg: KDDEBUGGER_DATA64,
    stack: BlockPlan,
    *,
    rich: bool,
    layout_b: bool,
    room: int | None,
) -> tuple[list[BlockPlan], int]:
    """Return the blocks in the order of collection, and how many did not fit into ``room`` bytes (None: no limit).

    ``rich`` selects the larger set of builds from 19041 on. Layout B collects less than layout A.
    """
    found = Collection(memory, room)
    if layout_b:
        _callback_ranges(found, snapshot)
        _addresses(found, snapshot)
        rip = snapshot.processors[snapshot.crashing_processor].context["Rip"]
        found.add(rip - 0x100, 0x200, "code around the instruction pointer", again=True)
        return found.blocks, found.dropped
    found.add(kdbg.MmVerifierData, _VERIFIER_DATA, "MmVerifierData")
    if not rich:
        found.add(kdbg.MmBadPagesDetected, 4, "MmBadPagesDetected")
        found.add(kdbg.MmZeroedPageSingleBitErrorsDetected, 4, "MmZeroedPageSingleBitErrorsDetected")
    found.add(kdbg.NtBuildLab, _BUILD_LAB, "NtBuildLab")
    found.add(stack.address, min(stack.size, _STACK_CAP), "the crashing stack at its address")
    if rich:
        _processors(found, snapshot, kdbg)
    registered_ranges(found, memory, kdbg)
    _callback_ranges(found, snapshot)
    _addresses(found, snapshot)
    if rich:
        _pointed(found, snapshot, stack)
    return found.blocks, found.dropped


class Collection:
    """Collects blocks of readable memory that do not overlap."""

    def __init__(self, memory: VirtualMemory, room: int | None = None) -> None:
        self.memory = memory
        self.blocks: list[BlockPlan] = []
        self.dropped = 0
        self._room = room
        self._covered: list[Range] = []

    def add(self, address: int, size: int, reason: str, *, again: bool = False, zeros: bool = False) -> int:
        """Add the readable parts of the range that are not covered yet; with ``again`` the covered parts, too.

        With ``zeros`` the parts that cannot be read are added as zeros. Return the number of bytes added.
        """
        if address <= 0 or size <= 0 or address >= 1 << 64:
            return 0
        parts = [(address, address + size)] if zeros else self.memory.readable(address, size)
        added = 0
        for start, end in parts if again else subtract(parts, self._covered):
            block = BlockPlan(start, end - start, reason, zeros)
            cost = reserved([block])
            if self._room is not None and cost > self._room:
                self.dropped += 1
                continue
            if self._room is not None:
                self._room -= cost
            self.blocks.append(block)
            added += end - start
        self._covered = merge([*self._covered, *parts])
        return added


def _processors(found: Collection, snapshot: KernelSnapshot, kdbg: KDDEBUGGER_DATA64) -> None:
    found.add(kdbg.KiProcessorBlock, 8 * len(snapshot.processors), "KiProcessorBlock")
    for processor in snapshot.processors:
        name = f"processor {processor.number}"
        found.add(processor.kprcb, kdbg.SizePrcb, f"KPRCB of {name}")
        context = found.memory.pointer(processor.kprcb + kdbg.OffsetPrcbContext) if kdbg.OffsetPrcbContext else None
        found.add(context or 0, _CONTEXT, f"CONTEXT of {name}")
        pointer = processor.context["Rsp"]
        if processor.stack_limit <= pointer < processor.stack_base:
            found.add(pointer, min(processor.stack_base - pointer, _STACK_CAP), f"stack of {name}")


def registered_ranges(found: Collection, memory: VirtualMemory, kdbg: KDDEBUGGER_DATA64) -> None:
    """Add the ranges of IopTriageDumpDataBlocks, a table of the kernel with {start, end} pairs."""
    data = memory.read(kdbg.IopNumTriageDumpDataBlocks, 4) if kdbg.IopNumTriageDumpDataBlocks else None
    if data is None:
        return
    found.add(kdbg.IopNumTriageDumpDataBlocks, 4, "IopNumTriageDumpDataBlocks")
    count = min(int.from_bytes(data, "little"), _MAXIMUM_TRIAGE_ARRAY)
    found.add(kdbg.IopTriageDumpDataBlocks, 16 * count, "IopTriageDumpDataBlocks")
    rows = memory.read(kdbg.IopTriageDumpDataBlocks, 16 * count) or b""
    for start, end in struct.iter_unpack("<QQ", rows):
        found.add(start, min(end - start, 0x10_0000), "range of IopTriageDumpDataBlocks")


def _callback_ranges(found: Collection, snapshot: KernelSnapshot) -> None:
    for address, size in snapshot.triage_data:
        found.add(address, size, "added by a KbCallbackTriageDumpData callback")


def _addresses(found: Collection, snapshot: KernelSnapshot) -> None:
    """Add page-table entries of relevant addresses, and the pages of registers and of the instruction pointer.

    docs/format/kernel-small-real.md#memory-around-registers,
    docs/format/kernel-small-real.md#page-table-entries-in-data-blocks
    """
    processor = snapshot.processors[snapshot.crashing_processor]
    context = processor.context.as_mapping()
    registers = [(name, context[name]) for name in _REGISTERS]
    fault = [("Cr2", dict(processor.special_registers).get("Cr2", 0))]
    parameters = [(f"bug check parameter {n}", value) for n, value in enumerate(snapshot.bug_check.parameters, 1)]
    for name, value in [("Rip", context["Rip"]), *registers, *fault, *parameters]:
        for address in _entries(found.memory, value):
            found.add(address, 8, f"page-table entry of {name}")
    found.add(context["Rip"] & -PAGE_SIZE, PAGE_SIZE, "page of the instruction pointer")
    for name, value in registers:
        if value >= KERNEL_HALF:
            found.add(value & -PAGE_SIZE, PAGE_SIZE, f"page around {name}")


def _entries(memory: VirtualMemory, address: int) -> Iterator[int]:
    """Yield the self-map addresses of the page-table entries of ``address``, from the root to the end of the walk."""
    index = memory.self_map()
    if index is None or address < PAGE_SIZE:
        return
    base = 0xFFFF_0000_0000_0000 | index << 39
    places = []
    at = address
    for _ in range(4):
        at = base + (at >> 9 & 0x7F_FFFF_FFF8)
        places.append(at)
    for place in reversed(places):
        entry = memory.pointer(place)
        if entry is None:
            return
        yield place
        if not entry & 1 or (entry & 0x80 and place != places[3]):
            return


def _pointed(found: Collection, snapshot: KernelSnapshot, stack: BlockPlan) -> None:
    """Add the memory from each address in a register or a stack word on."""
    context = snapshot.processors[snapshot.crashing_processor].context.as_mapping()
    words = [context[name] for name in _REGISTERS]
    data = found.memory.read(stack.address, stack.size) or b""
    words += [word for (word,) in struct.iter_unpack("<Q", data)]
    left = _MAXIMUM_POINTED
    for word in dict.fromkeys(words):
        if word >= KERNEL_HALF and left and word >> PAGE_SHIFT != (1 << 52) - 1:
            left -= bool(found.add(word, _POINTED, "memory that a register or the stack points at"))
