"""Selects the memory of every user minidump: stacks, instruction windows, shared user data, unwind data.

docs/format/minidump-captured-memory.md#ranges-of-every-minidump
"""

from __future__ import annotations

from collections.abc import Iterator

from ..constants import Hresult
from ..request import DumpRefused, Session
from ..snapshot.process import ProcessSnapshot, Thread
from .engines import Engine
from .process_view import ProcessView, WantedRange
from .ranges import Range
from .reading import Reading

_WINDOWS = {"x86": 0x80, "amd64": 0x80, "arm64": 0x200}
"""Bytes of a window before the instruction pointer, and from it on.

docs/format/minidump-captured-memory.md#instruction-window-of-a-thread
"""
BELOW_STACK_POINTER = {"x86": 4}
"""Captured bytes below the stack pointer, by architecture.

docs/format/minidump-captured-memory.md#stack-of-a-thread
"""
SHARED_USER_DATA = 0x7FFE0000
"""docs/format/minidump-captured-memory.md#shared-user-data-page"""
_UNWIND_HEADER = 4
_UNWIND_CODE = 2
"""Bytes of UNWIND_INFO: a header with CountOfCodes at offset 2, then the codes."""
_CHAINED = 0x4 << 3
"""UNW_FLAG_CHAININFO in the first byte. A RUNTIME_FUNCTION follows an even number of codes."""
_RUNTIME_FUNCTION = 12


def stack_range(thread: Thread, architecture: str) -> Range:
    """Return [stack pointer, StackBase), or the whole committed stack if the stack pointer lies outside of it.

    docs/format/minidump-captured-memory.md#stack-pointer-outside-the-stack
    """
    low = thread.context.stack_pointer - BELOW_STACK_POINTER.get(architecture, 0)
    if not thread.stack_limit <= low < thread.stack_base:
        low = min(thread.stack_limit, thread.stack_base)
    return low, thread.stack_base


def stack_ranges(snapshot: ProcessSnapshot, reading: Reading, engine: Engine, session: Session) -> tuple[Range, ...]:
    """Return every thread's stack; (0, 0) for a stack that a dump target lost with its TEB.

    docs/format/minidump-memory-ranges.md#dump-targets-stacks. Raises DumpRefused when the engine fails for a stack that
    it cannot read: docs/format/minidump-captured-memory.md#stack-that-cannot-be-read.
    """
    architecture = snapshot.system.architecture
    found = []
    for thread in snapshot.threads:
        start, end = stack_range(thread, architecture)
        if session == Session.DUMP and not teb_captured(
            reading, thread, engine.teb_needed[snapshot.system.pointer_size]
        ):
            start = end = 0
        if not engine.keeps_unreadable_stacks and not reading.covers(start, end):
            raise DumpRefused(
                Hresult.ERROR_READ_FAULT if reading.covers(start, start + 1) else Hresult.ERROR_PARTIAL_COPY,
                f"thread {thread.thread_id:#x}: a part of its stack {start:#x}..{end:#x} cannot be read",
            )
        found.append((start, end))
    return tuple(found)


def teb_captured(reading: Reading, thread: Thread, needed: int) -> bool:
    """Whether a dump target holds the ``needed`` first bytes of a TEB, without which the engine has no TEB at all.

    docs/format/minidump-memory-ranges.md#dump-targets-stacks
    """
    return bool(thread.teb) and reading.covers(thread.teb, thread.teb + needed)


def stacks(target: ProcessView) -> Iterator[WantedRange]:
    """Yield the readable part of every stack."""
    for thread, (start, end) in zip(target.snapshot.threads, target.stacks, strict=True):
        yield from target.readable(start, end, f"stack of thread {thread.thread_id:#x}")


def instruction_windows(target: ProcessView) -> Iterator[WantedRange]:
    """Yield the window around each instruction pointer, and around ExceptionAddress if it is readable and not 0.

    docs/format/minidump-captured-memory.md#instruction-window-of-a-thread,
    docs/format/minidump-captured-memory.md#window-of-the-exception
    """
    size = _WINDOWS[target.snapshot.system.architecture]
    centres = [
        (thread.context.instruction_pointer, f"instruction window of thread {thread.thread_id:#x}")
        for thread in target.snapshot.threads
    ]
    event = target.snapshot.exception
    if event and event.address and target.reading.covers(event.address, event.address + 1):
        centres.append((event.address, "window of the exception"))
    for centre, reason in centres:
        yield from target.window(centre - size, centre + size, reason)


def shared_user_data(target: ProcessView) -> Iterator[WantedRange]:
    """Yield the head of KUSER_SHARED_DATA (docs/format/minidump-captured-memory.md#shared-user-data-page)."""
    end = SHARED_USER_DATA + target.engine.shared_data
    return target.readable(SHARED_USER_DATA, end, "shared user data")


def unwind_data(target: ProcessView) -> Iterator[WantedRange]:
    """Yield UNWIND_INFO of the dynamic function tables, without handler data. An unreadable entry ends its table.

    docs/format/minidump-captured-memory.md#unwind-information-of-dynamic-function-tables
    """
    for table in target.snapshot.function_tables:
        for entry in table.entries:
            address = table.base_address + entry.unwind_data
            head = target.reading.view(address, address + _UNWIND_HEADER)
            if head is None:
                break
            codes = head[2]
            size = _UNWIND_HEADER + _UNWIND_CODE * codes
            if head[0] & _CHAINED:
                size = _UNWIND_HEADER + _UNWIND_CODE * (codes + codes % 2) + _RUNTIME_FUNCTION
            yield from target.readable(address, address + size, "unwind data of a dynamic function table")
