"""The architectures a dump may be of: which CONTEXT each has, where its instruction and stack pointers are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ..decode import enumeration, structure


@dataclass(frozen=True, slots=True)
class Architecture:
    """What a CONTEXT of one machine looks like. Source: winnt.h; spec user-mode 3.11."""

    name: str
    structure: str
    machine_bit: int
    """The CONTEXT_<machine> bit of ContextFlags."""
    pointer_size: int
    """In bytes."""
    ip: str
    sp: str


ARCHITECTURES: Final = {
    "x86": Architecture("x86", "CONTEXT_X86", 0x0001_0000, 4, "Eip", "Esp"),
    "amd64": Architecture("amd64", "CONTEXT_AMD64", 0x0010_0000, 8, "Rip", "Rsp"),
    "arm": Architecture("arm", "CONTEXT_ARM", 0x0020_0000, 4, "Pc", "Sp"),
    "arm64": Architecture("arm64", "CONTEXT_ARM64", 0x0040_0000, 8, "Pc", "Sp"),
}
"""By name. A context of the architecture is at least ``structure(...).size`` bytes."""

_BREAKPAD_ARM: Final = Architecture("arm", "CONTEXT_ARM_BREAKPAD", 0x4000_0000, 4, "Pc", "Sp")
"""What Breakpad, Crashpad and minidump-writer store of a 32-bit ARM. It is told from Windows' own by its size.
Source: google/breakpad src/google_breakpad/common/minidump_cpu_arm.h; spec user-mode 5."""

_BY_NUMBER: Final = {
    "PROCESSOR_ARCHITECTURE_INTEL": "x86",
    "PROCESSOR_ARCHITECTURE_AMD64": "amd64",
    "PROCESSOR_ARCHITECTURE_ARM": "arm",
    "PROCESSOR_ARCHITECTURE_ARM64": "arm64",
}


def architecture_of(processor_architecture: int) -> str | None:
    """The key of ``ARCHITECTURES`` for SystemInfo's ProcessorArchitecture, or None."""
    return _BY_NUMBER.get(enumeration("PROCESSOR_ARCHITECTURE").name_of(processor_architecture))


def layout_of(architecture: str, size: int) -> Architecture:
    """What a context of ``size`` bytes in a dump of that architecture looks like."""
    if architecture == "arm" and size == structure(_BREAKPAD_ARM.structure).size:
        return _BREAKPAD_ARM
    return ARCHITECTURES[architecture]
