"""What the vendor's debugger engine does in user mode, one row for each contract. Data only.

Both versions share most laws; this file has what differs. Measured: docs/format/minidump-captured-memory.md,
docs/format/minidump-process-data.md and docs/format/format-flags.md, with the words W15063 and W29507.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..constants import (
    PAGE_EXECUTE,
    PAGE_EXECUTE_READ,
    PAGE_EXECUTE_READWRITE,
    PAGE_EXECUTE_WRITECOPY,
    PAGE_READWRITE,
    PAGE_WRITECOPY,
    FormatFlag,
    MinidumpType,
)
from ..request import Contract

_F, _T = FormatFlag, MinidumpType


@dataclass(frozen=True, slots=True)
class BlockSizes:
    """Captured bytes of the blocks of PROCESS_THREAD_DATA, for one pointer size."""

    peb: int
    parameters: int
    fls: int


@dataclass(frozen=True, slots=True)
class Engine:
    """One version of the engine."""

    version: tuple[int, int, int, int]
    """Version of the library: in the header's Version and in MiscInfo's DbgBldStr."""
    refused: FormatFlag
    """Flags of user minidumps that it does not know: E_INVALIDARG."""
    without_bit: FormatFlag
    """Flags that it accepts and that set no bit in the header."""
    full_clears: MinidumpType
    """Bits that FULL_MEMORY removes. It also removes FILTER_TRIAGE before that flag has any effect."""
    full_adds: MinidumpType
    """Bits that FULL_MEMORY adds, unless NO_IGNORE_INACCESSIBLE_MEM is asked."""
    no_optional_clears: MinidumpType
    """Bits that NO_OPTIONAL_DATA removes."""
    shared_data: int
    """Bytes of KUSER_SHARED_DATA in every minidump."""
    private: frozenset[int]
    """Protections of PRIVATE_READ_WRITE_MEMORY, without modifiers such as PAGE_NOCACHE."""
    sizes: Mapping[int, BlockSizes]
    """By pointer size."""
    teb_needed: Mapping[int, int]
    """By pointer size: bytes of a TEB without which it has no TEB of a dump target."""
    processor_kept: Mapping[str, tuple[int, int]]
    """By architecture: the bits of the processor's level and revision that it keeps of a dump target; else all
    (docs/format/minidump-system.md#processor-of-a-dump-target)."""
    keeps_unreadable_stacks: bool
    """Whether a stack that cannot be read is kept in part. Else it fails the dump."""
    thread_names: bool
    """Whether it knows ThreadNames."""
    function_table_size: int
    """Bytes of the native descriptor in FunctionTable."""
    memory_info_revision: int
    """Revision of SystemMemoryInfo."""
    plain_exception_context: bool
    """Whether the exception's context has no extended state, although the threads' contexts have."""
    dropped_window_ends: bool
    """Whether INDIRECT_MEMORY of a dump target reads no stack behind the first that has a dropped window."""
    triage_fills_flags: bool
    """Whether FILTER_TRIAGE fills EFlags in a context of x86."""


_FULL_CLEARS = (
    _T.MiniDumpWithDataSegs
    | _T.MiniDumpFilterMemory
    | _T.MiniDumpWithIndirectlyReferencedMemory
    | _T.MiniDumpWithProcessThreadData
    | _T.MiniDumpWithPrivateReadWriteMemory
    | _T.MiniDumpWithModuleHeaders
    | _T.MiniDumpFilterTriage
)
"""docs/format/format-flags.md#bits-cancelled-by-full-memory"""
_NO_OPTIONAL_CLEARS = (
    _T.MiniDumpWithFullMemory
    | _T.MiniDumpWithIndirectlyReferencedMemory
    | _T.MiniDumpWithPrivateReadWriteMemory
)  # fmt: skip
"""docs/format/format-flags.md#bits-cancelled-by-no-optional-data"""
_PRIVATE = frozenset((PAGE_READWRITE, PAGE_EXECUTE, PAGE_EXECUTE_READ, PAGE_EXECUTE_READWRITE))
"""docs/format/minidump-captured-memory.md#private-read-write-memory"""

_E15063 = Engine(
    version=(10, 0, 15063, 400),
    refused=_F.DEBUG_FORMAT_USER_SMALL_IPT_TRACE | _F.DEBUG_FORMAT_USER_SMALL_NO_IGNORE_INACCESSIBLE_MEM,
    without_bit=_F.DEBUG_FORMAT_USER_SMALL_SCAN_PARTIAL_PAGES,
    full_clears=_FULL_CLEARS,
    full_adds=_T.MiniDumpNormal,
    no_optional_clears=_NO_OPTIONAL_CLEARS,
    shared_data=0,
    private=_PRIVATE | {PAGE_EXECUTE_WRITECOPY},
    sizes={4: BlockSizes(0x468, 0x2A4, 0x208), 8: BlockSizes(0x7A0, 0x400, 0x410)},
    teb_needed={4: 0x30, 8: 0x60},
    processor_kept={"amd64": (0xFFFF, 0x0F0F), "x86": (0xFFFF, 0xFF0F), "arm64": (0, 0)},
    keeps_unreadable_stacks=False,
    thread_names=False,
    function_table_size=112,
    memory_info_revision=1,
    plain_exception_context=False,
    dropped_window_ends=True,
    triage_fills_flags=False,
)
_E29507 = Engine(
    version=(10, 0, 29507, 1001),
    refused=_F.DEBUG_FORMAT_DEFAULT,
    without_bit=_F.DEBUG_FORMAT_DEFAULT,
    full_clears=_FULL_CLEARS | _T.MiniDumpWithCodeSegs | _T.MiniDumpWithFullAuxiliaryState,
    full_adds=_T.MiniDumpIgnoreInaccessibleMemory,
    no_optional_clears=_NO_OPTIONAL_CLEARS | _T.MiniDumpWithFullAuxiliaryState,
    shared_data=0xAA0,
    private=_PRIVATE | {PAGE_WRITECOPY},
    sizes={4: BlockSizes(0x480, 0x2C0, 0x3FC8), 8: BlockSizes(0x7D0, 0x448, 0x7F90)},
    teb_needed={4: 0x30, 8: 0x1838},
    processor_kept={},
    keeps_unreadable_stacks=True,
    thread_names=True,
    function_table_size=136,
    memory_info_revision=2,
    plain_exception_context=True,
    dropped_window_ends=False,
    triage_fills_flags=True,
)

ENGINES: Mapping[Contract, Engine] = {
    Contract.DOCUMENTED: _E29507,
    Contract.E15063: _E15063,
    Contract.E29507: _E29507,
}
"""The engine whose dumps have the contents that a contract asks for.

Sizes for 4-byte pointers are inferred: docs/format/minidump-process-data.md#sizes-of-process-and-thread-data.
"""
