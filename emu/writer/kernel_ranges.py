"""Writes the run list of types 8, 9 and 10 (docs/format/kernel-pages.md#range-dump-header)."""

from __future__ import annotations

import ctypes

from ..plan.kernel import KernelPlan
from ..plan.kernel_constants import DUMP_VALID_DUMP, RANGES_SIGNATURE, DumpType
from .encode import add_struct
from .kernel_structs import PHYSICAL_MEMORY_RUN64, RDMP_HEADER64
from .layout import Label, Section

_MARKER = 0x40  # the size of the header with one run
_RUN = ctypes.sizeof(PHYSICAL_MEMORY_RUN64)


def ranges_section(plan: KernelPlan, first_page: Label) -> Section:
    """Return the header and the runs. ``first_page`` is the offset of the first page.

    Types 8 and 9 end with a run of zeros. MetadataSize counts it, NumberOfRuns does not. kdmp-parser reads one run
    too many in these types and stops at the zeros; without them it would take page data for a run
    (docs/format/kernel-pages.md#run-of-zeros-behind-the-last-run).
    """
    section = Section("Runs")
    terminated = plan.dump_type is not DumpType.COMPLETE_MEMORY
    add_struct(section, "RunsHeader", RDMP_HEADER64, {
        "Marker": _MARKER,
        "Signature": RANGES_SIGNATURE,
        "ValidDump": DUMP_VALID_DUMP,
        "MetadataSize": 0x10 + _RUN * (len(plan.pages) + terminated),
        "FirstPageOffset": first_page,
        "NumberOfRuns": len(plan.pages),
        "NumberOfPages": plan.page_count,
    }, zero=["Unknown", "Unknown24"])  # fmt: skip
    for index, planned in enumerate(plan.pages):
        add_struct(section, f"Runs.Run[{index}]", PHYSICAL_MEMORY_RUN64, {
            "BasePage": planned.start, "PageCount": planned.count
        })  # fmt: skip
    if terminated:
        add_struct(section, "Runs.Terminator", PHYSICAL_MEMORY_RUN64, {"BasePage": 0, "PageCount": 0})
    return section
