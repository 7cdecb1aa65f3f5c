"""Writes the bitmap of types 2, 5 and 6 and the header in front of it.

Format: docs/format/kernel-pages.md#summary-dump-header (type 2), docs/format/kernel-pages.md#bitmap-dump-header.
"""

from __future__ import annotations

from collections.abc import Iterable

from ..plan.kernel import KernelPlan
from ..plan.kernel_constants import DUMP_VALID_DUMP, FILL, SUMMARY_SIGNATURE, DumpType, SummaryOption
from ..plan.ranges import Range
from .encode import UNSET, add_struct
from .kernel_structs import BITMAP_DUMP, SUMMARY_DUMP64
from .layout import Label, Section


def page_bitmap(frames: Iterable[Range], bits: int) -> bytearray:
    """Return a bitmap of ``bits`` bits. Bit n, lowest bit of a byte first, is set if frame n is in ``frames``.

    All frames lie below ``bits``.
    """
    bitmap = bytearray(-(-bits // 8))
    for start, end in frames:
        first, last = -(-start // 8), end // 8
        if first > last:  # the run lies inside one byte
            bitmap[last] |= (1 << end % 8) - (1 << start % 8)
            continue
        if start % 8:
            bitmap[start // 8] |= 0xFF << start % 8 & 0xFF
        bitmap[first:last] = b"\xff" * (last - first)
        if end % 8:
            bitmap[last] |= (1 << end % 8) - 1
    return bitmap


def bitmap_section(plan: KernelPlan, first_page: Label) -> Section:
    """Return the header and the bitmap. ``first_page`` is the offset of the first page.

    Types 5 and 6 both have the signature ``SDMP``: real type 5 files have it, and radare2 opens no other
    (docs/format/kernel-pages.md#signature-of-the-bitmap-header).
    """
    section = Section("Bitmap")
    common = {
        "Signature": SUMMARY_SIGNATURE,
        "ValidDump": DUMP_VALID_DUMP,
        "HeaderSize": first_page,
        "BitmapSize": plan.bitmap_bits,
        "Pages": plan.page_count,
    }
    if plan.dump_type is DumpType.SUMMARY:
        add_struct(section, "SummaryHeader", SUMMARY_DUMP64, {
            **common,
            "DumpOptions": SummaryOption.KERNEL_VIRTUAL_ADDRESSES_VALID,
            "SizeOfBitMap": plan.bitmap_bits,
        }, zero=["Padding", "Reserved0"])  # fmt: skip
    else:
        add_struct(section, "BitmapHeader", BITMAP_DUMP, {
            **common, "DumpOptions": 0, "Unknown": UNSET
        }, background=FILL)  # fmt: skip
    frames = ((planned.start, planned.end) for planned in plan.pages)
    section.add("Bitmap", "bitmap", page_bitmap(frames, plan.bitmap_bits))
    return section
