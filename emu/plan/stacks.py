"""What every user minidump holds: stacks, instruction windows, unwind data of generated code (spec user-mode 2.3)."""

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
"""Bytes before and after an instruction pointer (461 of 461 threads)."""
_BELOW_STACK_POINTER = {"x86": 4}
"""Bytes of a stack that are captured below the stack pointer, by architecture (91 of 91 threads of x86)."""
_UNWIND_HEADER = 4
_UNWIND_CODE = 2
"""UNWIND_INFO (learn.microsoft.com "x64 exception handling"): header with CountOfCodes at 2, then the codes."""


def stack_range(thread: Thread, architecture: str) -> Range:
    """From the stack pointer to StackBase, the whole committed stack when it lies outside the TEB's bounds."""
    pointer = thread.context.stack_pointer
    if thread.stack_limit <= pointer <= thread.stack_base:
        low = max(pointer - _BELOW_STACK_POINTER.get(architecture, 0), thread.stack_limit)
    else:
        low = thread.stack_limit
    return min(low, thread.stack_base), thread.stack_base


def stack_ranges(snapshot: ProcessSnapshot, reading: Reading) -> tuple[Range, ...]:
    """Every thread's stack. Raises DumpRefused with ERROR_PARTIAL_COPY: a stack is never left out, whatever the flags
    say of inaccessible memory."""
    stacks = tuple(stack_range(thread, snapshot.system.architecture) for thread in snapshot.threads)
    for thread, (start, end) in zip(snapshot.threads, stacks, strict=True):
        if not reading.covers(start, end):
            raise DumpRefused(
                Hresult.ERROR_PARTIAL_COPY,
                f"thread {thread.thread_id:#x}: not all of its stack {start:#x}..{end:#x} can be read",
            )
    return stacks


def stacks(target: ProcessView) -> Iterator[WantedRange]:
    for thread, (start, end) in zip(target.snapshot.threads, target.stacks, strict=True):
        yield WantedRange(start, end, f"stack of thread {thread.thread_id:#x}")


def instruction_windows(target: ProcessView) -> Iterator[WantedRange]:
    """The bytes around each instruction pointer, where they are readable."""
    pointers = [
        (thread.context.instruction_pointer, f"instruction window of thread {thread.thread_id:#x}")
        for thread in target.snapshot.threads
    ]
    event = target.snapshot.exception
    if event:  # its context's pointer, not ExceptionAddress, which may be 0
        pointers.append((event.context.instruction_pointer, "instruction window of the exception"))
    for pointer, reason in pointers:
        yield from target.readable(max(pointer - WINDOW_BEFORE, 0), pointer + WINDOW_AFTER, reason)


def unwind_data(target: ProcessView) -> Iterator[WantedRange]:
    """UNWIND_INFO of every entry of the dynamic function tables, without handler data and not rounded (3 files)."""
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
