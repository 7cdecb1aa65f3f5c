"""Reads the headers of a mapped image from the target's memory (winnt.h)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ..snapshot.process import Module
from .ranges import Range
from .reading import Reading

IMAGE_DIRECTORY_ENTRY_SECURITY = 4
IMAGE_DIRECTORY_ENTRY_DEBUG = 6
IMAGE_DIRECTORY_ENTRY_TLS = 9
_DIRECTORIES = 16  # IMAGE_NUMBEROF_DIRECTORY_ENTRIES
_DOS_MAGIC = 0x5A4D  # "MZ"
_PE_SIGNATURE = 0x4550  # "PE\0\0"
_E_LFANEW = 0x3C
_OPTIONAL_HEADER = 0x18
"""Offset of the optional header in IMAGE_NT_HEADERS."""
_DATA_DIRECTORY = {0x10B: 0x78, 0x20B: 0x88}
"""Offset of DataDirectory in IMAGE_NT_HEADERS, by the magic of PE32 and PE32+."""
_DEBUG_ENTRY = 28
_SIZE_OF_DATA, _ADDRESS_OF_RAW_DATA = 16, 20
"""Size of IMAGE_DEBUG_DIRECTORY, and the offsets of two fields."""


@dataclass(frozen=True, slots=True)
class NtHeaders:
    """Place of IMAGE_NT_HEADERS of a mapped image."""

    address: int
    directories: int
    """Address of the first IMAGE_DATA_DIRECTORY. The dword before it is NumberOfRvaAndSizes."""


def nt_headers(reading: Reading, module: Module) -> NtHeaders | None:
    """Return the place of IMAGE_NT_HEADERS; None if they cannot be read or are malformed."""
    if reading.number(module.base, 2) != _DOS_MAGIC:
        return None
    address = module.base + (reading.number(module.base + _E_LFANEW, 4) or 0)
    if reading.number(address, 4) != _PE_SIGNATURE or address >= module.base + module.size:
        return None
    first = _DATA_DIRECTORY.get(reading.number(address + _OPTIONAL_HEADER, 2) or 0)
    return NtHeaders(address, address + first) if first else None


def directory(reading: Reading, module: Module, headers: NtHeaders, index: int) -> Range | None:
    """Return the place of the data directory ``index``; None if the image lacks it or it is empty."""
    if index >= (reading.number(headers.directories - 4, 4) or 0):
        return None
    start = reading.number(headers.directories + 8 * index, 4)
    size = reading.number(headers.directories + 8 * index + 4, 4)
    return (module.base + start, module.base + start + size) if start and size else None


def directories(reading: Reading, module: Module, headers: NtHeaders) -> Iterator[Range]:
    """Yield the places of all data directories but the security directory, which is no part of the mapped image."""
    for index in range(_DIRECTORIES):
        found = directory(reading, module, headers, index)
        if found and index != IMAGE_DIRECTORY_ENTRY_SECURITY:
            yield found


def debug_data(reading: Reading, module: Module, headers: NtHeaders) -> Iterator[Range]:
    """Yield the places of the data of all debug entries that are mapped."""
    start, end = directory(reading, module, headers, IMAGE_DIRECTORY_ENTRY_DEBUG) or (0, 0)
    for entry in range(start, end - _DEBUG_ENTRY + 1, _DEBUG_ENTRY):
        size = reading.number(entry + _SIZE_OF_DATA, 4)
        address = reading.number(entry + _ADDRESS_OF_RAW_DATA, 4)
        if size and address:
            yield module.base + address, module.base + address + size


def tls_index(reading: Reading, module: Module, pointer_size: int) -> int | None:
    """Return the module's TLS index, which the loader stores at IMAGE_TLS_DIRECTORY.AddressOfIndex.

    None if the image has no TLS directory, or the index cannot be read.
    """
    headers = nt_headers(reading, module)
    found = headers and directory(reading, module, headers, IMAGE_DIRECTORY_ENTRY_TLS)
    if not found:
        return None
    address = reading.number(found[0] + 2 * pointer_size, pointer_size)
    return reading.number(address, 4) if address else None
