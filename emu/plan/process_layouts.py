"""Offsets of the pointers in PEB, TEB and process parameters that PROCESS_THREAD_DATA follows, and sizes.

- Offsets: docs/format/minidump-process-data.md#offsets-in-teb-and-peb and
  docs/format/minidump-process-data.md#offsets-in-the-process-parameters. arm64 has the structures of amd64.
- Sizes of 64-bit builds: docs/format/minidump-process-data.md#sizes-of-process-and-thread-data.
- Sizes of 32-bit builds: PEB and TEB from Microsoft's public symbols (ntdiff, Vergilius); process parameters are
  computed from the 64-bit fields with 32-bit pointers. No dump confirms them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BuildSizes:
    """Sizes of PEB and process parameters in builds up to ``last_build``."""

    last_build: int
    peb: int
    parameters: int


@dataclass(frozen=True, slots=True)
class ProcessLayout:
    """Offsets and sizes for one pointer size. Offsets in ``strings`` are of UNICODE_STRINGs, all others of pointers.

    ``thread_local_storage`` to ``fls_data`` are offsets in the TEB, ``process_parameters`` in the PEB, ``strings`` and
    ``environment`` in the process parameters.
    """

    teb_size: int
    """Captured bytes of each TEB, from its address on: whole pages."""
    thread_local_storage: int
    tls_expansion_slots: int
    fls_data: int
    process_parameters: int
    strings: Mapping[str, int]
    environment: int
    list_entry: int
    """Bytes of the LIST_ENTRY at the start of FLS data."""
    sizes: tuple[BuildSizes, ...]

    def sizes_of(self, build: int) -> BuildSizes:
        """Return the sizes of ``build``. For an unmeasured build they are those of the next measured build, so they are
        never too small.
        """
        return next(row for row in self.sizes if build <= row.last_build or row is self.sizes[-1])


TLS_EXPANSION_SLOTS = 1024  # winternl.h TLS_EXPANSION_SLOTS
ENVIRONMENT_SIZE = 0x2000
"""Captured bytes of the environment, whatever its length."""
_FLS_SLOTS = 128  # ntpsapi FLS_MAXIMUM_AVAILABLE
_FLS_SLOTS_19041 = 4080
"""0x410 bytes of FLS data in build 14393, 0x7F90 in 19042: build 19041 has more FLS indexes."""


def fls_slots(build: int) -> int:
    """Return the number of FLS slots of a thread."""
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
