"""Decides whether a writer must refuse a request for a user-mode minidump."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .flags import Format, Qualifier, effective, ignores_inaccessible, stack_of

if TYPE_CHECKING:
    from ..truth.process import ProcessTruth, RequestTruth

_LAST_RESERVED = 0xFFFF
"""minidumpapiset.h LastReservedStream. Streams of applications have higher numbers."""
_EXCLUDE_EACH_OTHER = (
    Format.NO_IGNORE_INACCESSIBLE_MEM | Format.IGNORE_INACCESSIBLE_MEM,
    Format.FILTER_TRIAGE | Format.ADD_AVX_XSTATE_CONTEXT,
)
"""Pairs of flags that the engines refuse together."""
_WITH_DEFAULT = 0xF0000000
"""What DEFAULT takes: bits of every kind of dump (docs/format/format-flags.md#accepted-format-flags)."""
_E15063_ACCEPTS = 0xF803FFFF
"""docs/format/format-flags.md#accepted-format-flags."""


def refusal(truth: ProcessTruth, request: RequestTruth) -> str | None:
    """Why a writer must refuse the request; None if it must write a minidump.

    Sources: docs/format/write-dump-file.md#qualifiers, docs/format/write-dump-file.md#default-in-a-user-session,
    docs/format/format-flags.md#combinations-that-are-refused,
    docs/format/minidump-user-streams.md#streams-of-the-caller,
    docs/format/minidump-captured-memory.md#stack-that-cannot-be-read,
    docs/format/minidump-captured-memory.md#unreadable-pages-in-full-memory,
    docs/format/minidump-memory-ranges.md#dump-targets-process-data.
    """
    return _of_request(request) or _of_memory(truth, request)


def _of_request(request: RequestTruth) -> str | None:
    if request.qualifier_value not in (Qualifier.SMALL, Qualifier.DEFAULT):
        return f"qualifier {request.qualifier_value} writes nothing in a user-mode session"
    if request.qualifier_value == Qualifier.DEFAULT and request.contract != "documented":
        return f"{request.contract}: DEFAULT writes no minidump"
    if request.qualifier_value == Qualifier.DEFAULT and request.profile == "legacy":
        return "profile legacy writes DEFAULT as a USERDUMP file"
    if request.qualifier_value == Qualifier.DEFAULT and request.profile == "refuse":
        return "profile refuse writes no DEFAULT dump in user mode"
    if request.qualifier_value == Qualifier.DEFAULT and request.format_flags_value & ~_WITH_DEFAULT:
        return f"DEFAULT takes no flag of {request.format_flags_value & ~_WITH_DEFAULT:#x}"
    numbers = [stream.type for stream in request.user_streams]
    for number in numbers:
        if number <= _LAST_RESERVED:
            return f"stream type {number:#x} is reserved, not for callers"
        if numbers.count(number) > 1:
            return f"stream type {number:#x} is given twice"
    flags = request.format_flags_value & sum(Format)
    for pair in _EXCLUDE_EACH_OTHER:
        if flags & pair == pair:
            return f"{' and '.join(flag.name or '' for flag in Format if flag & pair)} exclude each other"
    if request.contract == "e15063" and request.format_flags_value & ~_E15063_ACCEPTS:
        return f"E15063 accepts no flag of {request.format_flags_value & ~_E15063_ACCEPTS:#x}"
    return None


def _of_memory(truth: ProcessTruth, request: RequestTruth) -> str | None:
    """Memory that cannot be read, where every allowed writer fails the dump for it."""
    flags = effective(request)
    if request.contract == "e15063":
        for thread in truth.threads:
            start, end = stack_of(truth, thread)
            if start < end and truth.read(start, end - start) is None:
                return f"E15063: the stack {start:#x}..{end:#x} of thread {thread.thread_id:#x} cannot be read"
    if flags & Format.FULL_MEMORY and truth.unreadable and not ignores_inaccessible(flags):
        return f"the page at {truth.unreadable[0].start:#x} cannot be read, and may not be left out"
    if request.session == "dump" and flags & Format.PROCESS_THREAD_DATA and truth.read(truth.process.peb, 1) is None:
        return "PROCESS_THREAD_DATA of a dump that does not hold the PEB"
    return None
