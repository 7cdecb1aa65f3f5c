"""Judges the module list against the memory of the images: their regions, and the headers that the dump captured."""

from __future__ import annotations

from collections import Counter
from functools import cache
from typing import Final

from ...case import Case
from ...decode import enumeration
from ...memory.page import PAGE_SIZE
from ...model import Grade, Level, Source
from ...readers.captured_image import captured_image
from ...readers.facts import ModuleFact
from ...rule import Checks, bad, foreign, ok, rule

_IMAGE: Final = enumeration("MEM_TYPE")["MEM_IMAGE"]
_EXTENSION: Final = 3 * PAGE_SIZE
"""Bytes behind an image that belong to its allocation on build 26200: one executable page and two reserved pages."""


@rule(
    "XCUT-MEMORYINFO-004",
    "Every module lies in image regions of its own allocation",
    Level.SHOULD,
    Source("docs/format/minidump-memory.md#image-regions", Grade.OBSERVED),
    needs=("modules", "memory_info"),
)
def modules_are_images(case: Case) -> Checks:
    """The MEM_IMAGE regions whose AllocationBase is the module's base add up to SizeOfImage. Since build 26200 three
    more pages can follow.
    """
    sizes: Counter[int] = Counter()
    for base, size, kind in case.dump.memory_infos.rows("AllocationBase", "RegionSize", "Type"):
        if kind == _IMAGE:
            sizes[base] += size
    for module in case.dump.modules:
        actual = sizes[module.base]
        expected = -(-module.size // PAGE_SIZE) * PAGE_SIZE
        if actual in (expected, expected + _EXTENSION):
            yield ok(module.record.path)
        else:
            span = module.record.span_of("SizeOfImage")
            wanted = f"{expected:#x} bytes of image regions, or {_EXTENSION:#x} more"
            yield bad(module.record.path, wanted, f"{actual:#x}", span)


@rule(
    "XCUT-MODULE-001",
    "Every module agrees with the image that the dump captured at its base",
    Level.SHOULD,
    Source("docs/format/minidump-modules.md#stamp-and-checksum", Grade.WITNESSED, versions=("29507",)),
    Source("docs/format/minidump-modules.md#codeview-record", Grade.WITNESSED, versions=("15063", "29507")),
    needs=("modules", "module.records", "memory"),
    applies=foreign,
)
def captured_headers(case: Case) -> Checks:
    """Size, time stamp and checksum are those of the image's headers, the CodeView record is one of the image's debug
    records. With other values a debugger loads the wrong image or the wrong symbols. A program may change its headers
    in memory. In a dump with truth, TRUE-MODULE-002 and TRUE-MODULE-005 judge the record.
    """
    images = cache(lambda base: captured_image(case.dump, base))
    for module in case.dump.modules:
        image = images(module.base)
        if image is None:
            continue
        expected = {
            "SizeOfImage": image.optional["SizeOfImage"],
            "CheckSum": image.optional["CheckSum"],
            "TimeDateStamp": image.file["TimeDateStamp"],
        }
        for name, value in expected.items():
            subject = f"{module.record.path}, {name}"
            if module.record[name] == value:
                yield ok(subject)
            else:
                span = module.record.span_of(name)
                yield bad(subject, f"{value:#x}, as in the captured image", f"{module.record[name]:#x}", span)
        yield from _code_view(case, module, image.code_views)


def _code_view(case: Case, module: ModuleFact, held: tuple[bytes, ...]) -> Checks:
    """Check that the module's CodeView record, if it has one, is one of ``held``, those of the captured image."""
    span = module.code_view
    if span is None or not held:
        return
    subject = f"CodeView record of {module.record.path}"
    actual = case.dump.source.read(span.start, min(len(span), max(map(len, held)) + 1))
    if actual in held:
        yield ok(subject)
    else:
        shown = tuple(f"{data[:24].hex()} ({len(data)} bytes)" for data in held)
        yield bad(subject, shown, f"{actual[:24].hex()} ({len(span)} bytes)", span)
