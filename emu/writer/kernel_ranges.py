"""The run list of types 8, 9 and 10 (spec kernel 2.7)."""

from __future__ import annotations

import ctypes

from ..plan.kernel import KernelPlan
from ..plan.kernel_constants import DUMP_VALID_DUMP, RANGES_SIGNATURE, DumpType
from .encode import add_struct
from .kernel_structs import PHYSICAL_MEMORY_RUN64, RDMP_HEADER64
from .layout import Label, Section

_MARKER = 0x40  # the size of this header with one run
_RUN = ctypes.sizeof(PHYSICAL_MEMORY_RUN64)


def ranges_section(plan: KernelPlan, first_page: Label) -> Section:
    """The header and the runs.

    Types 8 and 9 end with a run of zeros that MetadataSize counts and NumberOfRuns does not: kdmp-parser reads one run
    too many in these types, and stops at it instead of taking page data for a run.
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
