"""Writes the pages of a kernel dump: touched memory without a copy, the rest as runs of zeros."""

from __future__ import annotations

from bisect import bisect_right

from ..constants import Hresult
from ..plan.kernel import KernelPlan
from ..request import DumpRefused
from ..snapshot.kernel import KernelSnapshot
from ..snapshot.process import PAGE_SIZE
from .faults import FaultPoint, Faults
from .layout import Section


def page_data(snapshot: KernelSnapshot, plan: KernelPlan, faults: Faults) -> Section:
    """Return a section with every planned page, by frame number. The part ``Pages[0x100]`` starts with frame 0x100.

    The cost grows with the touched pages, not with the planned ones. Raises DumpRefused with ERROR_PARTIAL_COPY when
    memory cannot be read.
    """
    section = Section("Pages")
    starts = [run.base_page for run in snapshot.memory]
    for planned in plan.pages:
        try:
            faults.reach(FaultPoint.READ_MEMORY)
        except OSError as error:
            raise DumpRefused(
                Hresult.ERROR_PARTIAL_COPY, f"page frames {planned.start:#x}..{planned.end:#x} cannot be read"
            ) from error
        at = planned.start
        index = max(bisect_right(starts, at) - 1, 0)
        while index < len(starts) and starts[index] < planned.end:
            run = snapshot.memory[index]
            first, end = max(at, run.base_page), min(planned.end, run.end_page)
            if first < end:
                _zeros(section, at, first)
                data = memoryview(run.data)[(first - run.base_page) * PAGE_SIZE : (end - run.base_page) * PAGE_SIZE]
                section.add(f"Pages[{first:#x}]", "pages", data)
                at = end
            index += 1
        _zeros(section, at, planned.end)
    return section


def _zeros(section: Section, start: int, end: int) -> None:
    if start < end:
        section.add_zeros(f"Pages[{start:#x}]", "zero pages", (end - start) * PAGE_SIZE)
