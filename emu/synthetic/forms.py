"""Sizes, field offsets and addresses of synthetic processes, by architecture.

Offsets: docs/format/minidump-process-data.md#offsets-in-teb-and-peb and
docs/format/minidump-process-data.md#offsets-in-the-process-parameters. arm64 has the structures of amd64.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from .pages import MAXIMUM_USER_ADDRESS


@dataclass(frozen=True, slots=True)
class Form:
    """Sizes, offsets and addresses of one architecture."""

    architecture: str
    pointer: str
    """The struct code of a pointer."""
    machine: int
    """IMAGE_FILE_MACHINE_* (winnt.h)."""
    maximum_user_address: int
    peb: int
    teb_size: int
    first_stack: int
    heap: int
    first_image: int
    first_dll: int
    extra: int
    """A free address, for additional pages of a test."""
    teb_fields: Mapping[str, int]
    peb_fields: Mapping[str, int]
    parameter_fields: Mapping[str, int]

    @property
    def pointer_size(self) -> int:
        """Bytes of a pointer."""
        return 4 if self.pointer == "I" else 8

    @property
    def parameters(self) -> int:
        """Address of the process parameters, in the heap."""
        return self.heap + 0x2000


AMD64 = Form(
    architecture="amd64",
    pointer="Q",
    machine=0x8664,
    maximum_user_address=MAXIMUM_USER_ADDRESS,
    peb=0x11_0000_0000,
    teb_size=0x2000,
    first_stack=0x12_0000_0000,
    heap=0x202_0000_0000,
    first_image=0x7FF6_0000_0000,
    first_dll=0x7FFB_0000_0000,
    extra=0x300_0000_0000,
    teb_fields={
        "ExceptionList": 0x00, "StackBase": 0x08, "StackLimit": 0x10, "Self": 0x30,
        "ClientId": 0x40, "ProcessEnvironmentBlock": 0x60,
    },
    peb_fields={"ImageBaseAddress": 0x10, "ProcessParameters": 0x20, "ProcessHeap": 0x30},
    parameter_fields={
        "CurrentDirectory": 0x38, "ImagePathName": 0x60, "CommandLine": 0x70, "Environment": 0x80,
        "EnvironmentSize": 0x3F0,
    },
)  # fmt: skip
X86 = Form(
    architecture="x86",
    pointer="I",
    machine=0x14C,
    maximum_user_address=0x7FFE_FFFF,
    peb=0x0080_0000,
    teb_size=0x1000,
    first_stack=0x1000_0000,  # room for 1,024 stacks
    heap=0x0060_0000,
    first_image=0x0040_0000,
    first_dll=0x6000_0000,  # room for 256 DLLs
    extra=0x7100_0000,
    teb_fields={
        "ExceptionList": 0x00, "StackBase": 0x04, "StackLimit": 0x08, "Self": 0x18,
        "ClientId": 0x20, "ProcessEnvironmentBlock": 0x30,
    },
    peb_fields={"ImageBaseAddress": 0x08, "ProcessParameters": 0x10, "ProcessHeap": 0x18},
    parameter_fields={
        "CurrentDirectory": 0x24, "ImagePathName": 0x38, "CommandLine": 0x40, "Environment": 0x48,
        "EnvironmentSize": 0x290,
    },
)  # fmt: skip
ARM64 = replace(AMD64, architecture="arm64", machine=0xAA64)
FORMS = {form.architecture: form for form in (AMD64, X86, ARM64)}
