"""What a processor holds: contexts of the three architectures, and where the extended state of XSAVE lies in one.

Part of the snapshot's model (``model.py``): values only, standard library only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

# The registers of a context, in a snapshot's order (docs/truth-format.md), by winnt.h's field names.
AMD64_REGISTERS = (
    "SegCs", "SegDs", "SegEs", "SegFs", "SegGs", "SegSs", "EFlags", "Dr0", "Dr1", "Dr2", "Dr3", "Dr6", "Dr7",
    "Rax", "Rcx", "Rdx", "Rbx", "Rsp", "Rbp", "Rsi", "Rdi", "R8", "R9", "R10", "R11", "R12", "R13", "R14", "R15",
    "Rip", "MxCsr",
)  # fmt: skip
X86_REGISTERS = (
    "Dr0", "Dr1", "Dr2", "Dr3", "Dr6", "Dr7", "SegGs", "SegFs", "SegEs", "SegDs",
    "Edi", "Esi", "Ebx", "Edx", "Ecx", "Eax", "Ebp", "Eip", "SegCs", "EFlags", "Esp", "SegSs",
)  # fmt: skip
ARM64_REGISTERS = (
    "Cpsr", *(f"X{n}" for n in range(29)), "Fp", "Lr", "Sp", "Pc", "Fpcr", "Fpsr", *(f"Bcr{n}" for n in range(8)),
    *(f"Bvr{n}" for n in range(8)), "Wcr0", "Wcr1", "Wvr0", "Wvr1",
)  # fmt: skip
REGISTERS = {"amd64": AMD64_REGISTERS, "x86": X86_REGISTERS, "arm64": ARM64_REGISTERS}

_POINTERS = {"Rip": "Rsp", "Eip": "Esp", "Pc": "Sp"}
"""Instruction pointer and stack pointer of each architecture."""


@dataclass(frozen=True, slots=True)
class XstateFeature:
    """Where an XSAVE component lies in the standard-format XSAVE area (CPUID 0Dh); {0, 0} when it is not enabled."""

    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class XstateConfiguration:
    """XSTATE_CONFIGURATION of the system, as far as a dump knows it (winnt.h; spec user-mode 3.11)."""

    enabled_features: int
    """Bit n: component n (0 x87, 1 SSE, 2 AVX, 5 to 7 AVX-512, 9 PKRU)."""
    features: tuple[XstateFeature, ...]
    """By component number, as many as the highest enabled one needs."""


AVX_STATE = XstateConfiguration(
    enabled_features=0x7, features=(XstateFeature(0, 160), XstateFeature(160, 256), XstateFeature(576, 256))
)
"""x87, SSE and AVX, as every processor with AVX has them (Intel SDM vol. 1, 13.4; spec user-mode 3.11)."""


@dataclass(frozen=True, slots=True)
class X86CpuInformation:
    """CPU_INFORMATION.X86CpuInfo (minidumpapiset.h; spec user-mode 3.4): what CPUID says of an x86 processor."""

    vendor_id: str
    """12 ASCII characters."""
    version_information: int
    """CPUID 1, EAX."""
    feature_information: int
    """CPUID 1, EDX."""
    amd_extended_cpu_features: int
    """CPUID 80000001h, EDX."""


@dataclass(frozen=True, slots=True)
class Context:
    """A processor context: CONTEXT by its field names, without its flags.

    ``registers`` holds every integer, control, segment and debug register under the CONTEXT field name, in the order
    of ``REGISTERS``. ``context_flags`` is what the record says it holds.
    """

    registers: tuple[tuple[str, int], ...]
    fxsave: bytes
    """The 512-byte FXSAVE image: FltSave of amd64, ExtendedRegisters of x86. Empty on arm64."""
    context_flags: int
    xstate: tuple[tuple[int, bytes], ...] | None = None
    """(component number, the whole component) of XSAVE components from 2 on that are not in their initial state, by
    number. None: not known."""
    float_save: bytes = b""
    """x86 only: FLOATING_SAVE_AREA, 112 bytes."""
    v: bytes = b""
    """arm64 only: V0 to V31, 512 bytes."""

    def __getitem__(self, name: str) -> int:
        """The register's value. Raises KeyError for a name that this architecture does not have."""
        return dict(self.registers)[name]

    def as_mapping(self) -> Mapping[str, int]:
        return dict(self.registers)

    @property
    def instruction_pointer(self) -> int:
        """Rip, Eip or Pc. Raises KeyError when the context has none of them."""
        return self._first_of(*_POINTERS)

    @property
    def stack_pointer(self) -> int:
        """Rsp, Esp or Sp. Raises KeyError when the context has none of them."""
        return self._first_of(*_POINTERS.values())

    def _first_of(self, *names: str) -> int:
        for name, value in self.registers:
            if name in names:
                return value
        raise KeyError(" or ".join(names))
