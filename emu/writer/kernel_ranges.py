"""Writes the run list of types 8, 9 and 10 (docs/format/kernel-pages.md#range-dump-header)."""

from __future__ import annotations

import ctypes

from ..plan.kernel import KernelPlan
from ..plan.kernel_constants import DUMP_VALID_DUMP, RANGES_SIGNATURE
from .encode import add_struct
from .kernel_structs import PHYSICAL_MEMORY_RUN64, RDMP_HEADER64
from .layout import Label, Section

_MARKER = 0x40  # the size of the header with one run
_RUN = ctypes.sizeof(PHYSICAL_MEMORY_RUN64)


def ranges_section(plan: KernelPlan, first_page: Label) -> Section:
    """Return the header and the runs. ``first_page`` is the offset of the first page.

    Nothing stands between the last run and the first page: engine 29507, the only known writer, writes no run of zeros
    there (docs/format/kernel-pages.md#run-of-zeros-behind-the-last-run, W29507). kdmp-parser reads one run too many in
    types 8 and 9.
    """
    section = Section("Runs")
    add_struct(section, "RunsHeader", RDMP_HEADER64, {
        "Marker": _MARKER,
        "Signature": RANGES_SIGNATURE,
        "ValidDump": DUMP_VALID_DUMP,
        "MetadataSize": 0x10 + _RUN * len(plan.pages),
        "FirstPageOffset": first_page,
        "NumberOfRuns": len(plan.pages),
        "NumberOfPages": plan.page_count,
    }, zero=["Unknown", "Unknown24"])  # fmt: skip
    for index, planned in enumerate(plan.pages):
        add_struct(section, f"Runs.Run[{index}]", PHYSICAL_MEMORY_RUN64, {
            "BasePage": planned.start, "PageCount": planned.count
        })  # fmt: skip
    return section
