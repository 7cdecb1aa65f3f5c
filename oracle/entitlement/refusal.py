"""Whether a request makes a user-mode minidump at all."""

from __future__ import annotations

from ..truth.process import ProcessTruth, RequestTruth
from .clauses import CLAUSES, Duty
from .flags import Format, Qualifier, effective, ignores_inaccessible, stack_of

_LAST_RESERVED = 0xFFFF
"""minidumpapiset.h LastReservedStream: applications number their streams from behind it."""
_BY_NAME = (
    Format.DATA_SEGMENTS | Format.CODE_SEGMENTS | Format.MODULE_HEADERS | Format.PROCESS_THREAD_DATA
    | Format.PRIVATE_READ_WRITE_MEMORY
)  # fmt: skip
"""Flags that ask for memory by what it is: windows around words and pointers end where memory does."""


def refusal(truth: ProcessTruth, request: RequestTruth) -> str | None:
    """Why no minidump may come of ``request``; None when one must. Spec user-mode 1.3, 1.4, 1.6, 2.3, 2.4."""
    if request.qualifier_value not in (Qualifier.SMALL, Qualifier.DEFAULT):
        return f"qualifier {request.qualifier_value} writes nothing in a user-mode session"
    if request.qualifier_value == Qualifier.DEFAULT and request.profile == "legacy":
        return "profile legacy writes DEFAULT as a USERDUMP file"
    if request.qualifier_value == Qualifier.DEFAULT and request.profile == "refuse":
        return "profile refuse writes no DEFAULT dump in user mode"
    numbers = [stream.type for stream in request.user_streams]
    for number in numbers:
        if number <= _LAST_RESERVED:
            return f"stream type {number:#x} is not the caller's to give"
        if numbers.count(number) > 1:
            return f"stream type {number:#x} is given twice"
    for thread in truth.threads:
        # Also where inaccessible memory is ignored: a stack that cannot be read is unrecoverable. Spec user-mode 2.3.
        start, end = stack_of(truth, thread)
        if start < end and truth.read(start, end - start) is None:
            return f"the stack {start:#x}..{end:#x} of thread {thread.thread_id:#x} cannot be read"
    flags = effective(request)
    if flags & Format.FULL_MEMORY and truth.unreadable and not ignores_inaccessible(flags):
        return f"the page at {truth.unreadable[0].start:#x} cannot be read, and nothing allows to leave it out"
    return _fatal_hole(truth, flags) if flags & Format.NO_IGNORE_INACCESSIBLE_MEM and truth.unreadable else None


def _fatal_hole(truth: ProcessTruth, flags: Format) -> str | None:
    """The first page of memory asked for by name that cannot be read. Spec user-mode 1.6."""
    for clause in CLAUSES:
        if clause.duty is not Duty.MUST or not flags & clause.flags & _BY_NAME:
            continue
        for piece in clause.ranges(truth, flags):
            for hole in truth.unreadable:
                if hole.start < piece.end and piece.start < hole.end:
                    return f"{piece.subject}: the page at {hole.start:#x} cannot be read, and that is not ignored"
    return None
