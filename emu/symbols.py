"""Reads the names of functions from a PDB.

Format: "The PDB File Format" of the LLVM project (llvm.org/docs/PDB), and cvinfo.h of the public microsoft-pdb
repository for symbol records.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path, PureWindowsPath

_MAGIC = b"Microsoft C/C++ MSF 7.00\r\n\x1aDS\0\0\0"
_PDB_STREAM, _DBI_STREAM = 1, 3
_NO_STREAM = 0xFFFF
_SECTION_HEADERS = 5  # DbgHeaderType.SectionHdr: the index of that stream in the optional debug header
_S_PUB32, _S_LPROC32, _S_GPROC32, _S_LPROC32_ID, _S_GPROC32_ID = 0x110E, 0x110F, 0x1110, 0x1146, 0x1147
_PUBLIC_FUNCTION = 2  # CV_PUBSYMFLAGS.fFunction
_LARGEST = 1 << 30
_RSDS = b"RSDS"


@dataclass(frozen=True, slots=True)
class Function:
    """A function by a PDB."""

    rva: int
    size: int
    """0: the PDB does not tell it."""
    name: str


@dataclass(frozen=True)
class Pdb:
    """What a PDB says: its identity, as in the image's CodeView record, and the functions by RVA."""

    guid: bytes
    age: int
    functions: tuple[Function, ...]

    @cached_property
    def _starts(self) -> list[int]:
        return [function.rva for function in self.functions]

    def at(self, rva: int) -> Function | None:
        """The last function that starts at or before ``rva``; None if there is none."""
        index = bisect_right(self._starts, rva) - 1
        return None if index < 0 else self.functions[index]


class PdbFiles:
    """Finds the PDB of an image in folders of the host: the one that the image's CodeView record names."""

    def __init__(self, folders: Iterable[Path]) -> None:
        self._folders = tuple(dict.fromkeys(folders))

    def of(self, code_view: bytes | None) -> Pdb | None:
        """The PDB of that record; None if no folder has it, or it cannot be read."""
        if code_view is None or code_view[:4] != _RSDS or len(code_view) < 25:
            return None
        identity = code_view[4:20], int.from_bytes(code_view[20:24], "little")
        name = PureWindowsPath(code_view[24:].split(b"\0")[0].decode("utf-8", "replace")).name
        for folder in self._folders:
            path = folder / name
            if name and path.is_file() and path.stat().st_size <= _LARGEST:
                found = _read(path, path.stat().st_mtime_ns)
                if found is not None and (found.guid, found.age) == identity:
                    return found
        return None


@lru_cache(maxsize=64)
def _read(path: Path, _changed: int) -> Pdb | None:
    try:
        return read_pdb(path.read_bytes())
    except (ValueError, struct.error, IndexError, OSError):
        return None


def read_pdb(data: bytes) -> Pdb:
    """What a PDB says. The age is that of the DBI stream, as in the CodeView record.

    Raises ValueError, struct.error or IndexError for a file that is not a PDB.
    """
    streams = _streams(data)
    guid = streams[_PDB_STREAM][12:28]
    dbi = streams[_DBI_STREAM]
    (age,) = struct.unpack_from("<I", dbi, 8)
    (symbol_records,) = struct.unpack_from("<H", dbi, 20)
    modules, contributions, section_map, sources, servers, _, optional, edit = struct.unpack_from("<7iI", dbi, 24)
    debug_header = 64 + modules + contributions + section_map + sources + servers + edit
    if optional < 2 * (_SECTION_HEADERS + 1):
        raise ValueError("PDB: no stream of section headers")
    headers = streams[struct.unpack_from("<H", dbi, debug_header + 2 * _SECTION_HEADERS)[0]]
    sections = [struct.unpack_from("<I", headers, at + 12)[0] for at in range(0, len(headers), 40)]
    found: dict[int, Function] = {}
    # A procedure tells more than a public symbol at its address.
    for symbols in (_public_functions(streams[symbol_records]), _procedures(streams, dbi[64 : 64 + modules])):
        for segment, offset, size, name in symbols:
            if 0 < segment <= len(sections):
                rva = sections[segment - 1] + offset
                found[rva] = Function(rva, size, name)
    return Pdb(guid, age, tuple(found[rva] for rva in sorted(found)))


def _streams(data: bytes) -> list[bytes]:
    if data[:32] != _MAGIC:
        raise ValueError("PDB: expected the signature of MSF 7.00")
    block_size, _, _, directory_size, _, map_block = struct.unpack_from("<6I", data, 32)
    if block_size not in (512, 1024, 2048, 4096, 8192, 16384, 32768):
        raise ValueError(f"PDB: expected a block size that is a power of two, found {block_size}")

    def blocks(size: int) -> int:
        return (size + int(block_size) - 1) // int(block_size)

    def joined(numbers: Iterable[int], size: int) -> bytes:
        return b"".join(data[number * block_size : (number + 1) * block_size] for number in numbers)[:size]

    count = blocks(directory_size)
    directory = joined(struct.unpack_from(f"<{count}I", data, map_block * block_size), directory_size)
    words = struct.unpack_from(f"<{len(directory) // 4}I", directory)
    sizes = [0 if size == 0xFFFF_FFFF else size for size in words[1 : 1 + words[0]]]
    at = 1 + words[0]
    found = []
    for size in sizes:
        found.append(joined(words[at : at + blocks(size)], size))
        at += blocks(size)
    return found


def _records(data: bytes, start: int = 0) -> Iterator[tuple[int, bytes]]:
    """(kind, body) of each symbol record."""
    while start + 4 <= len(data):
        length, kind = struct.unpack_from("<HH", data, start)
        if length < 2:
            return
        yield kind, data[start + 4 : start + 2 + length]
        start += 2 + length


def _public_functions(data: bytes) -> Iterator[tuple[int, int, int, str]]:
    """(segment, offset, 0, name)."""
    for kind, body in _records(data):
        if kind == _S_PUB32:
            flags, offset, segment = struct.unpack_from("<IIH", body)
            if flags & _PUBLIC_FUNCTION:
                yield segment, offset, 0, _name(body[10:])


def _procedures(streams: list[bytes], modules: bytes) -> Iterator[tuple[int, int, int, str]]:
    """(segment, offset, size, name), also of functions that are not public."""
    at = 0
    while at + 64 <= len(modules):
        stream, size = struct.unpack_from("<HI", modules, at + 34)
        at = modules.index(b"\0", modules.index(b"\0", at + 64) + 1) + 1
        at += -at % 4
        if stream == _NO_STREAM or stream >= len(streams):
            continue
        for kind, body in _records(streams[stream][:size], 4):
            if kind in (_S_LPROC32, _S_GPROC32, _S_LPROC32_ID, _S_GPROC32_ID):
                (size_of_code,) = struct.unpack_from("<I", body, 12)
                offset, segment = struct.unpack_from("<IH", body, 28)
                yield segment, offset, size_of_code, _name(body[35:])


def _name(data: bytes) -> str:
    return data.split(b"\0")[0].decode("utf-8", "replace")
