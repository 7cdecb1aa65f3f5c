"""Moves processor contexts between the machine and a CONTEXT structure in the target's memory (winnt.h, amd64).

Offsets: docs/format/minidump-contexts.md#amd64-layout.
"""

from __future__ import annotations

import struct

from ..constants import CONTEXT_AMD64_ALL
from ..machine.cpu import Cpu
from ..machine.register_file import INITIAL_EFLAGS
from ..snapshot.process import Context
from ..snapshot.processor_state import AMD64_REGISTERS

CONTEXT_SIZE = 0x4D0

# ContextFlags: winnt.h CONTEXT_CONTROL and so on.
_CONTROL, _INTEGER, _FLOATING_POINT, _DEBUG_REGISTERS = 0x1, 0x2, 0x8, 0x10
_USER_EFLAGS = 0x210DD5
"""The bits of EFlags that user code may change: WRK EFLAGS_USER_SANITIZE. Bits 1 and 9 are always set."""
_MXCSR_BITS = 0xFFFF  # Intel SDM vol. 1, 10.2.3

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


def context_bytes(context: Context) -> bytes:
    """The CONTEXT of ``context``, without vector registers."""
    registers = context.as_mapping()
    data = bytearray(CONTEXT_SIZE)
    segments = (registers[name] for name in _SEGMENTS)
    struct.pack_into("<II6HI", data, 0x30, context.context_flags, registers["MxCsr"], *segments, registers["EFlags"])
    struct.pack_into("<6Q", data, 0x48, *(registers[name] for name in _DEBUG))
    struct.pack_into("<16Q", data, 0x78, *(registers[name] for name in _GENERAL))
    struct.pack_into("<Q", data, 0xF8, registers["Rip"])
    data[0x100:0x300] = context.fxsave
    return bytes(data)


def load_context(cpu: Cpu, data: bytes) -> None:
    """Load the parts of a CONTEXT that its ContextFlags name, as NtContinue does.

    Selectors, and bits that user code may not change, keep their values: WRK KeContextToKframes.
    """
    context = context_from_bytes(data)
    registers = context.as_mapping()
    values: dict[str, int] = {}
    if context.context_flags & _FLOATING_POINT:
        cpu.load_fxsave(context.fxsave)
        values["MxCsr"] = registers["MxCsr"] & _MXCSR_BITS
    if context.context_flags & _CONTROL:
        values |= {name: registers[name] for name in ("Rip", "Rsp")}
        values["EFlags"] = registers["EFlags"] & _USER_EFLAGS | INITIAL_EFLAGS
    if context.context_flags & _INTEGER:
        values |= {name: registers[name] for name in _GENERAL if name != "Rsp"}
    if context.context_flags & _DEBUG_REGISTERS:
        values |= {name: registers[name] for name in _DEBUG}
    cpu.load(values)
