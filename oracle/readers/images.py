"""Reads what identifies an image or a PDB: time stamp and size of an image, GUID of a PDB."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ..decode import decode
from ..memory.source import ByteSource

_PE: Final = b"PE\0\0"
"""winnt.h IMAGE_NT_SIGNATURE."""
_MSF: Final = b"Microsoft C/C++ MSF 7.00\r\n\x1aDS\0\0\0"
_BLOCK_SIZES: Final = (512, 1024, 2048, 4096, 8192, 16384, 32768)
_MAX_STREAMS: Final = 65_536
_MAX_DIRECTORY: Final = 4 << 20
"""How many bytes of the stream directory are read. Stream 1 is near its start."""
_INFO_STREAM: Final = 1
_NO_STREAM: Final = 0xFFFF_FFFF


@dataclass(frozen=True, slots=True)
class ImageIdentity:
    """The key of an image on a symbol server."""

    time_date_stamp: int
    size_of_image: int


def image_identity(source: ByteSource) -> ImageIdentity | None:
    """The identity of a PE image; None for other files. Never raises on content."""
    if source.read(0, 2) != b"MZ":
        return None
    at = int.from_bytes(source.read(0x3C, 4), "little")  # winnt.h IMAGE_DOS_HEADER.e_lfanew
    if source.read(at, 4) != _PE:
        return None
    file = decode(source, at + 4, "IMAGE_FILE_HEADER", "image")
    optional = decode(source, file.span.end, "IMAGE_OPTIONAL_HEADER64", "image")
    if optional.span_of("SizeOfImage").end > source.size:
        return None
    return ImageIdentity(file["TimeDateStamp"], optional["SizeOfImage"])


def pdb_guid(source: ByteSource) -> bytes | None:
    """The GUID of a PDB, 16 bytes as in an RSDS record; None for other files. Never raises on content.

    The superblock lists the blocks of the stream directory. The directory lists the size and the blocks of each stream.
    Stream 1 begins with the header that holds the GUID. Source: https://llvm.org/docs/PDB/MsfFile.html
    """
    head = decode(source, 0, "MSF_SUPERBLOCK", "PDB")
    size = head["BlockSize"]
    if head.raw("FileMagic") != _MSF or size not in _BLOCK_SIZES:
        return None
    blocks = -(-min(head["NumDirectoryBytes"], source.size, _MAX_DIRECTORY) // size)
    numbers = source.read(head["BlockMapAddr"] * size, 4 * blocks)
    directory = b"".join(source.read(_u32(numbers, 4 * index) * size, size) for index in range(len(numbers) // 4))
    count = _u32(directory, 0)
    if not _INFO_STREAM < count <= _MAX_STREAMS:
        return None
    first = _u32(directory, 4)
    before = 0 if first == _NO_STREAM else -(-first // size)
    block = _u32(directory, 4 + 4 * count + 4 * before)
    record = decode(source, block * size, "PDB_INFO_STREAM", "PDB information")
    return record.raw("Guid") if block and record.complete else None


def _u32(data: bytes, at: int) -> int:
    """A 32-bit integer; 0 past the end of the data."""
    return int.from_bytes(data[at : at + 4], "little")
