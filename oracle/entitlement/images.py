"""The clauses for segments and headers of the loaded images."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .pieces import Piece
from .writers import Writing

if TYPE_CHECKING:
    from ..truth.process import ModuleTruth, ProcessTruth

# winnt.h IMAGE_SCN_CNT_CODE, IMAGE_SCN_CNT_INITIALIZED_DATA | IMAGE_SCN_CNT_UNINITIALIZED_DATA,
# IMAGE_SCN_MEM_READ | IMAGE_SCN_MEM_WRITE
_CODE, _DATA, _READ_WRITE = 0x20, 0x40 | 0x80, 0x4000_0000 | 0x8000_0000
# winnt.h IMAGE_OPTIONAL_HEADER, by Magic (IMAGE_NT_OPTIONAL_HDR32_MAGIC, HDR64): offset of NumberOfRvaAndSizes in
# IMAGE_NT_HEADERS. DataDirectory follows it.
_DIRECTORIES = {0x10B: 0x74, 0x20B: 0x84}
_SECURITY, _DEBUG, _TLS = 4, 6, 9
"""winnt.h IMAGE_DIRECTORY_ENTRY_SECURITY, _DEBUG, _TLS."""
_DEBUG_ENTRY = 28
"""sizeof(IMAGE_DEBUG_DIRECTORY); SizeOfData and AddressOfRawData are at 16 and 20."""


def _segments(truth: ProcessTruth, kind: str, chosen: int, needed: int = 0) -> Iterator[Piece]:
    """The sections with any bit of ``chosen`` and all bits of ``needed``, each up to its first unreadable page."""
    for module in truth.modules:
        for section in module.sections:
            bits = section.characteristics
            if bits & chosen and bits & needed == needed:
                start = module.base + section.virtual_address
                run = next(truth.readable_runs(start, start + section.virtual_size), None)
                if run is not None and run[0] == start:
                    yield Piece(start, start + run[1], f"{kind} section {section.name} of {module.name}")


def data_segments(writing: Writing) -> Iterator[Piece]:
    """Sections of data that can be read and written. Whether they are executable does not matter."""
    yield from _segments(writing.truth, "data", _DATA, _READ_WRITE)


def code_segments(writing: Writing) -> Iterator[Piece]:
    """Sections of code. Executable sections without IMAGE_SCN_CNT_CODE do not count."""
    yield from _segments(writing.truth, "code", _CODE)


@dataclass(frozen=True, slots=True)
class _Headers:
    """The headers of an image in memory."""

    module: ModuleTruth
    end: int
    """Behind the headers: e_lfanew + SizeOfHeaders bytes from the base."""
    directories: tuple[tuple[int, int], ...]
    """RVA and size of each data directory."""


def _headers(truth: ProcessTruth) -> Iterator[_Headers]:
    for module in truth.modules:
        base = module.base
        new = truth.read(base + 0x3C, 4)  # winnt.h IMAGE_DOS_HEADER.e_lfanew
        start = base + int.from_bytes(new or b"", "little")
        # winnt.h IMAGE_NT_HEADERS: Signature, IMAGE_FILE_HEADER (20 bytes), OptionalHeader: Magic, SizeOfHeaders at 60
        head = truth.read(start, 24 + 64)
        if new is None or head is None or bytes(head[:4]) != b"PE\0\0" or start >= base + module.size:
            continue
        at = _DIRECTORIES.get(int.from_bytes(head[24:26], "little"))
        count = None if at is None else truth.read(start + at, 4)
        table = None
        if at is not None and count is not None:
            number = min(int.from_bytes(count, "little"), 16)  # winnt.h IMAGE_NUMBEROF_DIRECTORY_ENTRIES
            table = truth.read(start + at + 4, 8 * number) if number else None
        pairs = memoryview(bytes(table or b"")).cast("I")
        size = int.from_bytes(head[84:88], "little")
        yield _Headers(module, start + size, tuple(zip(pairs[::2], pairs[1::2], strict=True)))


def image_headers(writing: Writing) -> Iterator[Piece]:
    """The headers and every data directory but the security directory, of images in a live target."""
    if writing.of_dump:
        return
    for headers in _headers(writing.truth):
        name, base = headers.module.name, headers.module.base
        yield Piece(base, headers.end, f"headers of {name}")
        for index, (rva, size) in enumerate(headers.directories):
            if rva and size and index != _SECURITY:
                yield Piece(base + rva, base + rva + size, f"data directory {index} of {name}")
        if writing.writer.debug_data:
            yield from _debug_data(writing.truth, headers)


def _debug_data(truth: ProcessTruth, headers: _Headers) -> Iterator[Piece]:
    """What the debug entries point to: the records of CodeView and MISC."""
    if len(headers.directories) <= _DEBUG:
        return
    rva, size = headers.directories[_DEBUG]
    for at in range(rva, rva + min(size, 64 * _DEBUG_ENTRY) - _DEBUG_ENTRY + 1, _DEBUG_ENTRY):
        entry = truth.read(headers.module.base + at, _DEBUG_ENTRY)
        if entry is not None:
            length, place = (int.from_bytes(entry[offset : offset + 4], "little") for offset in (16, 20))
            if length and place:
                start = headers.module.base + place
                yield Piece(start, start + length, f"debug data of {headers.module.name}")


@dataclass(frozen=True, slots=True)
class TlsDirectory:
    """The static thread-local storage of an image."""

    size: int
    """Bytes of each thread's block, without the zero fill."""
    index: int
    """Its place in the thread's vector."""
    name: str


def tls_directories(truth: ProcessTruth) -> Iterator[TlsDirectory]:
    """The TLS directories of all images (winnt.h IMAGE_TLS_DIRECTORY: start, end and address of the index)."""
    size = truth.system.pointer_size
    for headers in _headers(truth):
        rva, length = headers.directories[_TLS] if len(headers.directories) > _TLS else (0, 0)
        table = truth.read(headers.module.base + rva, 3 * size) if rva and length else None
        if table is None:
            continue
        start, end, place = (int.from_bytes(table[at : at + size], "little") for at in (0, size, 2 * size))
        index = truth.read(place, 4)
        if index is not None and start < end:
            yield TlsDirectory(end - start, int.from_bytes(index, "little"), headers.module.name)
