"""Implements the system services for the registers of threads.

Groups of ContextFlags and offsets: winnt.h CONTEXT_*, docs/format/minidump-contexts.md#amd64-layout.
"""

from __future__ import annotations

import struct

from .context import CONTEXT_SIZE, context_bytes, context_of, load_context
from .objects import Thread
from .service_thread import thread_of
from .services import Call, service
from .winnt import Status, StatusError

CONTEXT_AMD64 = 0x00100000
# The bytes of each group: (bit of ContextFlags, places).
_GROUPS = (
    (0x1, ((0x38, 2), (0x42, 6), (0x98, 8), (0xF8, 8))),  # CONTEXT_CONTROL: SegCs, SegSs and EFlags, Rsp, Rip
    (0x2, ((0x78, 0x20), (0xA0, 0x58))),  # CONTEXT_INTEGER
    (0x4, ((0x3A, 8),)),  # CONTEXT_SEGMENTS: DS, ES, FS, GS
    (0x8, ((0x34, 4), (0x100, 0x200))),  # CONTEXT_FLOATING_POINT: MxCsr, FltSave
    (0x10, ((0x48, 0x30),)),  # CONTEXT_DEBUG_REGISTERS
)
THREAD_GET_CONTEXT, THREAD_SET_CONTEXT = 0x8, 0x10  # winnt.h


def _registers(call: Call, thread: Thread) -> bytes:
    """The CONTEXT of a thread. The caller itself is in its system call."""
    cpu = call.process.cpu
    if thread is call.thread:
        return context_bytes(context_of(cpu))
    current = cpu.save()
    cpu.restore(thread.state)
    data = context_bytes(context_of(cpu))
    cpu.restore(current)
    return data


def _arguments(call: Call, access: int) -> tuple[Thread, bytes, int]:
    handle, context_at = call.arguments
    thread = thread_of(call, handle, access)
    asked = call.process.memory.read(context_at, CONTEXT_SIZE)
    (flags,) = struct.unpack_from("<I", asked, 0x30)
    if not flags & CONTEXT_AMD64:
        raise StatusError(Status.INVALID_PARAMETER)
    if thread.exited:
        raise StatusError(Status.THREAD_IS_TERMINATING)
    return thread, asked, flags


@service
def NtGetContextThread(call: Call) -> int:
    thread, asked, flags = _arguments(call, THREAD_GET_CONTEXT)
    found, answer = _registers(call, thread), bytearray(asked)
    for bit, places in _GROUPS:
        for start, size in places if flags & bit else ():
            answer[start : start + size] = found[start : start + size]
    call.process.memory.write(call.arguments[1], bytes(answer))
    return Status.SUCCESS


@service
def NtSetContextThread(call: Call) -> int:
    thread, asked, _ = _arguments(call, THREAD_SET_CONTEXT)
    if thread is call.thread:
        raise StatusError(Status.INVALID_PARAMETER)  # a thread cannot leave its system call by another way
    cpu = call.process.cpu
    current = cpu.save()
    cpu.restore(thread.state)
    load_context(cpu, asked)
    thread.state = cpu.save()
    cpu.restore(current)
    return Status.SUCCESS
