"""Offsets of the pointers in PEB, TEB and process parameters that PROCESS_THREAD_DATA follows, and sizes that both
versions of the engine have.

docs/format/minidump-process-data.md#offsets-in-teb-and-peb and
docs/format/minidump-process-data.md#offsets-in-the-process-parameters. arm64 has the structures of amd64.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ProcessLayout:
    """Offsets and sizes for one pointer size. Offsets in ``strings`` are of UNICODE_STRINGs, all others of pointers.

    ``thread_local_storage`` to ``chpe_v2_cpu_area_info`` are offsets in the TEB, ``process_parameters`` in the PEB,
    ``strings`` and ``environment`` in the process parameters.
    """

    teb_size: int
    """Captured bytes of each TEB, from its address on: whole pages."""
    thread_local_storage: int
    tls_expansion_slots: int
    fls_data: int
    chpe_v2_cpu_area_info: int | None
    process_parameters: int
    strings: Mapping[str, int]
    environment: int


TLS_EXPANSION_SLOTS = 1024  # winternl.h TLS_EXPANSION_SLOTS
MAXIMUM_TLS_SLOTS = 64 + TLS_EXPANSION_SLOTS  # winnt.h TLS_MINIMUM_AVAILABLE
ENVIRONMENT_SIZE = 0x2000
"""Captured bytes of the environment, whatever its length."""
PEB_OF_A_DUMP = 0x1000
"""Captured bytes of the PEB of a dump target (docs/format/minidump-memory-ranges.md#dump-targets-process-data)."""

LAYOUTS = {
    4: ProcessLayout(
        teb_size=0x1000,
        thread_local_storage=0x2C,
        tls_expansion_slots=0xF94,
        fls_data=0xFB4,
        chpe_v2_cpu_area_info=None,
        process_parameters=0x10,
        strings={
            "CurrentDirectory": 0x24, "DllPath": 0x30, "ImagePathName": 0x38, "CommandLine": 0x40,
            "WindowTitle": 0x70, "DesktopInfo": 0x78, "ShellInfo": 0x80, "RuntimeData": 0x88,
        },
        environment=0x48,
    ),
    8: ProcessLayout(
        teb_size=0x2000,
        thread_local_storage=0x58,
        tls_expansion_slots=0x1780,
        fls_data=0x17C8,
        chpe_v2_cpu_area_info=0x1788,
        process_parameters=0x20,
        strings={
            "CurrentDirectory": 0x38, "DllPath": 0x50, "ImagePathName": 0x60, "CommandLine": 0x70,
            "WindowTitle": 0xB0, "DesktopInfo": 0xC0, "ShellInfo": 0xD0, "RuntimeData": 0xE0,
        },
        environment=0x80,
    ),
}  # fmt: skip
"""By pointer size."""
