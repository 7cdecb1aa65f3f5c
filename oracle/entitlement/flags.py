"""What a request asks for, in numbers: qualifiers, format flags, and the minidump type that they translate to."""

from __future__ import annotations

from enum import IntEnum, IntFlag

from ..truth.process import ProcessTruth, RequestTruth, ThreadTruth


class Qualifier(IntEnum):
    """DbgEng.h DEBUG_DUMP_XXX; spec user-mode 1.3."""

    SMALL = 1024
    DEFAULT = 1025
    FULL = 1026


class Format(IntFlag):
    """DbgEng.h DEBUG_FORMAT_USER_SMALL_XXX; spec user-mode 1.6."""

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


# The same names in minidumpapiset.h MINIDUMP_TYPE, which numbers them otherwise; spec user-mode 2.1.
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
"""MiniDumpWithTokenInformation: no format flag asks for it, the engine may add it. Spec user-mode 2.3."""

# DbgEng.h DEBUG_FORMAT_WRITE_CAB: with it 0x10000000 means CAB_SECONDARY_ALL_IMAGES. Spec user-mode 1.5.
_WRITE_CAB = 0x20000000
# What NO_OPTIONAL_DATA cancels. Spec user-mode 1.6, 2.4.
_OPTIONAL = Format.PROCESS_THREAD_DATA | Format.FULL_MEMORY | Format.INDIRECT_MEMORY | Format.PRIVATE_READ_WRITE_MEMORY
# Profile ``modern``: DEFAULT in user mode is the minidump of ``.dump /ma``. Spec user-mode 1.4, 1.10.
_MODERN_DEFAULT = (
    Format.FULL_MEMORY | Format.HANDLE_DATA | Format.UNLOADED_MODULES | Format.FULL_MEMORY_INFO | Format.THREAD_INFO
)


def asked(request: RequestTruth) -> Format:
    """The flags that the header of the dump has to name."""
    if request.qualifier_value == Qualifier.DEFAULT:
        return _MODERN_DEFAULT
    flags = Format(request.format_flags_value & sum(Format))
    return flags & ~Format.SCAN_PARTIAL_PAGES if request.format_flags_value & _WRITE_CAB else flags


def effective(request: RequestTruth) -> Format:
    """The flags that are left when NO_OPTIONAL_DATA has cancelled what it cancels."""
    flags = asked(request)
    return flags & ~_OPTIONAL if flags & Format.NO_OPTIONAL_DATA else flags


def header_flags(flags: Format) -> int:
    """MINIDUMP_TYPE bits of ``flags``."""
    return sum(value for flag, value in MINIDUMP_TYPE.items() if flags & flag)


def acceptable_header_flags(request: RequestTruth) -> tuple[int, ...]:
    """Each value that the header's Flags may have, a token stream aside.

    Whether the bits that NO_OPTIONAL_DATA cancels stay set is not known: both. Spec user-mode 2.2.
    """
    return tuple(dict.fromkeys(header_flags(flags) for flags in (asked(request), effective(request))))


def ignores_inaccessible(flags: Format) -> bool:
    """Whether unreadable memory is left out; NO_IGNORE wins over IGNORE. Spec user-mode 2.4."""
    return bool(flags & Format.IGNORE_INACCESSIBLE_MEM) and not flags & Format.NO_IGNORE_INACCESSIBLE_MEM


def stack(sp: int, limit: int, base: int, below: int = 0) -> tuple[int, int]:
    """``[start, end)`` of a thread's captured stack: from ``below`` bytes under SP, or all of it when SP is outside."""
    return (max(sp - below, limit) if limit <= sp <= base else limit), base


def stack_of(truth: ProcessTruth, thread: ThreadTruth) -> tuple[int, int]:
    """``[start, end)`` of the stack that a dump captures of ``thread``. On x86 it begins a word under ESP: spec
    user-mode 2.3, 91 of 91 threads.
    """
    below = 4 if truth.system.architecture == "x86" else 0
    return stack(thread.context.sp, thread.stack_limit, thread.stack_base, below)
