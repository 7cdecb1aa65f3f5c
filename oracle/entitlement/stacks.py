"""The clauses for every minidump: stacks, code around instruction pointers, KUSER_SHARED_DATA, unwind information."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from .flags import stack_of
from .pieces import Piece
from .writers import Writing

if TYPE_CHECKING:
    from ..truth.process import ProcessTruth, ThreadTruth

_TOP = 1 << 64
_WINDOW, _WINDOW_OF_ARM64 = 0x80, 0x200
"""Bytes on each side of an instruction pointer
(docs/format/minidump-captured-memory.md#instruction-window-of-a-thread)."""
_SHARED_USER_DATA = 0x7FFE0000
"""KUSER_SHARED_DATA in every process: docs/format/minidump-captured-memory.md#shared-user-data-page."""
_CHAINED = 4
"""winnt.h UNW_FLAG_CHAININFO."""


def keeps_stack(writing: Writing, thread: ThreadTruth) -> bool | None:
    """Whether the writer gets the thread's stack; None if no measurement tells.

    Of a dump it finds the stack through the TEB, and needs enough of it
    (docs/format/minidump-memory-ranges.md#dump-targets-stacks).
    """
    truth, teb = writing.truth, writing.writer.teb
    size = truth.system.pointer_size
    if not writing.of_dump or truth.read(thread.teb, teb.kept[size]) is not None:
        return True
    return None if truth.read(thread.teb, teb.lost[size] + 1) is not None else False


def stacks(writing: Writing) -> Iterator[Piece]:
    """Each thread's stack, from its stack pointer to StackBase."""
    yield from _stacks(writing, True)


def stacks_in_doubt(writing: Writing) -> Iterator[Piece]:
    """The stacks of threads with a part of their TEB that no measurement covers."""
    yield from _stacks(writing, None)


def _stacks(writing: Writing, kept: bool | None) -> Iterator[Piece]:
    for thread in writing.truth.threads:
        if keeps_stack(writing, thread) is kept:
            yield Piece(*stack_of(writing.truth, thread), f"stack of thread {thread.thread_id:#x}")


def readable_window(writing: Writing, window: Piece) -> Iterator[Piece]:
    """The part of a window that the writer takes.

    Of a live target it takes what can be read. Of a dump it takes a window that lies inside one captured range, or
    nothing (docs/format/minidump-memory-ranges.md#dump-targets-windows).
    """
    if not writing.of_dump:
        yield window
        return
    region = writing.truth.region_at(window.start)
    whole = writing.truth.read(window.start, window.end - window.start) is not None
    if whole and region is not None and window.end <= region.end:
        yield window


def _window(truth: ProcessTruth, address: int, whose: str) -> Piece:
    half = _WINDOW_OF_ARM64 if truth.system.architecture == "arm64" else _WINDOW
    return Piece(max(address - half, 0), min(address + half, _TOP), f"instruction window of {whose}")


def _of_threads(truth: ProcessTruth) -> Iterator[Piece]:
    for thread in truth.threads:
        yield _window(truth, thread.context.ip, f"thread {thread.thread_id:#x}")


def thread_windows(writing: Writing) -> Iterator[Piece]:
    """The windows around the instruction pointers of threads."""
    for window in _of_threads(writing.truth):
        yield from readable_window(writing, window)


def exception_window(writing: Writing) -> Iterator[Piece]:
    """The window around ExceptionAddress, where the writer is known to take it.

    If the address differs from the instruction pointer of the exception's context, some writers were not measured.
    """
    exception = writing.truth.exception
    if exception is not None and (exception.address == exception.context.ip or writing.writer.address_only):
        yield from readable_window(writing, _window(writing.truth, exception.address, "the exception"))


def windows_of_either(writing: Writing) -> Iterator[Piece]:
    """The windows around ExceptionAddress and the context's instruction pointer, by a writer that was not measured."""
    exception = writing.truth.exception
    if exception is not None and not writing.writer.address_only:
        for address in {exception.address, exception.context.ip}:
            yield _window(writing.truth, address, "the exception")


def shared_user_data(writing: Writing) -> Iterator[Piece]:
    """KUSER_SHARED_DATA."""
    size = writing.writer.shared_user_data
    yield Piece(_SHARED_USER_DATA, _SHARED_USER_DATA + size, f"KUSER_SHARED_DATA, {size:#x} bytes at any flags")


def next_range(writing: Writing) -> Iterator[Piece]:
    """What engine 29507 takes for KUSER_SHARED_DATA from a dump that lacks the page and lists no regions.

    It is an error of the engine (docs/format/minidump-memory-ranges.md#dump-targets-shared-user-data). The truth does
    not say whether the dump listed its regions.
    """
    truth, size = writing.truth, writing.writer.shared_user_data
    if writing.of_dump and truth.read(_SHARED_USER_DATA, 1) is None:
        above = next((run for run in truth.memory if run.start > _SHARED_USER_DATA), None)
        if above is not None:
            end = above.start + min(above.size, size)
            yield Piece(above.start, end, "the range above the missing KUSER_SHARED_DATA")


def unwind_info(writing: Writing) -> Iterator[Piece]:
    """The UNWIND_INFO of the entries of all dynamic function tables: four bytes and the codes, without handler data.

    A chained entry has an even number of codes and another RUNTIME_FUNCTION of 12 bytes. An entry that cannot be read
    ends its table (docs/format/minidump-function-tables.md#unwind-data).
    """
    truth = writing.truth
    for table in truth.function_tables or ():
        for entry in table.entries:
            start = table.base_address + entry.unwind_data
            head = truth.read(start, 4)  # winnt.h UNWIND_INFO: Version and Flags, SizeOfProlog, CountOfCodes
            if head is None:
                break
            codes = head[2]
            size = 4 + 2 * (codes + codes % 2) + 12 if head[0] >> 3 & _CHAINED else 4 + 2 * codes
            yield Piece(start, start + size, f"unwind info at {start:#x}")
