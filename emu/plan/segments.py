"""Selects parts of the loaded images: DATA_SEGMENTS, CODE_SEGMENTS, MODULE_HEADERS.

docs/format/minidump-captured-memory.md#data-segments and the two sections after it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ..constants import IMAGE_SCN_CNT_CODE, IMAGE_SCN_MEM_EXECUTE, IMAGE_SCN_MEM_WRITE
from ..snapshot.process import Section
from .image_headers import DOS_HEADER_SIZE, nt_headers
from .process_view import ProcessView, WantedRange

CODE_RELATED = (".pdata", ".xdata")
"""Sections of CODE_SEGMENTS without code: function tables and unwind information."""


def data_segments(target: ProcessView) -> Iterator[WantedRange]:
    """Yield the writable sections. Read-only data is not part of DATA_SEGMENTS."""
    return _sections(target, "DATA_SEGMENTS", lambda section: bool(section.characteristics & IMAGE_SCN_MEM_WRITE))


def code_segments(target: ProcessView) -> Iterator[WantedRange]:
    """Yield "all code and code-related sections", as the DEBUG_FORMAT_XXX page says."""
    return _sections(target, "CODE_SEGMENTS", _is_code)


def _is_code(section: Section) -> bool:
    code = section.characteristics & (IMAGE_SCN_CNT_CODE | IMAGE_SCN_MEM_EXECUTE)
    return bool(code) or section.name in CODE_RELATED


def _sections(target: ProcessView, flag: str, chosen: Callable[[Section], bool]) -> Iterator[WantedRange]:
    """Yield the chosen sections, VirtualSize bytes each, not rounded to pages. Raises DumpRefused."""
    for module in target.snapshot.modules:
        for section in module.sections:
            if chosen(section):
                start = module.base + section.virtual_address
                reason = f"{flag}: {section.name} of the image at {module.base:#x}"
                yield from target.require_readable(start, start + section.virtual_size, reason)


def module_headers(target: ProcessView) -> Iterator[WantedRange]:
    """Yield SizeOfHeaders bytes of every image, and DOS and NT headers that lie elsewhere. Raises DumpRefused."""
    for module in target.snapshot.modules:
        reason = f"MODULE_HEADERS: image at {module.base:#x}"
        headers = nt_headers(target.reading, module)
        dos_end = module.base + DOS_HEADER_SIZE
        yield from target.require_readable(module.base, max(module.base + module.size_of_headers, dos_end), reason)
        if headers:
            yield from target.require_readable(headers.address, headers.end, reason)
