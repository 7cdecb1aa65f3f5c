"""What a small kernel dump holds, with the reason for each part (spec kernel 3).

A3.8 and the like name the steps of the recipe in spec kernel 3.8. Layout A is what builds up to 19041 write, layout B
what 26100 writes.
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
from .kernel_memory import PhysicalMemory, VirtualMemory

_FIRST_BUILD_OF_LAYOUT_B = 26100
_FIXED_SIZE = 0x40000  # SizeOfDump of every dump of build 9600 (spec kernel 3.7)
_LAST_BUILD_OF_FIXED_SIZE = 9600
STACK_CAP = 0x2000  # of a stack that is not the thread's own (spec kernel 3.4)
DRIVER_ENTRY_SIZE = 0x90
UNLOADED_ENTRY_SIZE = 0x38
_BEFORE_BLOCKS = 0x2080 + 0x50  # the two headers and DUMP_MM_STORAGE


class SmallLayout(Enum):
    A = "A"
    B = "B"


@dataclass(frozen=True, slots=True)
class SmallPlan:
    """A small dump, decided. The five blocks are copied as they are; ``blocks`` in the order of the table."""

    layout: SmallLayout
    prcb: BlockPlan
    process: BlockPlan
    thread: BlockPlan
    stack: BlockPlan
    debugger_data: BlockPlan
    blocks: tuple[BlockPlan, ...]
    names: tuple[str, ...]
    """The string pool's, in the order of the drivers: full paths in layout A, base names in B."""
    unloaded: tuple[UnloadedDriver, ...]
    pfn_data_base: int
    boot_id: int
    fixed_size: int | None
    """SizeOfDump where the build fixes it, else None: the formula's."""


def small_layout(build_number: int) -> SmallLayout:
    """A up to the builds measured with it, B from the first that always has it (spec kernel 3.7, design 11)."""
    return SmallLayout.B if build_number >= _FIRST_BUILD_OF_LAYOUT_B else SmallLayout.A


def name_record_size(name: str) -> int:
    """Bytes of a DUMP_STRING: length, UTF-16 units, NUL, padded to 8 (spec kernel 3.2)."""
    return -(-(4 + 2 * _units(name) + 2) // 8) * 8


def string_pool_size(names: tuple[str, ...], layout: SmallLayout) -> int:
    """StringPoolSize (A3.8 step 5): layout B reserves more than the records need."""
    if layout is SmallLayout.A:
        return sum(name_record_size(name) for name in names)
    return -(-sum(2 * _units(name) + 15 for name in names) // 8) * 8


def _units(name: str) -> int:
    return len(name.encode("utf-16-le", "surrogatepass")) // 2


def plan_small(snapshot: KernelSnapshot, physical: PhysicalMemory, warnings: list[str]) -> SmallPlan:
    """Decide a small dump.

    Raises DumpRefused: ERROR_PARTIAL_COPY when what every small dump has cannot be read, E_FAIL when the target's own
    structures contradict the format.
    """
    memory = VirtualMemory(physical, snapshot.directory_table_base)
    symbols = snapshot.symbols
    kdbg = read_debugger_data(memory, symbols.kd_debugger_data_block)
    layout = small_layout(snapshot.system.build_number)
    processor = snapshot.processors[snapshot.crashing_processor]
    prcb = _whole("KPRCB", processor.kprcb, kdbg.SizePrcb)
    thread = _whole("ETHREAD", processor.current_thread, kdbg.SizeEThread)
    process_address = memory.pointer(thread.address + kdbg.OffsetKThreadApcProcess)
    if process_address is None:
        raise DumpRefused(Hresult.ERROR_PARTIAL_COPY, f"ETHREAD {thread.address:#x} cannot be read")
    process = _whole("EPROCESS", process_address, kdbg.SizeEProcess)
    stack = crash_stack(memory, kdbg, processor, warnings)
    debugger_data = BlockPlan(symbols.kd_debugger_data_block, kdbg.Size, "spec 1.2: debugger data block")
    names = tuple(driver.full_name if layout is SmallLayout.A else driver.base_name for driver in snapshot.drivers)
    unloaded = snapshot.unloaded_drivers[-MAXIMUM_UNLOADED:]
    raw = (prcb, process, thread, stack, debugger_data)
    fixed = _FIXED_SIZE if snapshot.system.build_number <= _LAST_BUILD_OF_FIXED_SIZE else None
    room = None
    if fixed is not None:
        used = _BEFORE_BLOCKS + sum(block.size for block in raw) + DRIVER_ENTRY_SIZE * len(names)
        used += 8 + UNLOADED_ENTRY_SIZE * len(unloaded) + string_pool_size(names, layout)
        room = fixed - 4 - used
        if room < 0:
            raise DumpRefused(Hresult.E_FAIL, f"small dump: {-room:#x} bytes more than build 9600's fixed {fixed:#x}")
    blocks, dropped = data_blocks(snapshot, memory, kdbg, stack, rich=fixed is None, layout_b=layout is SmallLayout.B,
                                  room=room)  # fmt: skip
    if dropped:
        warnings.append(f"small dump: {dropped} data blocks left out, the size of build 9600's dumps is fixed")
    for block in raw:
        if memory.read(block.address, block.size) is None:
            raise DumpRefused(
                Hresult.ERROR_PARTIAL_COPY,
                f"{block.reason}: {block.address:#x}..{block.address + block.size:#x} cannot be read",
            )
    pfn_data_base = symbols.mm_pfn_database
    if layout is SmallLayout.B:  # the variable's value (spec kernel 2.2)
        pfn_data_base = memory.pointer(symbols.mm_pfn_database) or symbols.mm_pfn_database
    boot_id = memory.read(KUSER_SHARED_DATA + BOOT_ID, 4) or b""
    assert fixed is None or reserved(blocks) <= fixed
    return SmallPlan(layout, *raw[:2], raw[2], raw[3], raw[4], tuple(blocks), names, unloaded, pfn_data_base,
                     int.from_bytes(boot_id, "little"), fixed)  # fmt: skip


def _whole(name: str, address: int, size: int) -> BlockPlan:
    if size == 0 or size % 8:
        raise DumpRefused(Hresult.E_FAIL, f"KDBG: the size of {name} is {size:#x}, expected a multiple of 8")
    return BlockPlan(address, size, f"spec 1.2: {name} of the crashing processor")


def crash_stack(memory: VirtualMemory, kdbg: KDDEBUGGER_DATA64, processor: Processor, warnings: list[str]) -> BlockPlan:
    """From the stack pointer to the thread's StackBase; on another stack to that one's top, at most 0x2000 bytes."""
    reason = "spec 3.4: stack of the crashing processor"
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
        warnings.append(f"Rsp {processor.context['Rsp']:#x} leads to no stack; the processor's stack is saved instead")
        return BlockPlan(start, min(processor.stack_base - start, STACK_CAP) & ~7, reason)
    return BlockPlan(pointer, end - pointer, reason)
