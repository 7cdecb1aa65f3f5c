"""Structures of processor contexts as field sequences (winnt.h; docs/format/minidump-contexts.md).

winnt.h calls the context of every architecture CONTEXT. The floating point parts are plain bytes, in the processor's
own formats: FXSAVE, FSAVE, NEON registers.
"""

# ruff: noqa: RUF012 - ctypes reads _fields_ once, when the class is made

from __future__ import annotations

from ctypes import c_int32, c_uint8, c_uint16, c_uint32, c_uint64

from .structs import Packed


class CONTEXT(Packed):
    """CONTEXT of amd64, 0x4D0 bytes (docs/format/minidump-contexts.md#amd64-layout)."""

    _fields_ = [
        *((f"P{index}Home", c_uint64) for index in range(1, 7)),
        ("ContextFlags", c_uint32),
        ("MxCsr", c_uint32),
        *((name, c_uint16) for name in ("SegCs", "SegDs", "SegEs", "SegFs", "SegGs", "SegSs")),
        ("EFlags", c_uint32),
        *((name, c_uint64) for name in (
            "Dr0", "Dr1", "Dr2", "Dr3", "Dr6", "Dr7", "Rax", "Rcx", "Rdx", "Rbx", "Rsp", "Rbp", "Rsi", "Rdi", "R8",
            "R9", "R10", "R11", "R12", "R13", "R14", "R15", "Rip",
        )),
        ("FltSave", c_uint8 * 512),
        ("VectorRegister", c_uint8 * (26 * 16)),
        ("VectorControl", c_uint64),
        ("DebugControl", c_uint64),
        ("LastBranchToRip", c_uint64),
        ("LastBranchFromRip", c_uint64),
        ("LastExceptionToRip", c_uint64),
        ("LastExceptionFromRip", c_uint64),
    ]  # fmt: skip


class CONTEXT_X86(Packed):
    """CONTEXT of x86, 716 bytes (docs/format/minidump-contexts.md#x86-layout). WOW64_CONTEXT has the same members."""

    _fields_ = [
        ("ContextFlags", c_uint32),
        *((name, c_uint32) for name in ("Dr0", "Dr1", "Dr2", "Dr3", "Dr6", "Dr7")),
        ("FloatSave", c_uint8 * 112),
        *((name, c_uint32) for name in (
            "SegGs", "SegFs", "SegEs", "SegDs", "Edi", "Esi", "Ebx", "Edx", "Ecx", "Eax", "Ebp", "Eip", "SegCs",
            "EFlags", "Esp", "SegSs",
        )),
        ("ExtendedRegisters", c_uint8 * 512),
    ]  # fmt: skip


class CONTEXT_ARM64(Packed):
    """CONTEXT of arm64, ARM64_NT_CONTEXT, 912 bytes (docs/format/minidump-contexts.md#arm64-layout)."""

    _fields_ = [
        ("ContextFlags", c_uint32),
        ("Cpsr", c_uint32),
        *((f"X{number}", c_uint64) for number in range(29)),
        *((name, c_uint64) for name in ("Fp", "Lr", "Sp", "Pc")),
        ("V", c_uint8 * 512),
        ("Fpcr", c_uint32),
        ("Fpsr", c_uint32),
        ("Bcr", c_uint32 * 8),
        ("Bvr", c_uint64 * 8),
        ("Wcr", c_uint32 * 2),
        ("Wvr", c_uint64 * 2),
    ]


class CONTEXT_CHUNK(Packed):
    """One part of a context with extended state. ``Offset`` counts from the start of the CONTEXT_EX."""

    _fields_ = [("Offset", c_int32), ("Length", c_uint32)]


class CONTEXT_EX(Packed):
    """Follows the CONTEXT when it has extended state (docs/format/minidump-contexts.md#extended-context-header)."""

    _fields_ = [("All", CONTEXT_CHUNK), ("Legacy", CONTEXT_CHUNK), ("XState", CONTEXT_CHUNK)]


class XSAVE_AREA_HEADER(Packed):
    """Header of an XSAVE area (Intel SDM vol. 1, 13.4.2). The XState chunk begins with it."""

    _fields_ = [("Mask", c_uint64), ("CompactionMask", c_uint64), ("Reserved2", c_uint64 * 6)]
