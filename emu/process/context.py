"""Reads processor contexts from the machine and from a CONTEXT structure in the target's memory (winnt.h, amd64).

Offsets: docs/format/minidump-contexts.md#amd64-layout.
"""

from __future__ import annotations

import struct

from ..constants import CONTEXT_AMD64_ALL
from ..machine.cpu import Cpu
from ..snapshot.process import Context
from ..snapshot.processor_state import AMD64_REGISTERS

CONTEXT_SIZE = 0x4D0

_SEGMENTS = ("SegCs", "SegDs", "SegEs", "SegFs", "SegGs", "SegSs")
_DEBUG = ("Dr0", "Dr1", "Dr2", "Dr3", "Dr6", "Dr7")
_GENERAL = ("Rax", "Rcx", "Rdx", "Rbx", "Rsp", "Rbp", "Rsi", "Rdi", *(f"R{n}" for n in range(8, 16)))


def context_of(cpu: Cpu) -> Context:
    """All registers of the processor, as GetThreadContext with CONTEXT_ALL returns them."""
    registers = cpu.registers()
    return Context(tuple((name, registers[name]) for name in AMD64_REGISTERS), cpu.fxsave(), CONTEXT_AMD64_ALL)


def context_from_bytes(data: bytes) -> Context:
    """The CONTEXT (0x4D0 bytes) that the target captured itself, with its ContextFlags."""
    flags, mxcsr, *segments, eflags = struct.unpack_from("<II6HI", data, 0x30)
    values = dict(zip(_SEGMENTS, segments, strict=True))
    values |= zip(_DEBUG, struct.unpack_from("<6Q", data, 0x48), strict=True)
    values |= zip(_GENERAL, struct.unpack_from("<16Q", data, 0x78), strict=True)
    values |= {"EFlags": eflags, "MxCsr": mxcsr, "Rip": struct.unpack_from("<Q", data, 0xF8)[0]}
    return Context(tuple((name, values[name]) for name in AMD64_REGISTERS), bytes(data[0x100:0x300]), flags)
