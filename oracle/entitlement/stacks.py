"""The clauses for every minidump: stacks, code around instruction pointers, KUSER_SHARED_DATA, unwind information."""

from __future__ import annotations

from collections.abc import Iterator

from ..truth.context import ThreadContextTruth
from ..truth.process import ProcessTruth
from .flags import Format, stack_of
from .pieces import Piece

_TOP = 1 << 64
_WINDOW = 0x80
"""Bytes on each side of an instruction pointer
(docs/format/minidump-captured-memory.md#instruction-window-of-a-thread)."""


def stacks(truth: ProcessTruth, _flags: Format) -> Iterator[Piece]:
    """Each thread's stack, from its stack pointer to StackBase."""
    for thread in truth.threads:
        start, end = stack_of(truth, thread)
        yield Piece(start, end, f"stack of thread {thread.thread_id:#x}")


def _window(context: ThreadContextTruth, whose: str) -> Piece:
    start, end = max(context.ip - _WINDOW, 0), min(context.ip + _WINDOW, _TOP)
    return Piece(start, end, f"instruction window of {whose}")


def _whole(truth: ProcessTruth, window: Piece) -> bool:
    return truth.read(window.start, window.end - window.start) is not None


def thread_windows(truth: ProcessTruth, _flags: Format) -> Iterator[Piece]:
    """The windows around the instruction pointers of threads that can be read whole."""
    for thread in truth.threads:
        window = _window(thread.context, f"thread {thread.thread_id:#x}")
        if _whole(truth, window):
            yield window


def exception_window(truth: ProcessTruth, _flags: Format) -> Iterator[Piece]:
    """The window around the instruction pointer of the exception's context, if it can be read whole."""
    if truth.exception is not None:
        window = _window(truth.exception.context, "the exception")
        if _whole(truth, window):
            yield window


def cut_windows(truth: ProcessTruth, _flags: Format) -> Iterator[Piece]:
    """Windows that can only be read in part.

    A writer clips them, or leaves them out (docs/format/minidump-memory-ranges.md#dump-targets-windows).
    """
    for thread in truth.threads:
        window = _window(thread.context, f"thread {thread.thread_id:#x}")
        if not _whole(truth, window):
            yield window
    if truth.exception is not None:
        window = _window(truth.exception.context, "the exception")
        if not _whole(truth, window):
            yield window


def shared_user_data(_truth: ProcessTruth, _flags: Format) -> Iterator[Piece]:
    """KUSER_SHARED_DATA."""
    # The fixed user-mode address of KUSER_SHARED_DATA, and its size in build 22631:
    # docs/format/minidump-captured-memory.md#shared-user-data-page
    yield Piece(0x7FFE0000, 0x7FFE0738, "KUSER_SHARED_DATA")


def unwind_info(truth: ProcessTruth, _flags: Format) -> Iterator[Piece]:
    """The UNWIND_INFO of all entries of all dynamic function tables: four bytes and the codes, without handler data."""
    for table in truth.function_tables or ():
        for entry in table.entries:
            start = table.base_address + entry.unwind_data
            head = truth.read(start, 4)  # winnt.h UNWIND_INFO: CountOfCodes is the third byte
            if head is not None:
                yield Piece(start, start + 4 + 2 * head[2], f"unwind info at {start:#x}")
