"""Checks qualifier and format flags of a user-mode request and translates them to MINIDUMP_TYPE.

``FLAG_ROWS`` holds the translation (docs/format/format-flags.md#translation-to-header-flags), ``cancelled`` what some
bits do to others.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..constants import FormatFlag, Hresult, MinidumpType, Qualifier
from ..request import Contract, DumpRefused, Profile, Request, format_flag_names
from .engines import ENGINES, Engine

MODERN_DEFAULT = (
    FormatFlag.DEBUG_FORMAT_USER_SMALL_FULL_MEMORY
    | FormatFlag.DEBUG_FORMAT_USER_SMALL_HANDLE_DATA
    | FormatFlag.DEBUG_FORMAT_USER_SMALL_UNLOADED_MODULES
    | FormatFlag.DEBUG_FORMAT_USER_SMALL_FULL_MEMORY_INFO
    | FormatFlag.DEBUG_FORMAT_USER_SMALL_THREAD_INFO
)
"""Format flags of DEBUG_DUMP_DEFAULT under profile ``modern``: those of ``.dump /ma``.

docs/format/dot-dump.md#the-letters-a-and-a
"""


@dataclass(frozen=True, slots=True)
class FlagRow:
    """A format flag of user minidumps and its bit in the header."""

    flag: FormatFlag
    minidump_type: MinidumpType


_F, _T = FormatFlag, MinidumpType

FLAG_ROWS = (
    FlagRow(_F.DEBUG_FORMAT_USER_SMALL_FULL_MEMORY, _T.MiniDumpWithFullMemory),
    FlagRow(_F.DEBUG_FORMAT_USER_SMALL_HANDLE_DATA, _T.MiniDumpWithHandleData),
    FlagRow(_F.DEBUG_FORMAT_USER_SMALL_UNLOADED_MODULES, _T.MiniDumpWithUnloadedModules),
    FlagRow(_F.DEBUG_FORMAT_USER_SMALL_INDIRECT_MEMORY, _T.MiniDumpWithIndirectlyReferencedMemory),
    FlagRow(_F.DEBUG_FORMAT_USER_SMALL_DATA_SEGMENTS, _T.MiniDumpWithDataSegs),
    FlagRow(_F.DEBUG_FORMAT_USER_SMALL_FILTER_MEMORY, _T.MiniDumpFilterMemory),
    FlagRow(_F.DEBUG_FORMAT_USER_SMALL_FILTER_PATHS, _T.MiniDumpFilterModulePaths),
    FlagRow(_F.DEBUG_FORMAT_USER_SMALL_PROCESS_THREAD_DATA, _T.MiniDumpWithProcessThreadData),
    FlagRow(_F.DEBUG_FORMAT_USER_SMALL_PRIVATE_READ_WRITE_MEMORY, _T.MiniDumpWithPrivateReadWriteMemory),
    FlagRow(_F.DEBUG_FORMAT_USER_SMALL_NO_OPTIONAL_DATA, _T.MiniDumpWithoutOptionalData),
    FlagRow(_F.DEBUG_FORMAT_USER_SMALL_FULL_MEMORY_INFO, _T.MiniDumpWithFullMemoryInfo),
    FlagRow(_F.DEBUG_FORMAT_USER_SMALL_THREAD_INFO, _T.MiniDumpWithThreadInfo),
    FlagRow(_F.DEBUG_FORMAT_USER_SMALL_CODE_SEGMENTS, _T.MiniDumpWithCodeSegs),
    FlagRow(_F.DEBUG_FORMAT_USER_SMALL_NO_AUXILIARY_STATE, _T.MiniDumpWithoutAuxiliaryState),
    FlagRow(_F.DEBUG_FORMAT_USER_SMALL_FULL_AUXILIARY_STATE, _T.MiniDumpWithFullAuxiliaryState),
    FlagRow(_F.DEBUG_FORMAT_USER_SMALL_MODULE_HEADERS, _T.MiniDumpWithModuleHeaders),
    FlagRow(_F.DEBUG_FORMAT_USER_SMALL_FILTER_TRIAGE, _T.MiniDumpFilterTriage),
    FlagRow(_F.DEBUG_FORMAT_USER_SMALL_ADD_AVX_XSTATE_CONTEXT, _T.MiniDumpWithAvxXStateContext),
    FlagRow(_F.DEBUG_FORMAT_USER_SMALL_IPT_TRACE, _T.MiniDumpWithIptTrace),
    FlagRow(_F.DEBUG_FORMAT_USER_SMALL_NO_IGNORE_INACCESSIBLE_MEM, _T.MiniDumpNoIgnoreInaccessibleMemory),
    FlagRow(_F.DEBUG_FORMAT_USER_SMALL_IGNORE_INACCESSIBLE_MEM, _T.MiniDumpIgnoreInaccessibleMemory),
    FlagRow(_F.DEBUG_FORMAT_USER_SMALL_SCAN_PARTIAL_PAGES, _T.MiniDumpScanInaccessiblePartialPages),
)
_EXCLUSIVE = (
    _F.DEBUG_FORMAT_USER_SMALL_NO_IGNORE_INACCESSIBLE_MEM | _F.DEBUG_FORMAT_USER_SMALL_IGNORE_INACCESSIBLE_MEM,
    _F.DEBUG_FORMAT_USER_SMALL_FILTER_TRIAGE | _F.DEBUG_FORMAT_USER_SMALL_ADD_AVX_XSTATE_CONTEXT,
)
"""Flags that the engine refuses together (docs/format/format-flags.md#combinations-that-are-refused)."""
TOP_BITS = 0xF0000000
"""The flags of every dump (docs/format/write-dump-file.md#format-flags-of-every-dump)."""
_CAB_FLAGS = _F.DEBUG_FORMAT_WRITE_CAB | _F.DEBUG_FORMAT_CAB_SECONDARY_FILES | _F.DEBUG_FORMAT_CAB_SECONDARY_ALL_IMAGES


def checked_flags(request: Request) -> tuple[int, list[str]]:
    """Check the request for a user-mode target. Return its DEBUG_FORMAT_USER_SMALL_* flags and warnings.

    Flags that apply to every kind of dump are left out, because they do not change the contents. Raises DumpRefused
    (docs/format/write-dump-file.md#return-values-by-situation).
    """
    warnings: list[str] = []
    flags = request.format_flags
    known = _CAB_FLAGS | _F.DEBUG_FORMAT_NO_OVERWRITE
    for row in FLAG_ROWS:
        known |= row.flag
    known &= ~ENGINES[request.contract].refused
    if flags & ~known or not 0 <= flags < 1 << 32:
        raise DumpRefused(Hresult.E_INVALIDARG, f"FormatFlags {flags:#x}: unknown bits {flags & ~known:#x}")
    if request.profile not in tuple(Profile):
        raise DumpRefused(Hresult.E_INVALIDARG, f"profile {request.profile!r}: expected {', '.join(Profile)}")
    if request.qualifier not in (Qualifier.DEBUG_DUMP_SMALL, Qualifier.DEBUG_DUMP_DEFAULT):
        raise DumpRefused(
            Hresult.E_INVALIDARG,
            f"Qualifier {request.qualifier_name}: a user-mode target needs DEBUG_DUMP_SMALL or DEBUG_DUMP_DEFAULT",
        )
    if flags & _F.DEBUG_FORMAT_CAB_SECONDARY_FILES and not flags & _F.DEBUG_FORMAT_WRITE_CAB:
        warnings.append("DEBUG_FORMAT_CAB_SECONDARY_FILES has no effect without DEBUG_FORMAT_WRITE_CAB")
    # 0x10000000 stays, also when WRITE_CAB makes it CAB_SECONDARY_ALL_IMAGES: the engine does both
    # (docs/format/format-flags.md#bit-0x10000000-has-two-names).
    flags &= ~(_F.DEBUG_FORMAT_WRITE_CAB | _F.DEBUG_FORMAT_CAB_SECONDARY_FILES | _F.DEBUG_FORMAT_NO_OVERWRITE)
    if request.qualifier == Qualifier.DEBUG_DUMP_DEFAULT:
        if request.profile == Profile.REFUSE:
            raise DumpRefused(Hresult.E_NOTIMPL, "DEBUG_DUMP_DEFAULT: profile refuse writes no user dump for it")
        if flags & ~TOP_BITS:  # docs/format/format-flags.md#accepted-format-flags
            names = ", ".join(format_flag_names(flags & ~TOP_BITS))
            raise DumpRefused(Hresult.E_INVALIDARG, f"FormatFlags {flags:#x}: DEBUG_DUMP_DEFAULT does not take {names}")
        if flags and not request.has(_F.DEBUG_FORMAT_WRITE_CAB):
            warnings.append(f"no effect with DEBUG_DUMP_DEFAULT: {', '.join(format_flag_names(flags))}")
        flags = 0
    return flags, warnings


def minidump_type(request: Request) -> tuple[MinidumpType, list[str]]:
    """Return the header's MINIDUMP_TYPE for the request, and warnings. Bits that another bit cancels are not in it.

    Raises DumpRefused.
    """
    flags, warnings = checked_flags(request)
    if request.qualifier == Qualifier.DEBUG_DUMP_DEFAULT:
        if request.contract == Contract.E29507:  # docs/format/write-dump-file.md#default-in-a-user-session
            raise DumpRefused(Hresult.E_NOTIMPL, "DEBUG_DUMP_DEFAULT: engine 29507 writes no user dump for it")
        if request.profile == Profile.LEGACY or request.contract == Contract.E15063:
            raise DumpRefused(Hresult.E_INVALIDARG, "DEBUG_DUMP_DEFAULT writes no minidump here, but a USERDUMP file")
        flags = int(MODERN_DEFAULT)
    for pair in _EXCLUSIVE:
        if flags & pair == pair:
            names = " and ".join(format_flag_names(pair))
            raise DumpRefused(Hresult.E_INVALIDARG, f"FormatFlags {flags:#x}: {names} exclude each other")
    engine = ENGINES[request.contract]
    result = _T.MiniDumpNormal
    for row in FLAG_ROWS:
        if flags & row.flag & ~engine.without_bit:
            result |= row.minidump_type
    return cancelled(result, engine), warnings


def cancelled(asked: MinidumpType, engine: Engine) -> MinidumpType:
    """Return the flags of the header: without the bits that others cancel, with those that the engine adds.

    The order matters: docs/format/format-flags.md#order-of-cancelling.
    """
    if asked & _T.MiniDumpWithFullMemory and not asked & _T.MiniDumpNoIgnoreInaccessibleMemory:
        asked |= engine.full_adds
    if asked & _T.MiniDumpWithoutOptionalData:
        asked &= ~engine.no_optional_clears
    if asked & _T.MiniDumpWithFullMemory:
        asked &= ~engine.full_clears
    if asked & _T.MiniDumpFilterTriage:  # docs/format/format-flags.md#bits-changed-by-filter-triage
        return asked | _T.MiniDumpFilterModulePaths
    return asked | _T.MiniDumpWithTokenInformation  # docs/format/format-flags.md#token-bit
