"""The state of a processor in a snapshot: contexts of the three architectures, and the layout of the XSAVE area."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .pending import Pending

# Registers of a context by their field names in winnt.h, in the order of a snapshot (docs/truth-format.md).
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
"""From the instruction pointer to the stack pointer, for each architecture."""


@dataclass(frozen=True, slots=True)
class XstateFeature:
    """Place of a component in the standard-format XSAVE area (CPUID 0Dh); {0, 0} if it is not enabled."""

    offset: int
    size: int


@dataclass(frozen=True, slots=True)
class XstateConfiguration:
    """The part of XSTATE_CONFIGURATION (winnt.h) that a dump stores.

    docs/format/minidump-contexts.md#extended-state-description
    """

    enabled_features: int
    """Bit n stands for component n: 0 x87, 1 SSE, 2 AVX, 5 to 7 AVX-512, 9 PKRU."""
    features: tuple[XstateFeature, ...]
    """By component number, up to the highest enabled one."""


AVX_STATE = XstateConfiguration(
    enabled_features=0x7, features=(XstateFeature(0, 160), XstateFeature(160, 256), XstateFeature(576, 256))
)
"""x87, SSE and AVX, as every processor with AVX has them (Intel SDM vol. 1, 13.4).

docs/format/minidump-contexts.md#extended-state-components
"""


@dataclass(frozen=True, slots=True)
class X86CpuInformation:
    """CPU_INFORMATION.X86CpuInfo (minidumpapiset.h): results of CPUID on an x86 processor.

    docs/format/minidump-system.md#processor-features
    """

    vendor_id: str
    """12 ASCII characters."""
    version_information: int
    """CPUID 1, EAX."""
    feature_information: int
    """CPUID 1, EDX."""
    amd_extended_cpu_features: int
    """CPUID 80000001h, EDX."""


@dataclass(frozen=True, slots=True)
class Context(Pending):
    """A processor context, by the field names of CONTEXT.

    ``registers`` holds every integer, control, segment and debug register by field name, in the order of
    ``REGISTERS``. ``context_flags`` is ContextFlags: the parts that the record holds.
    """

    registers: tuple[tuple[str, int], ...]
    fxsave: bytes
    """The 512-byte FXSAVE image: FltSave of amd64, ExtendedRegisters of x86. Empty on arm64."""
    context_flags: int
    xstate: tuple[tuple[int, bytes], ...] | None = None
    """(component number, the whole component) of each XSAVE component from 2 on that is not in its initial state.

    Sorted by number. None: not known.
    """
    float_save: bytes = b""
    """x86 only: FLOATING_SAVE_AREA, 112 bytes."""
    v: bytes = b""
    """arm64 only: V0 to V31, 512 bytes."""

    def __getitem__(self, name: str) -> int:
        """Return the value of a register. Raises KeyError for a register that the architecture does not have."""
        return dict(self.registers)[name]

    def as_mapping(self) -> Mapping[str, int]:
        """Return the registers by name."""
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
