"""The qualifiers and format flags of a request, and the MINIDUMP_TYPE bits that they translate to."""

from __future__ import annotations

from enum import IntEnum, IntFlag
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
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

# Profile ``modern`` writes for DEFAULT what ``.dump /ma`` writes: docs/format/dot-dump.md#letters-of-a-user-minidump.
_MODERN_DEFAULT = (
    Format.FULL_MEMORY | Format.HANDLE_DATA | Format.UNLOADED_MODULES | Format.FULL_MEMORY_INFO | Format.THREAD_INFO
)


def asked(request: RequestTruth) -> Format:
    """The flags of the request; for DEFAULT, the flags of profile ``modern``.

    0x10000000 counts with DEBUG_FORMAT_WRITE_CAB, too, where it also means CAB_SECONDARY_ALL_IMAGES: engine 29507 does
    both (docs/format/format-flags.md#bit-0x10000000-has-two-names).
    """
    if request.qualifier_value == Qualifier.DEFAULT:
        return _MODERN_DEFAULT
    return Format(request.format_flags_value & sum(Format))


_NOTHING = Format(0)


class Cancelling(NamedTuple):
    """Which format flags a writer clears and adds before it writes. They go from the header and from the effect.

    Sources: docs/format/format-flags.md#order-of-cancelling and the three sections before it.
    """

    by_full_memory: Format
    by_no_optional_data: Format
    ignores_with_full_memory: bool = False
    """Whether FULL_MEMORY adds IGNORE_INACCESSIBLE_MEM, unless NO_IGNORE_INACCESSIBLE_MEM is set."""
    untranslated: Format = _NOTHING
    """Flags that the writer accepts and that have no bit in its header."""

    def left(self, flags: Format) -> Format:
        """The flags that stay in effect."""
        if self.ignores_with_full_memory and flags & Format.FULL_MEMORY:
            flags |= _NOTHING if flags & Format.NO_IGNORE_INACCESSIBLE_MEM else Format.IGNORE_INACCESSIBLE_MEM
        if flags & Format.NO_OPTIONAL_DATA:
            flags &= ~self.by_no_optional_data
        if flags & Format.FULL_MEMORY:
            flags &= ~self.by_full_memory
        return flags | Format.FILTER_PATHS if flags & Format.FILTER_TRIAGE else flags


_BY_FULL = (
    Format.DATA_SEGMENTS | Format.FILTER_MEMORY | Format.INDIRECT_MEMORY | Format.PROCESS_THREAD_DATA
    | Format.PRIVATE_READ_WRITE_MEMORY | Format.MODULE_HEADERS | Format.FILTER_TRIAGE
)  # fmt: skip
_BY_NO_OPTIONAL = Format.FULL_MEMORY | Format.INDIRECT_MEMORY | Format.PRIVATE_READ_WRITE_MEMORY

OF_15063 = Cancelling(_BY_FULL, _BY_NO_OPTIONAL, untranslated=Format.SCAN_PARTIAL_PAGES)
OF_29507 = Cancelling(
    _BY_FULL | Format.CODE_SEGMENTS | Format.FULL_AUXILIARY_STATE,
    _BY_NO_OPTIONAL | Format.FULL_AUXILIARY_STATE,
    ignores_with_full_memory=True,
)
OF_THE_PAGE = Cancelling(_BY_FULL, _BY_NO_OPTIONAL | Format.PROCESS_THREAD_DATA)
"""The reference page names PROCESS_THREAD_DATA among what NO_OPTIONAL_DATA cancels; the engines keep it."""
CANCELLING = {
    "e15063": (OF_15063,),
    "e29507": (OF_29507,),
    "documented": (OF_29507, OF_15063, OF_THE_PAGE),
}
"""Contract -> how the writers that it allows cancel flags, the one that a dump should follow first."""


def effective(request: RequestTruth) -> Format:
    """The flags of the request that stay in effect; under ``documented`` by engine 29507."""
    return CANCELLING[request.contract][0].left(asked(request))


def header_flags(flags: Format) -> int:
    """``flags`` as MINIDUMP_TYPE bits."""
    return sum(value for flag, value in MINIDUMP_TYPE.items() if flags & flag)


def acceptable_header_flags(request: RequestTruth) -> tuple[int, ...]:
    """The values that Flags of the header may have, not counting the bit for a token stream: one for each writer that
    the contract allows.
    """
    flags = asked(request)
    return tuple(
        dict.fromkeys(header_flags(each.left(flags) & ~each.untranslated) for each in CANCELLING[request.contract])
    )


def ignores_inaccessible(flags: Format) -> bool:
    """Whether the writer leaves out unreadable memory. NO_IGNORE_INACCESSIBLE_MEM overrides IGNORE_INACCESSIBLE_MEM."""
    return bool(flags & Format.IGNORE_INACCESSIBLE_MEM) and not flags & Format.NO_IGNORE_INACCESSIBLE_MEM


def active_filter(request: RequestTruth) -> Format:
    """The filter that may have changed captured bytes: FILTER_TRIAGE, FILTER_MEMORY, or none.

    The engines set the header's bit for FILTER_MEMORY and change no byte. dbghelp 6.12 filters, so the contract
    ``documented`` allows it (docs/format/minidump-filters.md#filter-memory).
    """
    flags = effective(request)
    if flags & Format.FILTER_TRIAGE or request.contract != "documented":
        return flags & Format.FILTER_TRIAGE
    return flags & Format.FILTER_MEMORY


def stack(sp: int, limit: int, base: int, below: int = 0) -> tuple[int, int]:
    """``[start, end)`` of a captured stack: from ``below`` bytes under SP to ``base``; all of it if that is outside."""
    start = sp - below
    return (start if limit <= start < base else limit), base


def stack_of(truth: ProcessTruth, thread: ThreadTruth) -> tuple[int, int]:
    """``[start, end)`` of the stack that a dump captures of ``thread``. On x86 it begins at ESP - 4.

    Sources: docs/format/minidump-captured-memory.md#stack-of-a-thread,
    docs/format/minidump-captured-memory.md#stack-pointer-outside-the-stack.
    """
    below = 4 if truth.system.architecture == "x86" else 0
    return stack(thread.context.sp, thread.stack_limit, thread.stack_base, below)
