"""Builds the frame with which ntdll!KiUserExceptionDispatcher gets an exception, on the stack of the thread.

RSP points to the CONTEXT. Its CONTEXT_EX, the EXCEPTION_RECORD and a machine frame follow, 16-byte aligned. Sources:
KiDispatchException of the public Windows Research Kernel (which structures, in which order); the distances that
ntdll's own unwind data has since Windows 8, as Wine states them in exc_stack_layout (dlls/ntdll/unix/signal_x86_64.c).
"""

from __future__ import annotations

import struct

from ..snapshot.process import Context
from .context import CONTEXT_SIZE, context_bytes
from .exceptions import EXCEPTION_RECORD_SIZE, ExceptionRecord
from .memory import GuestMemory
from .objects import Thread
from .page_faults import make_writable
from .winnt import Status

RECORD_OFFSET = 0x4F0
MACHINE_FRAME_OFFSET = 0x590
FRAME_SIZE = 0x5C0


class NoRoom(Exception):  # noqa: N818 - the caller handles it
    """The frame cannot be written. ``overflow``: the record of the stack overflow that the attempt raised, or None."""

    def __init__(self, overflow: ExceptionRecord | None) -> None:
        super().__init__("no room on the stack for the exception")
        self.overflow = overflow


def push_exception_frame(memory: GuestMemory, thread: Thread, record: ExceptionRecord, context: Context) -> int:
    """Write the frame below the RSP of ``context``. Returns its address. Raises NoRoom."""
    registers = context.as_mapping()
    address = (registers["Rsp"] & ~0xF) - FRAME_SIZE
    refused = make_writable(memory, thread, address, FRAME_SIZE)
    if refused is not None:
        status, at = refused
        overflow = ExceptionRecord(Status.STACK_OVERFLOW, 0, 0, record.address, (1, at))
        raise NoRoom(overflow if status == Status.STACK_OVERFLOW else None)
    memory.poke(address, _frame(record, context))
    return address


def _frame(record: ExceptionRecord, context: Context) -> bytes:
    registers = context.as_mapping()
    data = bytearray(FRAME_SIZE)
    data[:CONTEXT_SIZE] = context_bytes(context)
    # CONTEXT_EX (winnt.h): chunks All, Legacy and XState, each an offset from the CONTEXT_EX and a length.
    struct.pack_into("<iI", data, CONTEXT_SIZE, -CONTEXT_SIZE, CONTEXT_SIZE + 0x18)
    struct.pack_into("<iI", data, CONTEXT_SIZE + 8, -CONTEXT_SIZE, CONTEXT_SIZE)
    data[RECORD_OFFSET : RECORD_OFFSET + EXCEPTION_RECORD_SIZE] = _record(record)
    # The machine frame of UWOP_PUSH_MACHFRAME ("x64 exception handling"): RIP, CS, EFLAGS, RSP, SS.
    frame = (registers[name] for name in ("Rip", "SegCs", "EFlags", "Rsp", "SegSs"))
    struct.pack_into("<5Q", data, MACHINE_FRAME_OFFSET, *frame)
    return bytes(data)


def _record(record: ExceptionRecord) -> bytes:
    head = struct.pack("<IIQQI4x", record.code, record.flags, record.record, record.address, len(record.information))
    return (head + struct.pack(f"<{len(record.information)}Q", *record.information)).ljust(EXCEPTION_RECORD_SIZE, b"\0")
