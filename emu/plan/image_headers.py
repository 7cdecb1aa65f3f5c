"""Reads the headers of a mapped image from the target's memory (winnt.h)."""

from __future__ import annotations

from dataclasses import dataclass

from ..snapshot.process import Module
from .reading import Reading

DOS_HEADER_SIZE = 0x40
IMAGE_DIRECTORY_ENTRY_TLS = 9
_DOS_MAGIC = 0x5A4D  # "MZ"
_PE_SIGNATURE = 0x4550  # "PE\0\0"
_E_LFANEW = 0x3C
_OPTIONAL_HEADER = 0x18
"""Offset of the optional header in IMAGE_NT_HEADERS."""
_NT_HEADERS = {0x10B: (0xF8, 0x78), 0x20B: (0x108, 0x88)}
"""Size of IMAGE_NT_HEADERS and offset of DataDirectory in it, by the magic of PE32 and PE32+."""


@dataclass(frozen=True, slots=True)
class NtHeaders:
    """Place of IMAGE_NT_HEADERS of a mapped image: [address, end)."""

    address: int
    end: int
    directories: int
    """Address of the first IMAGE_DATA_DIRECTORY. The dword before it is NumberOfRvaAndSizes."""


def nt_headers(reading: Reading, module: Module) -> NtHeaders | None:
    """Return the place of IMAGE_NT_HEADERS; None if they cannot be read or are malformed."""
    if reading.number(module.base, 2) != _DOS_MAGIC:
        return None
    address = module.base + (reading.number(module.base + _E_LFANEW, 4) or 0)
    if reading.number(address, 4) != _PE_SIGNATURE or address >= module.base + module.size:
        return None
    form = _NT_HEADERS.get(reading.number(address + _OPTIONAL_HEADER, 2) or 0)
    return NtHeaders(address, address + form[0], address + form[1]) if form else None


def has_directory(reading: Reading, module: Module, index: int) -> bool:
    """Whether the image has the data directory ``index``, and it is not empty."""
    headers = nt_headers(reading, module)
    if headers is None or index >= (reading.number(headers.directories - 4, 4) or 0):
        return False
    return bool(reading.number(headers.directories + 8 * index, 4))
