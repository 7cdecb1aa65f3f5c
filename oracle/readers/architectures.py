"""The architectures of dumps: the CONTEXT of each, and its instruction and stack pointer."""

from __future__ import annotations

from typing import Final, NamedTuple

from ..decode import enumeration, structure


class Architecture(NamedTuple):
    """The CONTEXT of one architecture (winnt.h; docs/format/minidump-contexts.md#size-by-architecture)."""

    name: str
    structure: str
    """The table of its CONTEXT."""
    machine_bit: int
    """The CONTEXT_<machine> bit of ContextFlags."""
    pointer_size: int
    """In bytes."""
    ip: str
    """The register that holds the instruction pointer."""
    sp: str
    """The register that holds the stack pointer."""


ARCHITECTURES: Final = {
    "x86": Architecture("x86", "CONTEXT_X86", 0x0001_0000, 4, "Eip", "Esp"),
    "amd64": Architecture("amd64", "CONTEXT_AMD64", 0x0010_0000, 8, "Rip", "Rsp"),
    "arm": Architecture("arm", "CONTEXT_ARM", 0x0020_0000, 4, "Pc", "Sp"),
    "arm64": Architecture("arm64", "CONTEXT_ARM64", 0x0040_0000, 8, "Pc", "Sp"),
}
"""By name."""

_BREAKPAD_ARM: Final = Architecture("arm", "CONTEXT_ARM_BREAKPAD", 0x4000_0000, 4, "Pc", "Sp")
"""The record that Breakpad, Crashpad and minidump-writer store for 32-bit ARM. Its size differs from that of Windows'
CONTEXT (docs/format/minidump-contexts.md#records-of-other-writers)."""

_OLD_ARM64: Final = Architecture("arm64", "CONTEXT_ARM64_BREAKPAD", 0x8000_0000, 8, "Pc", "Sp")
"""Breakpad's older record for arm64, which LLDB stores (docs/format/minidump-contexts.md#records-of-other-writers)."""
_OLD_ARM64_SIZES: Final = (796, 800)
"""Breakpad packs the record, LLDB rounds its size up to 8 bytes."""

BY_STRUCTURE: Final = {item.structure: item for item in (*ARCHITECTURES.values(), _BREAKPAD_ARM, _OLD_ARM64)}
"""By the table of the CONTEXT."""

_BY_NUMBER: Final = {
    "PROCESSOR_ARCHITECTURE_INTEL": "x86",
    "PROCESSOR_ARCHITECTURE_AMD64": "amd64",
    "PROCESSOR_ARCHITECTURE_ARM": "arm",
    "PROCESSOR_ARCHITECTURE_ARM64": "arm64",
}


def architecture_of(processor_architecture: int) -> str | None:
    """The key of ``ARCHITECTURES`` for a ProcessorArchitecture of SystemInfo; None if it has none."""
    return _BY_NUMBER.get(enumeration("PROCESSOR_ARCHITECTURE").name_of(processor_architecture))


def layout_of(architecture: str, size: int) -> Architecture:
    """The layout of a context of ``size`` bytes. ``architecture`` is a key of ``ARCHITECTURES``."""
    if architecture == "arm" and size == structure(_BREAKPAD_ARM.structure).size:
        return _BREAKPAD_ARM
    if architecture == "arm64" and size in _OLD_ARM64_SIZES:
        return _OLD_ARM64
    return ARCHITECTURES[architecture]
