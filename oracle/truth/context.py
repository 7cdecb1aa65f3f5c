"""The registers of a thread in a truth, and the checks that they are consistent."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Final

from .deferred import Deferred
from .members import (
    U32,
    Misfit,
    Wide,
    Wides,
    byte_string,
    exact_members,
    fail,
    mapping,
    member,
    nullable_byte_string,
    shown,
)

# The fields of winnt.h CONTEXT that docs/truth-format.md lists, in its order.
CONTEXT_REGISTERS: Final = {
    "amd64": (
        *("SegCs", "SegDs", "SegEs", "SegFs", "SegGs", "SegSs", "EFlags"),
        *("Dr0", "Dr1", "Dr2", "Dr3", "Dr6", "Dr7"),
        *("Rax", "Rcx", "Rdx", "Rbx", "Rsp", "Rbp", "Rsi", "Rdi"),
        *("R8", "R9", "R10", "R11", "R12", "R13", "R14", "R15", "Rip", "MxCsr"),
    ),
    "x86": (
        *("Dr0", "Dr1", "Dr2", "Dr3", "Dr6", "Dr7"),
        *("SegGs", "SegFs", "SegEs", "SegDs", "Edi", "Esi", "Ebx", "Edx", "Ecx", "Eax"),
        *("Ebp", "Eip", "SegCs", "EFlags", "Esp", "SegSs"),
    ),
    "arm64": (
        *("Cpsr", *(f"X{index}" for index in range(29)), "Fp", "Lr", "Sp", "Pc", "Fpcr", "Fpsr"),
        *(*(f"Bcr{index}" for index in range(8)), *(f"Bvr{index}" for index in range(8))),
        *("Wcr0", "Wcr1", "Wvr0", "Wvr1"),
    ),
}
"""Architecture -> the registers of a context. These are the architectures of a user-mode truth."""

POINTER_SIZES: Final = {"amd64": 8, "x86": 4, "arm64": 8}
_POINTERS: Final = {"amd64": ("Rip", "Rsp"), "x86": ("Eip", "Esp"), "arm64": ("Pc", "Sp")}
# Architecture -> the areas that winnt.h CONTEXT has besides its registers.
_AREAS: Final = {"amd64": ("fxsave",), "x86": ("fxsave", "float_save"), "arm64": ("v",)}
_ALL_AREAS: Final = ("fxsave", "float_save", "v")

COMPACTED: Final = 1 << 63
"""winnt.h XSTATE_COMPACTION_ENABLE_MASK. In a mask of features, this bit names the format, not a component."""
XSAVE_EXTENDED: Final = 576
"""The offset in an XSAVE area after the legacy area and the header (Intel SDM volume 1, 13.4)."""
FIRST_EXTENDED: Final = 2
"""The first XSAVE component outside the legacy area, which holds components 0 (x87) and 1 (SSE)."""
_COMPONENT: Final = re.compile(r"0|[1-9][0-9]?")


@dataclass(frozen=True, slots=True)
class XStateFeature:
    """Offset of an XSAVE component in an area of standard format, and its size, in bytes."""

    offset: U32
    size: U32


@dataclass(frozen=True, slots=True)
class XStateTruth:
    """The components that the processor and the system save with XSAVE."""

    enabled_features: Wide
    features: tuple[XStateFeature, ...]
    """By component number, up to the highest enabled one. Offset and size are 0 for a component that is not enabled."""

    def check(self, where: str) -> None:
        """Raises TruthError if ``enabled_features`` and ``features`` contradict each other."""
        enabled = self.enabled_features & ~COMPACTED
        if len(self.features) != enabled.bit_length():
            expected = f"{enabled.bit_length()} entries, up to the highest enabled component"
            fail(f"{where}.features", expected, str(len(self.features)))
        for component, feature in enumerate(self.features):
            if bool(feature.size) != bool(enabled >> component & 1) or (feature.offset and not feature.size):
                expected = "a size" if enabled >> component & 1 else "offset 0 and size 0: it is not enabled"
                fail(f"{where}.features[{component}]", expected, f"offset {feature.offset}, size {feature.size}")
            if component >= FIRST_EXTENDED and feature.size and feature.offset < XSAVE_EXTENDED:
                expected = f"at least {XSAVE_EXTENDED}, after legacy area and header"
                fail(f"{where}.features[{component}].offset", expected, str(feature.offset))


@dataclass(frozen=True, slots=True)
class ContextTruth(Deferred):
    """The context of a processor of a machine."""

    context_flags: U32
    registers: Wides
    fxsave: Annotated[bytes, byte_string(512)]

    @property
    def ip(self) -> int:
        return self.registers["Rip"]

    @property
    def sp(self) -> int:
        return self.registers["Rsp"]


@dataclass(frozen=True, slots=True)
class ThreadContextTruth(ContextTruth):
    """The context of a thread of a process, or of its exception."""

    fxsave: Annotated[bytes, nullable_byte_string(512)]
    """Empty if the architecture has none."""
    float_save: Annotated[bytes, byte_string(112)] | None = None
    v: Annotated[bytes, byte_string(512)] | None = None
    xstate: Annotated[dict[str, bytes], mapping(byte_string())] | None = None
    """Decimal component number -> bytes of each XSAVE component that is not in its initial state. None if unknown."""

    @property
    def ip(self) -> int:
        return next(self.registers[ip] for ip, _ in _POINTERS.values() if ip in self.registers)

    @property
    def sp(self) -> int:
        return next(self.registers[sp] for _, sp in _POINTERS.values() if sp in self.registers)

    @property
    def components(self) -> dict[int, bytes]:
        """``xstate`` with integer keys."""
        return {int(number): data for number, data in (self.xstate or {}).items()}

    def check(self, architecture: str, xstate: XStateTruth | None) -> None:
        """Raises Misfit if a register or area is missing, or is not of ``architecture``."""
        check_registers(self.registers, architecture)
        width = 8 * POINTER_SIZES[architecture]
        if width < 64 and max(self.registers.values()) >> width:
            name = next(name for name, value in self.registers.items() if value >> width)
            raise Misfit(f"at most {width} bits", f"{self.registers[name]:#x}", f".registers.{name}")
        for area in _ALL_AREAS:
            there, due = bool(getattr(self, area)), area in _AREAS[architecture]
            if there != due:
                raise Misfit(
                    f"{'bytes' if due else 'null'} on {architecture}", "bytes" if there else "null", f".{area}"
                )
        for key, data in (self.xstate or {}).items():
            where = f".xstate{member(key)}"
            number = int(key) if _COMPONENT.fullmatch(key) else 0
            if xstate is None or number >= len(xstate.features) or not xstate.features[number].size:
                raise Misfit("a component from 2 on that system.xstate enables", "another", where)
            if number < FIRST_EXTENDED:
                raise Misfit("a component from 2 on: the others are in fxsave", shown(key), where)
            if len(data) != xstate.features[number].size:
                raise Misfit(f"{xstate.features[number].size} bytes", str(len(data)), where)


def check_registers(registers: dict[str, int], architecture: str) -> None:
    """Raises Misfit unless ``registers`` are those of ``architecture``."""
    try:
        exact_members(registers, CONTEXT_REGISTERS[architecture])
    except Misfit as misfit:
        raise misfit.below(".registers") from None
