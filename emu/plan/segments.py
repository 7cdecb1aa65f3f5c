"""Selects parts of the loaded images: DATA_SEGMENTS, CODE_SEGMENTS, MODULE_HEADERS.

docs/format/minidump-captured-memory.md#data-segments and the two sections after it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ..constants import (
    IMAGE_SCN_CNT_CODE,
    IMAGE_SCN_CNT_INITIALIZED_DATA,
    IMAGE_SCN_CNT_UNINITIALIZED_DATA,
    IMAGE_SCN_MEM_READ,
    IMAGE_SCN_MEM_WRITE,
)
from ..snapshot.process import Section
from .image_headers import debug_data, directories, nt_headers
from .process_view import ProcessView, WantedRange

_READ_WRITE = IMAGE_SCN_MEM_READ | IMAGE_SCN_MEM_WRITE
_DATA = IMAGE_SCN_CNT_INITIALIZED_DATA | IMAGE_SCN_CNT_UNINITIALIZED_DATA


def data_segments(target: ProcessView) -> Iterator[WantedRange]:
    """Yield the sections that hold data and can be read and written, executable or not."""
    return _sections(target, "DATA_SEGMENTS", _is_data)


def code_segments(target: ProcessView) -> Iterator[WantedRange]:
    """Yield the sections that hold code (docs/format/minidump-captured-memory.md#code-segments)."""
    return _sections(target, "CODE_SEGMENTS", lambda section: bool(section.characteristics & IMAGE_SCN_CNT_CODE))


def _is_data(section: Section) -> bool:
    return section.characteristics & _READ_WRITE == _READ_WRITE and bool(section.characteristics & _DATA)


def _sections(target: ProcessView, flag: str, chosen: Callable[[Section], bool]) -> Iterator[WantedRange]:
    """Yield the chosen sections, VirtualSize bytes each, not rounded to pages. An unreadable page ends a section.

    The engine knows the sections of a dump target from the headers that it holds.
    """
    for module in target.snapshot.modules:
        if target.of_a_dump and nt_headers(target.reading, module) is None:
            continue
        for section in module.sections:
            if chosen(section):
                start = module.base + section.virtual_address
                reason = f"{flag}: {section.name} of the image at {module.base:#x}"
                yield from target.head(start, start + section.virtual_size, reason)


def module_headers(target: ProcessView) -> Iterator[WantedRange]:
    """Yield the headers, the data directories and the debug data of every image. Of a dump target: nothing.

    docs/format/minidump-captured-memory.md#module-headers
    """
    if target.of_a_dump:
        return
    for module in target.snapshot.modules:
        reason = f"MODULE_HEADERS: image at {module.base:#x}"
        headers = nt_headers(target.reading, module)
        if headers is None:
            continue
        yield from target.readable(module.base, headers.address + module.size_of_headers, reason)
        for start, end in directories(target.reading, module, headers):
            yield from target.readable(start, end, f"MODULE_HEADERS: directory of the image at {module.base:#x}")
        for start, end in debug_data(target.reading, module, headers):
            yield from target.readable(start, end, f"MODULE_HEADERS: debug data of the image at {module.base:#x}")
