"""Makes contexts of each architecture: given pointers, and the values of a new user-mode thread in the rest."""

from __future__ import annotations

import struct

from ..constants import CONTEXT_AMD64_ALL
from ..snapshot.processor_state import REGISTERS, Context

_POINTERS = {"amd64": ("Rsp", "Rip"), "x86": ("Esp", "Eip"), "arm64": ("Sp", "Pc")}
_FRESH = {
    "amd64": {
        "SegCs": 0x33, "SegDs": 0x2B, "SegEs": 0x2B, "SegFs": 0x53, "SegGs": 0x2B, "SegSs": 0x2B, "EFlags": 0x246,
        "MxCsr": 0x1F80,
    },
    "x86": {
        "SegCs": 0x23, "SegDs": 0x2B, "SegEs": 0x2B, "SegFs": 0x53, "SegGs": 0x2B, "SegSs": 0x2B, "EFlags": 0x246,
    },
    "arm64": {"Cpsr": 0x6000_0000},
}  # fmt: skip
_ALL = {"amd64": CONTEXT_AMD64_ALL, "x86": 0x1_003F, "arm64": 0x40_001F}  # winnt.h CONTEXT_ALL
_FLOATING_SAVE_AREA_SIZE = 112
_VECTORS_SIZE = 512


def synthetic_context(
    architecture: str,
    *,
    stack_pointer: int,
    instruction_pointer: int,
    xstate: tuple[tuple[int, bytes], ...] | None = None,
    **registers: int,
) -> Context:
    """Return a full context. ``registers`` have the field names of CONTEXT; ``xstate`` is as in ``Context``.

    Raises ValueError for a register that CONTEXT does not have.
    """
    stack, instruction = _POINTERS[architecture]
    unknown = registers.keys() - set(REGISTERS[architecture])
    if unknown:
        raise ValueError(f"{architecture} CONTEXT has no register {', '.join(sorted(unknown))}")
    values = {**_FRESH[architecture], stack: stack_pointer, instruction: instruction_pointer, **registers}
    named = tuple((name, values.get(name, 0)) for name in REGISTERS[architecture])
    if architecture == "arm64":
        return Context(named, b"", _ALL[architecture], None, v=bytes(range(16)) * (_VECTORS_SIZE // 16))
    fxsave = bytearray(512)
    struct.pack_into("<H", fxsave, 0, 0x27F)  # ControlWord
    struct.pack_into("<II", fxsave, 24, values.get("MxCsr", 0x1F80), 0xFFFF)  # MxCsr, MxCsr_Mask
    float_save = struct.pack("<I", 0x27F).ljust(_FLOATING_SAVE_AREA_SIZE, b"\0") if architecture == "x86" else b""
    return Context(named, bytes(fxsave), _ALL[architecture], xstate, float_save)
