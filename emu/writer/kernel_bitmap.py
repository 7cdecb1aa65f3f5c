"""The bitmap of types 2, 5 and 6, and the header in front of it (spec kernel 2.5, 2.6)."""

from __future__ import annotations

from collections.abc import Iterable

from ..plan.kernel import KernelPlan
from ..plan.kernel_constants import DUMP_VALID_DUMP, FILL, SUMMARY_SIGNATURE, DumpType, SummaryOption
from ..plan.ranges import Range
from .encode import UNSET, add_struct
from .kernel_structs import BITMAP_DUMP, SUMMARY_DUMP64
from .layout import Label, Section


def page_bitmap(frames: Iterable[Range], bits: int) -> bytearray:
    """Bit n, lowest first in each byte, says that page n is there. ``frames`` lie below ``bits``."""
    bitmap = bytearray(-(-bits // 8))
    for start, end in frames:
        first, last = -(-start // 8), end // 8
        if first > last:  # all within one byte
            bitmap[last] |= (1 << end % 8) - (1 << start % 8)
            continue
        if start % 8:
            bitmap[start // 8] |= 0xFF << start % 8 & 0xFF
        bitmap[first:last] = b"\xff" * (last - first)
        if end % 8:
            bitmap[last] |= (1 << end % 8) - 1
    return bitmap


def bitmap_section(plan: KernelPlan, first_page: Label) -> Section:
    """The header and the bitmap.

    Types 5 and 6 both carry ``SDMP``: real files of type 5 do, and radare2 opens no other (spec kernel 2.6, 7.2).
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
