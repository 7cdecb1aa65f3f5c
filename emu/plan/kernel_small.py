"""Plans a small kernel dump: its parts and data blocks, each with a reason (docs/format/kernel-small.md).

Builds up to 19041 write layout A, build 26100 writes layout B, the engines write layout A with blocks of their own
(docs/format/kernel-small-layouts.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from ..constants import Hresult
from ..request import DumpRefused
from ..snapshot.kernel import KernelSnapshot, Processor, UnloadedDriver
from .kernel_blocks import BlockPlan, data_blocks, reserved
from .kernel_constants import BOOT_ID, KUSER_SHARED_DATA, MAXIMUM_UNLOADED
from .kernel_debugger_data import KDDEBUGGER_DATA64, read_debugger_data
from .kernel_engine_small import ENGINES, engine_blocks, memory_counts
from .kernel_header import current_process
from .kernel_memory import PhysicalMemory, VirtualMemory
from .kernel_writers import KernelWriter

_FIRST_BUILD_OF_LAYOUT_B = 26100
_FIXED_SIZE = 0x40000  # SizeOfDump of build 9600 (docs/format/kernel-small-real.md#unused-bytes-before-the-marker)
_LAST_BUILD_OF_FIXED_SIZE = 9600
STACK_CAP = 0x2000
"""Most bytes of a stack other than the thread's (docs/format/kernel-small.md#length-of-the-call-stack)."""
DRIVER_ENTRY_SIZE = 0x90
UNLOADED_ENTRY_SIZE = 0x38
_BEFORE_BLOCKS = 0x2080 + 0x50  # the two headers and DUMP_MM_STORAGE


class SmallLayout(Enum):
    """Layout of a small dump (docs/format/kernel-small-layouts.md#how-to-tell-a-from-b)."""

    A = "A"
    B = "B"


@dataclass(frozen=True, slots=True)
class SmallPlan:
    """The plan of a small dump. ``prcb`` to ``debugger_data`` are copied unchanged; ``blocks`` is in table order."""

    layout: SmallLayout
    prcb: BlockPlan
    process: BlockPlan
    thread: BlockPlan
    stack: BlockPlan
    debugger_data: BlockPlan
    blocks: tuple[BlockPlan, ...]
    names: tuple[str, ...]
    """Names in the string pool, in the order of the drivers: full paths in layout A, base names in B."""
    unloaded: tuple[UnloadedDriver, ...]
    pfn_data_base: int
    boot_id: int
    fixed_size: int | None
    """SizeOfDump if the build has a fixed one, else None."""
    writer: KernelWriter
    debugger_data_size: int
    """DebuggerDataSize. Bytes behind the block are zero."""
    memory_counts: tuple[tuple[str, int], ...]
    """The counts of DUMP_MM_STORAGE64 that an engine copies. The others are zero."""
    space: int | None
    """RequiredDumpSpace of an engine, without the secondary data. None: the length of the file."""


def small_layout(build_number: int) -> SmallLayout:
    """Return the layout for a build (docs/format/kernel-small-layouts.md#who-writes-which-layout)."""
    return SmallLayout.B if build_number >= _FIRST_BUILD_OF_LAYOUT_B else SmallLayout.A


def name_record_size(name: str) -> int:
    """Return the bytes of a DUMP_STRING: length, UTF-16 text, NUL, padded to 8.

    docs/format/kernel-small.md#string-pool
    """
    return -(-(4 + 2 * _units(name) + 2) // 8) * 8


def string_pool_size(names: tuple[str, ...], layout: SmallLayout) -> int:
    """Return StringPoolSize. Layout B reserves more than the records need.

    docs/format/kernel-small-layouts.md#string-pool-by-layout
    """
    if layout is SmallLayout.A:
        return sum(name_record_size(name) for name in names)
    return -(-sum(2 * _units(name) + 15 for name in names) // 8) * 8


def _units(name: str) -> int:
    return len(name.encode("utf-16-le", "surrogatepass")) // 2


def plan_small(
    snapshot: KernelSnapshot, physical: PhysicalMemory, writer: KernelWriter, warnings: list[str]
) -> SmallPlan:
    """Return the plan of a small dump.

    Raises DumpRefused with ERROR_PARTIAL_COPY when a required part cannot be read. Raises it with E_FAIL when
    structures of the target contradict the format, or when the dump exceeds the build's fixed size.
    """
    memory = VirtualMemory(physical, snapshot.directory_table_base)
    symbols = snapshot.symbols
    kdbg = read_debugger_data(memory, symbols.kd_debugger_data_block)
    engine = ENGINES.get(writer)
    layout = SmallLayout.A if engine else small_layout(snapshot.system.build_number)
    processor = snapshot.processors[snapshot.crashing_processor]
    prcb = _whole("KPRCB", processor.kprcb, kdbg.SizePrcb)
    thread = _whole("ETHREAD", processor.current_thread, kdbg.SizeEThread)
    process_address = current_process(memory, kdbg, thread.address)
    if process_address is None:
        raise DumpRefused(Hresult.ERROR_PARTIAL_COPY, f"ETHREAD {thread.address:#x} cannot be read")
    process = _whole("EPROCESS", process_address, kdbg.SizeEProcess)
    stack = crash_stack(memory, kdbg, processor, warnings)
    size = kdbg.Size if engine is None else min(kdbg.Size, engine.debugger_data_size)
    debugger_data = BlockPlan(symbols.kd_debugger_data_block, size, "debugger data block")
    names = tuple(driver.full_name if layout is SmallLayout.A else driver.base_name for driver in snapshot.drivers)
    unloaded = snapshot.unloaded_drivers[-MAXIMUM_UNLOADED:]
    raw = (prcb, process, thread, stack, debugger_data)
    for block in raw:
        _check_readable(memory, block)
    fixed = _FIXED_SIZE if engine is None and snapshot.system.build_number <= _LAST_BUILD_OF_FIXED_SIZE else None
    if engine is not None:
        blocks = engine_blocks(snapshot, memory, kdbg, stack, engine)
    else:
        used = _BEFORE_BLOCKS + sum(block.size for block in raw) + DRIVER_ENTRY_SIZE * len(names)
        used += 8 + UNLOADED_ENTRY_SIZE * len(unloaded) + string_pool_size(names, layout)
        room = None if fixed is None else _room(fixed, used)
        rich, layout_b = fixed is None, layout is SmallLayout.B
        blocks, dropped = data_blocks(snapshot, memory, kdbg, stack, rich=rich, layout_b=layout_b, room=room)
        if dropped:
            warnings.append(
                f"small dump: {dropped} data blocks are left out, the size of the dumps of build 9600 is fixed"
            )
        assert fixed is None or reserved(blocks) <= fixed
    pfn_data_base = symbols.mm_pfn_database
    if layout is SmallLayout.B:  # stores the value of the variable (docs/format/kernel-header-fields.md#pfndatabase)
        pfn_data_base = memory.pointer(symbols.mm_pfn_database) or symbols.mm_pfn_database
    boot_id = memory.read(KUSER_SHARED_DATA + BOOT_ID, 4) or b""
    return SmallPlan(
        layout,
        *raw,
        blocks=tuple(blocks),
        names=names,
        unloaded=unloaded,
        pfn_data_base=pfn_data_base,
        boot_id=int.from_bytes(boot_id, "little"),
        fixed_size=fixed,
        writer=writer,
        debugger_data_size=kdbg.Size if engine is None else engine.debugger_data_size,
        memory_counts=() if engine is None else memory_counts(memory, kdbg),
        space=None if engine is None else engine.space(kdbg, len(snapshot.processors)),
    )


def _check_readable(memory: VirtualMemory, block: BlockPlan) -> None:
    if memory.read(block.address, block.size) is None:
        raise DumpRefused(
            Hresult.ERROR_PARTIAL_COPY,
            f"{block.reason}: {block.address:#x}..{block.address + block.size:#x} cannot be read",
        )


def _room(fixed: int, used: int) -> int:
    """Return the bytes for data blocks. ``fixed`` is SizeOfDump, ``used`` what the other parts take."""
    room = fixed - 4 - used
    if room < 0:
        raise DumpRefused(
            Hresult.E_FAIL, f"small dump: exceeds the fixed size {fixed:#x} of build 9600 by {-room:#x} bytes"
        )
    return room


def _whole(name: str, address: int, size: int) -> BlockPlan:
    if size == 0 or size % 8:
        raise DumpRefused(Hresult.E_FAIL, f"KDBG: size of {name} is {size:#x}, expected a multiple of 8")
    return BlockPlan(address, size, f"{name} of the crashing processor")


def crash_stack(memory: VirtualMemory, kdbg: KDDEBUGGER_DATA64, processor: Processor, warnings: list[str]) -> BlockPlan:
    """Return the call stack: from the stack pointer to StackBase of the thread.

    If the stack pointer is on another stack, it ends at the top of that stack, after at most 0x2000 bytes.
    docs/format/kernel-small.md#call-stack
    """
    reason = "stack of the crashing processor"
    pointer = processor.context["Rsp"] & ~7
    thread = processor.current_thread
    own = (memory.pointer(thread + kdbg.OffsetKThreadStackBase) or 0) if kdbg.OffsetKThreadStackBase else 0
    limit = memory.pointer(thread + kdbg.OffsetKThreadStackLimit) or 0
    if limit <= pointer < own:
        end = own & ~7
    elif processor.stack_limit <= pointer < processor.stack_base:
        end = min(processor.stack_base & ~7, pointer + STACK_CAP)
    else:
        start = processor.stack_limit & ~7
        pointed = memory.readable(pointer, STACK_CAP)
        if pointed and pointed[0][0] == pointer:
            return BlockPlan(pointer, (pointed[0][1] - pointer) & ~7, reason)
        warnings.append(
            f"Rsp {processor.context['Rsp']:#x} is in no stack; the dump holds the processor's stack instead"
        )
        return BlockPlan(start, min(processor.stack_base - start, STACK_CAP) & ~7, reason)
    return BlockPlan(pointer, end - pointer, reason)
