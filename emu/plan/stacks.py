"""Selects the memory of every user minidump: stacks, instruction windows, unwind data of generated code.

docs/format/minidump-captured-memory.md#ranges-of-every-minidump
"""

from __future__ import annotations

from collections.abc import Iterator

from ..constants import Hresult
from ..request import DumpRefused
from ..snapshot.process import ProcessSnapshot, Thread
from .process_view import ProcessView, WantedRange
from .ranges import Range
from .reading import Reading

WINDOW_BEFORE = 0x80
WINDOW_AFTER = 0x80
"""Bytes of the window before the instruction pointer, and from it on."""
_BELOW_STACK_POINTER = {"x86": 4}
"""Captured bytes below the stack pointer, by architecture.

docs/format/minidump-captured-memory.md#stack-of-a-thread
"""
_UNWIND_HEADER = 4
_UNWIND_CODE = 2
"""Bytes of UNWIND_INFO: a header with CountOfCodes at offset 2, then the codes."""


def stack_range(thread: Thread, architecture: str) -> Range:
    """Return [stack pointer, StackBase), or the whole committed stack if the stack pointer lies outside of it."""
    pointer = thread.context.stack_pointer
    if thread.stack_limit <= pointer <= thread.stack_base:
        low = max(pointer - _BELOW_STACK_POINTER.get(architecture, 0), thread.stack_limit)
    else:
        low = thread.stack_limit
    return min(low, thread.stack_base), thread.stack_base


def stack_ranges(snapshot: ProcessSnapshot, reading: Reading) -> tuple[Range, ...]:
    """Return every thread's stack.

    Raises DumpRefused with ERROR_PARTIAL_COPY when a stack cannot be read, whatever the flags say about inaccessible
    memory. Writers differ: docs/format/minidump-captured-memory.md#stack-that-cannot-be-read.
    """
    stacks = tuple(stack_range(thread, snapshot.system.architecture) for thread in snapshot.threads)
    for thread, (start, end) in zip(snapshot.threads, stacks, strict=True):
        if not reading.covers(start, end):
            raise DumpRefused(
                Hresult.ERROR_PARTIAL_COPY,
                f"thread {thread.thread_id:#x}: a part of its stack {start:#x}..{end:#x} cannot be read",
            )
    return stacks


def stacks(target: ProcessView) -> Iterator[WantedRange]:
    """Yield the captured part of every stack."""
    for thread, (start, end) in zip(target.snapshot.threads, target.stacks, strict=True):
        yield WantedRange(start, end, f"stack of thread {thread.thread_id:#x}")


def instruction_windows(target: ProcessView) -> Iterator[WantedRange]:
    """Yield the readable bytes around each instruction pointer.

    docs/format/minidump-captured-memory.md#instruction-window-of-a-thread
    """
    pointers = [
        (thread.context.instruction_pointer, f"instruction window of thread {thread.thread_id:#x}")
        for thread in target.snapshot.threads
    ]
    event = target.snapshot.exception
    if event:  # around the context's instruction pointer: ExceptionAddress may be 0
        pointers.append((event.context.instruction_pointer, "instruction window of the exception"))
    for pointer, reason in pointers:
        yield from target.readable(max(pointer - WINDOW_BEFORE, 0), pointer + WINDOW_AFTER, reason)


def unwind_data(target: ProcessView) -> Iterator[WantedRange]:
    """Yield UNWIND_INFO of every entry of the dynamic function tables, without handler data, not rounded.

    docs/format/minidump-captured-memory.md#unwind-information-of-dynamic-function-tables
    """
    addresses = {
        table.base_address + entry.unwind_data: None
        for table in target.snapshot.function_tables
        for entry in table.entries
    }
    for address in addresses:
        codes = target.reading.number(address + 2, 1)
        if codes is not None:
            end = address + _UNWIND_HEADER + _UNWIND_CODE * codes
            yield from target.readable(address, end, "unwind data of a dynamic function table")
