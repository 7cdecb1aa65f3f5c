"""Decides whether a writer must refuse a request for a user-mode minidump."""

from __future__ import annotations

from ..truth.process import ProcessTruth, RequestTruth
from .clauses import CLAUSES, Duty
from .flags import Format, Qualifier, effective, ignores_inaccessible, stack_of

_LAST_RESERVED = 0xFFFF
"""minidumpapiset.h LastReservedStream. Streams of applications have higher numbers."""
_BY_NAME = (
    Format.DATA_SEGMENTS | Format.CODE_SEGMENTS | Format.MODULE_HEADERS | Format.PROCESS_THREAD_DATA
    | Format.PRIVATE_READ_WRITE_MEMORY
)  # fmt: skip
"""Flags whose memory must be readable. Windows around words and pointers are not among them: they are clipped."""


def refusal(truth: ProcessTruth, request: RequestTruth) -> str | None:
    """Why a writer must refuse the request; None if it must write a minidump.

    Sources: docs/format/write-dump-file.md#qualifiers, docs/format/write-dump-file.md#default-in-a-user-session,
    docs/format/minidump-user-streams.md#streams-of-the-caller,
    docs/format/minidump-captured-memory.md#unreadable-pages-in-full-memory.
    """
    if request.qualifier_value not in (Qualifier.SMALL, Qualifier.DEFAULT):
        return f"qualifier {request.qualifier_value} writes nothing in a user-mode session"
    if request.qualifier_value == Qualifier.DEFAULT and request.profile == "legacy":
        return "profile legacy writes DEFAULT as a USERDUMP file"
    if request.qualifier_value == Qualifier.DEFAULT and request.profile == "refuse":
        return "profile refuse writes no DEFAULT dump in user mode"
    numbers = [stream.type for stream in request.user_streams]
    for number in numbers:
        if number <= _LAST_RESERVED:
            return f"stream type {number:#x} is reserved, not for callers"
        if numbers.count(number) > 1:
            return f"stream type {number:#x} is given twice"
    for thread in truth.threads:
        # Even if inaccessible memory is ignored: docs/format/minidump-captured-memory.md#stack-that-cannot-be-read.
        start, end = stack_of(truth, thread)
        if start < end and truth.read(start, end - start) is None:
            return f"the stack {start:#x}..{end:#x} of thread {thread.thread_id:#x} cannot be read"
    flags = effective(request)
    if flags & Format.FULL_MEMORY and truth.unreadable and not ignores_inaccessible(flags):
        return f"the page at {truth.unreadable[0].start:#x} cannot be read, and may not be left out"
    return _fatal_hole(truth, flags) if flags & Format.NO_IGNORE_INACCESSIBLE_MEM and truth.unreadable else None


def _fatal_hole(truth: ProcessTruth, flags: Format) -> str | None:
    """The first unreadable page in memory that flags of ``_BY_NAME`` ask for, as a reason to refuse."""
    for clause in CLAUSES:
        if clause.duty is not Duty.MUST or not flags & clause.flags & _BY_NAME:
            continue
        for piece in clause.ranges(truth, flags):
            for hole in truth.unreadable:
                if hole.start < piece.end and piece.start < hole.end:
                    return f"{piece.subject}: the page at {hole.start:#x} cannot be read, and may not be left out"
    return None
