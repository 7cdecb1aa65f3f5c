"""What the headers of a mapped image say, as they are in the target's memory (winnt.h; PE format reference)."""

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
"""Of the optional header in IMAGE_NT_HEADERS."""
_NT_HEADERS = {0x10B: (0xF8, 0x78), 0x20B: (0x108, 0x88)}
"""Of PE32 and PE32+, by the optional header's magic: size of IMAGE_NT_HEADERS, offset of DataDirectory in it."""


@dataclass(frozen=True, slots=True)
class NtHeaders:
    """IMAGE_NT_HEADERS of a mapped image."""

    address: int
    end: int
    directories: int
    """Address of the first IMAGE_DATA_DIRECTORY; NumberOfRvaAndSizes is the dword in front of it."""


def nt_headers(reading: Reading, module: Module) -> NtHeaders | None:
    """Where they are; None when the image has none that can be read and recognised."""
    if reading.number(module.base, 2) != _DOS_MAGIC:
        return None
    address = module.base + (reading.number(module.base + _E_LFANEW, 4) or 0)
    if reading.number(address, 4) != _PE_SIGNATURE or address >= module.base + module.size:
        return None
    form = _NT_HEADERS.get(reading.number(address + _OPTIONAL_HEADER, 2) or 0)
    return NtHeaders(address, address + form[0], address + form[1]) if form else None


def has_directory(reading: Reading, module: Module, index: int) -> bool:
    """Whether the image's optional header has a data directory of that index with something in it."""
    headers = nt_headers(reading, module)
    if headers is None or index >= (reading.number(headers.directories - 4, 4) or 0):
        return False
    return bool(reading.number(headers.directories + 8 * index, 4))
