"""The clauses for segments and headers of the loaded images."""

from __future__ import annotations

from collections.abc import Iterator

from ..truth.process import ModuleTruth, ProcessTruth, SectionTruth
from .flags import Format
from .pieces import Piece

WRITABLE = 0x8000_0000
"""winnt.h IMAGE_SCN_MEM_WRITE."""
CODE = 0x2000_0020
"""winnt.h IMAGE_SCN_MEM_EXECUTE | IMAGE_SCN_CNT_CODE."""
# winnt.h: IMAGE_DOS_HEADER, and IMAGE_NT_HEADERS by OptionalHeader.Magic (IMAGE_NT_OPTIONAL_HDR32_MAGIC, HDR64)
_DOS_HEADER = 0x40
_NT_HEADERS = {0x10B: 0xF8, 0x20B: 0x108}


def sections(truth: ProcessTruth, mask: int) -> Iterator[tuple[ModuleTruth, SectionTruth, int, int]]:
    """The sections with any bit of ``mask`` in Characteristics: module, section, start, end."""
    for module in truth.modules:
        for section in module.sections:
            if section.characteristics & mask:
                start = module.base + section.virtual_address
                yield module, section, start, start + section.virtual_size


def data_segments(truth: ProcessTruth, _flags: Format) -> Iterator[Piece]:
    """Writable sections."""
    for module, section, start, end in sections(truth, WRITABLE):
        yield Piece(start, end, f"writable section {section.name} of {module.name}")


def code_segments(truth: ProcessTruth, _flags: Format) -> Iterator[Piece]:
    """Sections that are code or executable."""
    for module, section, start, end in sections(truth, CODE):
        yield Piece(start, end, f"code section {section.name} of {module.name}")


def read_only_sections(truth: ProcessTruth, _flags: Format) -> Iterator[Piece]:
    """Sections that are neither code nor writable: they hold unwind data, debug directories and resources.

    How much of them a writer takes for MODULE_HEADERS and CODE_SEGMENTS differs
    (docs/format/minidump-open-points.md#memory-that-no-witness-settles).
    """
    for module, section, start, end in sections(truth, ~0):
        if not section.characteristics & (WRITABLE | CODE):
            yield Piece(start, end, f"read-only section {section.name} of {module.name}")


def image_headers(truth: ProcessTruth, _flags: Format) -> Iterator[Piece]:
    """IMAGE_DOS_HEADER and IMAGE_NT_HEADERS of each module."""
    for module in truth.modules:
        yield Piece(module.base, module.base + _DOS_HEADER, f"IMAGE_DOS_HEADER of {module.name}")
        new = truth.read(module.base + 0x3C, 4)  # winnt.h IMAGE_DOS_HEADER.e_lfanew
        start = module.base + int.from_bytes(new or b"", "little")
        # winnt.h IMAGE_NT_HEADERS: Signature, IMAGE_FILE_HEADER (20 bytes), OptionalHeader.Magic
        head = truth.read(start, 26)
        if new is None or head is None or bytes(head[:4]) != b"PE\0\0" or start >= module.base + module.size:
            continue
        size = _NT_HEADERS.get(int.from_bytes(head[24:26], "little"))
        if size is not None:
            yield Piece(start, start + size, f"IMAGE_NT_HEADERS of {module.name}")


def all_headers(truth: ProcessTruth, _flags: Format) -> Iterator[Piece]:
    """SizeOfHeaders bytes of each module."""
    for module in truth.modules:
        yield Piece(module.base, module.base + module.size_of_headers, f"headers of {module.name}")
