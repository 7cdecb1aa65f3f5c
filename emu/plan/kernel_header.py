"""Decides what the main header says where writers differ (docs/format/kernel-header-fields.md)."""

from __future__ import annotations

from dataclasses import dataclass

from ..request import DumpRefused, Session
from ..snapshot.kernel import KernelSnapshot
from ..snapshot.process import PAGE_SIZE
from .kernel_constants import (
    BOOT_ID,
    CONTEXT_SIZE,
    CURRENT_CONTEXT,
    KUSER_SHARED_DATA,
    PHYSICAL_MEMORY_BLOCK_SIZE,
    DumpType,
)
from .kernel_debugger_data import KDDEBUGGER_DATA64, read_debugger_data
from .kernel_memory import PhysicalMemory, VirtualMemory
from .kernel_writers import KernelWriter

KERNEL_MODE_EXCEPTION_NOT_HANDLED = 0x7E
_SMALL_DUMP_BIT = 0x1000_0000
"""Bit that both engines set in the code of a small dump of 0x7E.

docs/format/kernel-header-fields.md#bug-check-code-and-parameters
"""
_KD_SECONDARY_VERSION = 5  # DBGKD_GET_VERSION64: u16 MajorVersion, u16 MinorVersion, u8 ProtocolVersion, this field
_CONTEXT_PARAMETER = 3


@dataclass(frozen=True, slots=True)
class HeaderPlan:
    """The fields of DUMP_HEADER64 that depend on the writer and on the session."""

    writer: KernelWriter
    live: bool
    """The engine is connected to a machine: the event is the debugger's, not the record of a dump file."""
    directory_table_base: int
    bug_check_code: int
    context: bytes | None
    """A CONTEXT of the target's memory. None: the context of the crashing processor."""
    kd_secondary_version: int
    boot_id: int
    physical_memory_block: bytes | None
    """The 700 bytes of PhysicalMemoryBlock. None: a run list, or none."""


def plan_header(
    snapshot: KernelSnapshot, physical: PhysicalMemory, writer: KernelWriter, session: Session, dump_type: DumpType
) -> HeaderPlan:
    """Return the header's fields. An engine reads them from the target's memory; without memory Windows' are used."""
    memory = VirtualMemory(physical, snapshot.directory_table_base)
    boot_id = memory.read(KUSER_SHARED_DATA + BOOT_ID, 4)
    small = dump_type is DumpType.TRIAGE
    context = exception_context(snapshot, memory) if writer.is_engine and small else None
    live = writer.is_engine and session is Session.LIVE
    block = None
    if writer is KernelWriter.E15063 and dump_type is DumpType.FULL:
        pointer = memory.pointer(snapshot.symbols.mm_physical_memory_block)
        block = memory.read(pointer, PHYSICAL_MEMORY_BLOCK_SIZE) if pointer else None
    return HeaderPlan(
        writer,
        live,
        _directory_table_base(snapshot, memory, writer),
        snapshot.bug_check.code if context is None else snapshot.bug_check.code | _SMALL_DUMP_BIT,
        context,
        _secondary_version(snapshot, memory, writer, live=live),
        # An engine that cannot read the page stores 0xFFFFFFFF.
        0xFFFF_FFFF if boot_id is None else int.from_bytes(boot_id, "little"),
        block,
    )


def exception_context(snapshot: KernelSnapshot, memory: VirtualMemory) -> bytes | None:
    """Return the CONTEXT that Parameter4 of bug check 0x7E points to; None for another bug check.

    docs/format/kernel-small-layouts.md#other-habits-of-the-engine, W15063 and W29507.
    """
    if snapshot.bug_check.code & ~_SMALL_DUMP_BIT != KERNEL_MODE_EXCEPTION_NOT_HANDLED:
        return None
    return memory.read(snapshot.bug_check.parameters[_CONTEXT_PARAMETER], CONTEXT_SIZE)


def current_process(memory: VirtualMemory, kdbg: KDDEBUGGER_DATA64, thread: int) -> int | None:
    """Return the address of the EPROCESS whose address space a thread runs in; None if it cannot be read."""
    return memory.pointer(thread + kdbg.OffsetKThreadApcProcess)


def _directory_table_base(snapshot: KernelSnapshot, memory: VirtualMemory, writer: KernelWriter) -> int:
    """Return the root page table without the PCID.

    An engine takes it from the EPROCESS of the current process (W29507, 18 machines, 2 of them in a user process:
    docs/format/kernel-header-fields.md#directorytablebase).
    """
    found: int | None = None
    if writer.is_engine:
        try:
            kdbg = read_debugger_data(memory, snapshot.symbols.kd_debugger_data_block)
        except DumpRefused:  # no operating system in memory, which only a small dump needs
            return snapshot.directory_table_base & -PAGE_SIZE
        process = current_process(memory, kdbg, snapshot.processors[snapshot.crashing_processor].current_thread)
        found = memory.pointer(process + kdbg.OffsetEprocessDirectoryTableBase) if process else None
    return (found or snapshot.directory_table_base) & -PAGE_SIZE


def _secondary_version(snapshot: KernelSnapshot, memory: VirtualMemory, writer: KernelWriter, *, live: bool) -> int:
    """Return KdSecondaryVersion: of an engine 0, over a kernel connection the target's.

    With 0 both engines read FltSave 0x100 bytes off. That error of theirs is not copied: FltSave is at its place in
    every dump (docs/format/kernel-header-fields.md#kdsecondaryversion, W15063 and W29507).
    """
    if writer.is_engine and not live:
        return 0
    version = memory.read(snapshot.symbols.kd_version_block + _KD_SECONDARY_VERSION, 1) if live else None
    return version[0] if version is not None else CURRENT_CONTEXT
