"""Reads the headers and the CodeView record of an image from the memory that a minidump captured of it."""

from __future__ import annotations

from typing import Final, NamedTuple

from ..decode import Record, decode, structure
from ..memory.source import ByteSource
from .recorded import CapturedMemory

_LFANEW: Final = 0x3C
"""winnt.h IMAGE_DOS_HEADER.e_lfanew."""
_PE: Final = b"PE\0\0"
# winnt.h IMAGE_OPTIONAL_HEADER.Magic -> the offset of DataDirectory[IMAGE_DIRECTORY_ENTRY_DEBUG] in the header.
_DEBUG: Final = {0x10B: 96 + 6 * 8, 0x20B: 112 + 6 * 8}
_CODE_VIEW: Final = 2
"""winnt.h IMAGE_DEBUG_TYPE_CODEVIEW."""
_MAX_ENTRIES: Final = 32
_MAX_CODE_VIEW: Final = 32768


class CapturedImage(NamedTuple):
    """What a captured image says of itself."""

    file: Record
    """IMAGE_FILE_HEADER."""
    optional: Record
    """IMAGE_OPTIONAL_HEADER64. The 32-bit form has its fields of 32 bits at the same offsets."""
    code_views: tuple[bytes, ...]
    """The CodeView records of the debug directory whose bytes the dump holds."""


def captured_image(dump: CapturedMemory, base: int) -> CapturedImage | None:
    """The image at ``base``; None unless the dump holds its headers. Never raises on content."""
    start = dump.read_memory(base, _LFANEW + 4)
    if start is None or start[:2] != b"MZ":
        return None
    at = base + int.from_bytes(start[_LFANEW:], "little")
    sizes = [structure(name).size for name in ("IMAGE_FILE_HEADER", "IMAGE_OPTIONAL_HEADER64")]
    data = dump.read_memory(at, len(_PE) + sum(sizes))
    if data is None or data[:4] != _PE:
        return None
    source = ByteSource(data)
    file = decode(source, len(_PE), "IMAGE_FILE_HEADER", "image")
    optional = decode(source, file.span.end, "IMAGE_OPTIONAL_HEADER64", "image")
    directory = _DEBUG.get(optional["Magic"])
    if directory is None:
        return None
    place, size = (_u32(data, file.span.end + directory + 4 * half) for half in (0, 1))
    return CapturedImage(file, optional, tuple(_code_views(dump, base, place, size)))


def _u32(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 4], "little")


def _code_views(dump: CapturedMemory, base: int, place: int, size: int) -> list[bytes]:
    """The CodeView records of the debug directory at RVA ``place``."""
    step, found = structure("IMAGE_DEBUG_DIRECTORY").size, []
    for index in range(min(size // step, _MAX_ENTRIES)):
        raw = dump.read_memory(base + place + index * step, step)
        if raw is None:
            continue
        entry = decode(ByteSource(raw), 0, "IMAGE_DEBUG_DIRECTORY", "debug directory")
        if entry["Type"] == _CODE_VIEW and entry["AddressOfRawData"] and 0 < entry["SizeOfData"] <= _MAX_CODE_VIEW:
            data = dump.read_memory(base + entry["AddressOfRawData"], entry["SizeOfData"])
            found += [] if data is None else [data]
    return found
