"""The qualifiers and format flags of a request, and the MINIDUMP_TYPE bits that they translate to."""

from __future__ import annotations

from enum import IntEnum, IntFlag

from ..truth.process import ProcessTruth, RequestTruth, ThreadTruth


class Qualifier(IntEnum):
    """DbgEng.h DEBUG_DUMP_XXX (docs/format/write-dump-file.md#qualifiers)."""

    SMALL = 1024
    DEFAULT = 1025
    FULL = 1026


class Format(IntFlag):
    """DbgEng.h DEBUG_FORMAT_USER_SMALL_XXX (docs/format/format-flags.md#translation-to-header-flags)."""

    FULL_MEMORY = 0x1
    HANDLE_DATA = 0x2
    UNLOADED_MODULES = 0x4
    INDIRECT_MEMORY = 0x8
    DATA_SEGMENTS = 0x10
    FILTER_MEMORY = 0x20
    FILTER_PATHS = 0x40
    PROCESS_THREAD_DATA = 0x80
    PRIVATE_READ_WRITE_MEMORY = 0x100
    NO_OPTIONAL_DATA = 0x200
    FULL_MEMORY_INFO = 0x400
    THREAD_INFO = 0x800
    CODE_SEGMENTS = 0x1000
    NO_AUXILIARY_STATE = 0x2000
    FULL_AUXILIARY_STATE = 0x4000
    MODULE_HEADERS = 0x8000
    FILTER_TRIAGE = 0x10000
    ADD_AVX_XSTATE_CONTEXT = 0x20000
    IPT_TRACE = 0x40000
    NO_IGNORE_INACCESSIBLE_MEM = 0x4000000
    IGNORE_INACCESSIBLE_MEM = 0x8000000
    SCAN_PARTIAL_PAGES = 0x10000000


# minidumpapiset.h MINIDUMP_TYPE has other values: docs/format/format-flags.md#translation-to-header-flags.
MINIDUMP_TYPE = {
    Format.FULL_MEMORY: 0x2,
    Format.HANDLE_DATA: 0x4,
    Format.UNLOADED_MODULES: 0x20,
    Format.INDIRECT_MEMORY: 0x40,
    Format.DATA_SEGMENTS: 0x1,
    Format.FILTER_MEMORY: 0x8,
    Format.FILTER_PATHS: 0x80,
    Format.PROCESS_THREAD_DATA: 0x100,
    Format.PRIVATE_READ_WRITE_MEMORY: 0x200,
    Format.NO_OPTIONAL_DATA: 0x400,
    Format.FULL_MEMORY_INFO: 0x800,
    Format.THREAD_INFO: 0x1000,
    Format.CODE_SEGMENTS: 0x2000,
    Format.NO_AUXILIARY_STATE: 0x4000,
    Format.FULL_AUXILIARY_STATE: 0x8000,
    Format.MODULE_HEADERS: 0x80000,
    Format.FILTER_TRIAGE: 0x100000,
    Format.ADD_AVX_XSTATE_CONTEXT: 0x200000,
    Format.IPT_TRACE: 0x400000,
    Format.NO_IGNORE_INACCESSIBLE_MEM: 0x2000000,
    Format.IGNORE_INACCESSIBLE_MEM: 0x20000,
    Format.SCAN_PARTIAL_PAGES: 0x800000,
}
TOKEN_INFORMATION = 0x40000
"""MiniDumpWithTokenInformation. The engine adds it without a format flag (docs/format/format-flags.md#token-bit)."""

# DbgEng.h DEBUG_FORMAT_WRITE_CAB. With it, 0x10000000 means CAB_SECONDARY_ALL_IMAGES:
# docs/format/format-flags.md#bit-0x10000000-has-two-names
_WRITE_CAB = 0x20000000
# The flags that NO_OPTIONAL_DATA cancels: docs/format/minidump-filters.md#no-optional-data.
_OPTIONAL = Format.PROCESS_THREAD_DATA | Format.FULL_MEMORY | Format.INDIRECT_MEMORY | Format.PRIVATE_READ_WRITE_MEMORY
# Profile ``modern`` writes for DEFAULT what ``.dump /ma`` writes: docs/format/dot-dump.md#letters-of-a-user-minidump.
_MODERN_DEFAULT = (
    Format.FULL_MEMORY | Format.HANDLE_DATA | Format.UNLOADED_MODULES | Format.FULL_MEMORY_INFO | Format.THREAD_INFO
)


def asked(request: RequestTruth) -> Format:
    """The flags of the request; for DEFAULT, the flags of profile ``modern``."""
    if request.qualifier_value == Qualifier.DEFAULT:
        return _MODERN_DEFAULT
    flags = Format(request.format_flags_value & sum(Format))
    return flags & ~Format.SCAN_PARTIAL_PAGES if request.format_flags_value & _WRITE_CAB else flags


def effective(request: RequestTruth) -> Format:
    """The flags of the request without those that NO_OPTIONAL_DATA cancels."""
    flags = asked(request)
    return flags & ~_OPTIONAL if flags & Format.NO_OPTIONAL_DATA else flags


def header_flags(flags: Format) -> int:
    """``flags`` as MINIDUMP_TYPE bits."""
    return sum(value for flag, value in MINIDUMP_TYPE.items() if flags & flag)


def acceptable_header_flags(request: RequestTruth) -> tuple[int, ...]:
    """The values that Flags of the header may have, not counting the bit for a token stream.

    The bits that NO_OPTIONAL_DATA cancels may be set or clear. The engine clears them
    (docs/format/format-flags.md#bits-cancelled-by-no-optional-data).
    """
    return tuple(dict.fromkeys(header_flags(flags) for flags in (asked(request), effective(request))))


def ignores_inaccessible(flags: Format) -> bool:
    """Whether the writer leaves out unreadable memory. NO_IGNORE_INACCESSIBLE_MEM overrides IGNORE_INACCESSIBLE_MEM."""
    return bool(flags & Format.IGNORE_INACCESSIBLE_MEM) and not flags & Format.NO_IGNORE_INACCESSIBLE_MEM


def stack(sp: int, limit: int, base: int, below: int = 0) -> tuple[int, int]:
    """``[start, end)`` of a captured stack: from ``below`` bytes under SP to ``base``; all of it if SP is outside."""
    return (max(sp - below, limit) if limit <= sp <= base else limit), base


def stack_of(truth: ProcessTruth, thread: ThreadTruth) -> tuple[int, int]:
    """``[start, end)`` of the stack that a dump captures of ``thread``. On x86 it begins at ESP - 4.

    Source: docs/format/minidump-captured-memory.md#stack-of-a-thread.
    """
    below = 4 if truth.system.architecture == "x86" else 0
    return stack(thread.context.sp, thread.stack_limit, thread.stack_base, below)
