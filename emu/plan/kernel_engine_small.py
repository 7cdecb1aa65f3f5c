"""What the vendor's engines put into a small kernel dump: data blocks, memory counts, sizes of their own.

docs/format/kernel-small-layouts.md#data-blocks-of-the-engine and the section after it. The order and every size were
measured: 18 machines with 29507, three with 15063, each block equal.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from ..snapshot.kernel import KernelSnapshot, Processor
from ..snapshot.process import PAGE_SIZE
from .kernel_blocks import BlockPlan, Collection, registered_ranges
from .kernel_constants import CONTEXT_SIZE, KUSER_SHARED_DATA
from .kernel_debugger_data import KDDEBUGGER_DATA64
from .kernel_header import current_process, exception_context
from .kernel_memory import VirtualMemory
from .kernel_writers import KernelWriter

_VERIFIER_DATA = 0x9C
_BUILD_LAB = 0x100
_WINDOW = 0x100
_OTHER_STACK = 0x2000
_SPACE = 0x40000
_KUSER_FIELD = 0x730
"""Eight bytes of KUSER_SHARED_DATA that 29507 stores; the meaning is unknown."""
_LAST_BUILD_WITHOUT_KUSER_FIELD = 9600
_CONTEXT_RSP = 0x98
_REGISTERS = ("Rbx", "Rsi", "Rdi", "Rdx", "Rcx", "Rax", "Rip", "R8", "R9", "R10", "R11", "R12", "R13", "R14", "R15")
"""Registers whose pages are stored, in this order: neither Rsp nor Rbp."""
_POOL_COUNTS = (  # field of DUMP_MM_STORAGE64, pointer in KDBG, bytes of the variable, shift to the unit of the field
    ("MmSpecialPoolTag", "MmSpecialPoolTag", 4, 0),
    ("MiTriageActionTaken", "MmTriageActionTaken", 4, 0),
    ("KernelVerifier", "KernelVerifier", 4, 0),
    ("MmMaximumNonPagedPool", "MmMaximumNonPagedPoolInBytes", 8, 12),
    ("MmAllocatedNonPagedPool", "MmAllocatedNonPagedPool", 8, 0),
    ("PagedPoolMaximum", "MmSizeOfPagedPoolInBytes", 8, 12),
    ("CommittedPages", "MmTotalCommittedPages", 8, 0),
    ("CommittedPagesPeak", "MmPeakCommitment", 8, 0),
    ("CommitLimitMaximum", "MmTotalCommitLimitMaximum", 8, 0),
)


@dataclass(frozen=True, slots=True)
class Engine:
    """How a version of the engine writes small dumps."""

    debugger_data_size: int
    """DebuggerDataSize, whatever Header.Size of the block says."""
    processor_space: int
    """Bytes of RequiredDumpSpace for each processor, besides its structures."""
    whole_processor: bool
    """Stores the KPCR, the CONTEXT, the stack and the ETHREAD of each processor; else the KPRCB and the stack."""

    def space(self, kdbg: KDDEBUGGER_DATA64, processors: int) -> int:
        """Return RequiredDumpSpace without secondary data.

        docs/format/kernel-small-layouts.md#requireddumpspace-of-a-small-dump
        """
        thread: int = kdbg.SizeEThread if self.whole_processor else 0
        size: int = kdbg.SizePrcb
        return _SPACE + processors * (self.processor_space + size + thread)


ENGINES = {
    KernelWriter.E15063: Engine(debugger_data_size=0x368, processor_space=0x8008, whole_processor=False),
    KernelWriter.E29507: Engine(debugger_data_size=0x3A8, processor_space=0x20188, whole_processor=True),
}
"""docs/format/kernel-small.md#debugger-data-part, W15063 and W29507."""


def memory_counts(memory: VirtualMemory, kdbg: KDDEBUGGER_DATA64) -> tuple[tuple[str, int], ...]:
    """Return the counts whose KDBG pointers are not NULL (docs/format/kernel-small.md#memory-manager-counts)."""
    found = []
    for field, pointer, size, shift in _POOL_COUNTS:
        address: int = getattr(kdbg, pointer)
        data = memory.read(address, size) if address else None
        if data is not None:
            found.append((field, int.from_bytes(data, "little") >> shift))
    return tuple(found)


def engine_blocks(
    snapshot: KernelSnapshot, memory: VirtualMemory, kdbg: KDDEBUGGER_DATA64, stack: BlockPlan, engine: Engine
) -> list[BlockPlan]:
    """Return the blocks in the order of collection. Of a range that is stored in part, the rest is a block."""
    found = Collection(memory)
    found.add(kdbg.MmVerifierData, _VERIFIER_DATA, "MmVerifierData")
    found.add(kdbg.MmBadPagesDetected, 4, "MmBadPagesDetected")
    found.add(kdbg.MmZeroedPageSingleBitErrorsDetected, 4, "MmZeroedPageSingleBitErrorsDetected")
    if engine.whole_processor and snapshot.system.build_number > _LAST_BUILD_WITHOUT_KUSER_FIELD:
        found.add(KUSER_SHARED_DATA + _KUSER_FIELD, 8, "field of KUSER_SHARED_DATA")
    for processor in snapshot.processors:
        _processor(found, snapshot, kdbg, processor, engine)
    found.add(kdbg.KiProcessorBlock, 8 * len(snapshot.processors), "KiProcessorBlock")
    crashing = snapshot.processors[snapshot.crashing_processor]
    own = _other_stack(memory, kdbg, crashing, _stack_pointer(snapshot, memory, crashing))
    if not engine.whole_processor:
        found.add(own.address, own.size, own.reason)
    found.add(kdbg.NtBuildLab, _BUILD_LAB, "NtBuildLab")
    context = crashing.context.as_mapping()
    pointers = [(f"bug check parameter {n}", value) for n, value in enumerate(snapshot.bug_check.parameters, 1)]
    _add_pages(found, pointers)
    registered_ranges(found, memory, kdbg)
    _add_pages(found, [(name, context[name]) for name in _REGISTERS])
    sources = [(crashing.current_thread, kdbg.SizeEThread, 2)]
    sources.append((current_process(memory, kdbg, crashing.current_thread) or 0, kdbg.SizeEProcess, 2))
    stacks = [(stack.address, stack.size, 3), (own.address, own.size, 3)]
    sources += stacks if engine.whole_processor else reversed(stacks)
    windows = _Windows(found)
    for address, size, depth in sources:
        windows.follow(address, size, depth)
    return found.blocks


def _processor(
    found: Collection, snapshot: KernelSnapshot, kdbg: KDDEBUGGER_DATA64, processor: Processor, engine: Engine
) -> None:
    name = f"processor {processor.number}"
    memory = found.memory
    pointer = _stack_pointer(snapshot, memory, processor)
    other = _other_stack(memory, kdbg, processor, pointer)
    if engine.whole_processor:
        found.add(processor.kpcr, processor.kprcb - processor.kpcr + kdbg.SizePrcb, f"KPCR of {name}")
        context = memory.pointer(processor.kprcb + kdbg.OffsetPrcbContext) if kdbg.OffsetPrcbContext else None
        found.add(context or 0, CONTEXT_SIZE, f"CONTEXT of {name}")
        if other.size:
            found.add(other.address, other.size, other.reason)
    else:
        found.add(processor.kprcb, kdbg.SizePrcb, f"KPRCB of {name}")
        if other.size:  # stores the stack in use unchecked: docs/format/kernel-small-layouts.md
            found.add(pointer, _OTHER_STACK, f"stack of {name}", zeros=True)
    if not other.size:
        end = memory.pointer(processor.current_thread + kdbg.OffsetKThreadStackBase) or 0
        found.add(pointer, end - pointer, f"stack of {name}")
    if engine.whole_processor:
        found.add(processor.current_thread, kdbg.SizeEThread, f"ETHREAD of {name}")


def _stack_pointer(snapshot: KernelSnapshot, memory: VirtualMemory, processor: Processor) -> int:
    """Return Rsp of a processor; in bug check 0x7E that of the exception."""
    if processor.number == snapshot.processors[snapshot.crashing_processor].number:
        context = exception_context(snapshot, memory)
        if context is not None:
            return int.from_bytes(context[_CONTEXT_RSP : _CONTEXT_RSP + 8], "little")
    return processor.context["Rsp"]


def _other_stack(memory: VirtualMemory, kdbg: KDDEBUGGER_DATA64, processor: Processor, pointer: int) -> BlockPlan:
    """Return the whole stack of the current thread if ``pointer`` is not in it, else an empty range."""
    thread = processor.current_thread
    limit = memory.pointer(thread + kdbg.OffsetKThreadStackLimit) or 0
    base = memory.pointer(thread + kdbg.OffsetKThreadStackBase) or 0
    inside = limit <= pointer < base
    return BlockPlan(limit, 0 if inside else base - limit, f"stack of the thread of processor {processor.number}")


def _add_pages(found: Collection, pointers: list[tuple[str, int]]) -> None:
    for name, value in pointers:
        if found.memory.readable(value, 1):
            found.add(value & -PAGE_SIZE, PAGE_SIZE, f"page of {name}")


class _Windows:
    """Adds 0x100 bytes at each pointer, and follows the pointers in them."""

    def __init__(self, found: Collection) -> None:
        self._found = found
        self._followed: dict[int, int] = {}

    def follow(self, address: int, size: int, depth: int) -> None:
        """Add a window for each word of the range, and first those of the window's own words, ``depth`` levels in all.

        A window that was followed as deeply before adds nothing.
        """
        for word in self._words(address, size):
            self._found.add(word, _WINDOW, "memory that a structure or the stack points at")
            if depth > 1 and self._followed.get(word, 0) < depth - 1:
                self.follow(word, _WINDOW, depth - 1)
                self._followed[word] = depth - 1

    def _words(self, address: int, size: int) -> Iterator[int]:
        memory = self._found.memory
        parts = memory.readable(address, size) if size else []
        if not parts or parts[0][0] != address:
            return
        length = (parts[0][1] - address) & -8
        for (word,) in struct.iter_unpack("<Q", memory.read(address, length) or b""):
            yield word
