"""Where PEB, TEB and process parameters keep the pointers that PROCESS_THREAD_DATA follows, and how much is taken.

Offsets: spec user-mode 2.5, the amd64 column confirmed on 31 TEBs and 4 PEBs; arm64 has the same structures. Sizes of
64-bit builds: spec 2.5, measured. Sizes of 32-bit builds: Microsoft's public symbols (PEB and TEB as ntdiff and
Vergilius print them; the parameters' follow from the 64-bit fields at 32-bit widths); no dump confirms them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BuildSizes:
    """sizeof in the builds up to ``last_build``."""

    last_build: int
    peb: int
    parameters: int


@dataclass(frozen=True, slots=True)
class ProcessLayout:
    """For one pointer size. Offsets are of pointers, but those of ``strings``, which are of UNICODE_STRINGs."""

    teb_size: int
    """What is taken of each TEB, from its address on: whole pages."""
    thread_local_storage: int
    tls_expansion_slots: int
    fls_data: int
    process_parameters: int
    """In the PEB; the offsets before are in the TEB, those behind in the process parameters."""
    strings: Mapping[str, int]
    environment: int
    list_entry: int
    """Bytes of a LIST_ENTRY, with which FLS data begin."""
    sizes: tuple[BuildSizes, ...]

    def sizes_of(self, build: int) -> BuildSizes:
        """Of a build that was not measured those of the next one that was: never too little of the structures."""
        return next(row for row in self.sizes if build <= row.last_build or row is self.sizes[-1])


TLS_EXPANSION_SLOTS = 1024  # winternl.h TLS_EXPANSION_SLOTS
ENVIRONMENT_SIZE = 0x2000
"""What is taken of the environment, be it longer or shorter (spec 2.5)."""
_FLS_SLOTS = 128  # ntpsapi FLS_MAXIMUM_AVAILABLE
_FLS_SLOTS_19041 = 4080
"""Spec 2.5: 0x410 bytes in build 14393, 0x7F90 in 19042; version 2004 raised the number of FLS indexes."""


def fls_slots(build: int) -> int:
    return _FLS_SLOTS_19041 if build >= 19041 else _FLS_SLOTS


LAYOUTS = {
    4: ProcessLayout(
        teb_size=0x1000,
        thread_local_storage=0x2C,
        tls_expansion_slots=0xF94,
        fls_data=0xFB4,
        process_parameters=0x10,
        strings={
            "CurrentDirectory": 0x24, "DllPath": 0x30, "ImagePathName": 0x38, "CommandLine": 0x40,
            "WindowTitle": 0x70, "DesktopInfo": 0x78, "ShellInfo": 0x80, "RuntimeData": 0x88,
        },
        environment=0x48,
        list_entry=8,
        sizes=(BuildSizes(14393, 0x460, 0x2A4), BuildSizes(16299, 0x468, 0x2A4), BuildSizes(19042, 0x480, 0x2C0)),
    ),
    8: ProcessLayout(
        teb_size=0x2000,
        thread_local_storage=0x58,
        tls_expansion_slots=0x1780,
        fls_data=0x17C8,
        process_parameters=0x20,
        strings={
            "CurrentDirectory": 0x38, "DllPath": 0x50, "ImagePathName": 0x60, "CommandLine": 0x70,
            "WindowTitle": 0xB0, "DesktopInfo": 0xC0, "ShellInfo": 0xD0, "RuntimeData": 0xE0,
        },
        environment=0x80,
        list_entry=16,
        sizes=(BuildSizes(14393, 0x7A0, 0x410), BuildSizes(16299, 0x7B0, 0x410), BuildSizes(19042, 0x7C8, 0x440)),
    ),
}  # fmt: skip
"""By pointer size."""
