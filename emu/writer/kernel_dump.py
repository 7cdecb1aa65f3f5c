"""Writes kernel dumps of every type (docs/format/kernel-kinds.md)."""

from __future__ import annotations

from ..plan.kernel import KernelPlan, plan_kernel
from ..plan.kernel_constants import BITMAP_TYPES, RANGES_TYPES, DumpType
from ..plan.kernel_small import SmallLayout, SmallPlan
from ..request import Request
from ..snapshot.kernel import DataBlob, KernelSnapshot
from ..snapshot.process import PAGE_SIZE
from .blobs import blob_section
from .dump import Dump, WriteResult
from .faults import Faults
from .kernel_bitmap import bitmap_section
from .kernel_header import add_header
from .kernel_pages import page_data
from .kernel_ranges import ranges_section
from .layout import Label, Layout, Section
from .triage import triage_sections

_SECTOR = 512
_LAST_BUILD_WITH_TERMINATOR = 9600
_TERMINATOR = DataBlob(bytes(16), b"")
"""An empty blob with a zero tag. It ends the chain in older builds.

docs/format/kernel-secondary-data.md#end-of-the-chain
"""


class KernelDump(Dump[KernelSnapshot, KernelPlan]):
    """A kernel dump of any type."""

    def _decide(self, snapshot: KernelSnapshot, request: Request) -> KernelPlan:
        return plan_kernel(snapshot, request)

    def _lay_out(self, snapshot: KernelSnapshot, plan: KernelPlan, faults: Faults) -> Layout:
        return _lay_out(snapshot, plan, faults)


def kernel_dump_bytes(
    snapshot: KernelSnapshot, request: Request, *, plan: KernelPlan | None = None
) -> tuple[bytes, WriteResult[KernelPlan]]:
    """Return a kernel dump and its result. Raises as ``KernelDump``."""
    return KernelDump(snapshot, request, plan=plan).in_memory()


def _lay_out(snapshot: KernelSnapshot, plan: KernelPlan, faults: Faults) -> Layout:
    layout, header, end = Layout(), Section("Header"), Section("End")
    layout.place(header)
    if plan.small is not None:
        required = _place_small(layout, snapshot, plan.small, faults, end)
    else:
        required = _place_pages(layout, snapshot, plan, faults, end)
    add_header(header, snapshot, plan, required)
    return layout


def _place_pages(layout: Layout, snapshot: KernelSnapshot, plan: KernelPlan, faults: Faults, end: Section) -> Label:
    """Place the page description, the pages, and the secondary data directly after the last page.

    Return RequiredDumpSpace, the length of the file: debuggers look for the secondary data of types 2, 5 and 6 up to
    there (docs/format/kernel-header-fields.md#requireddumpspace, W15063 and W29507). Start of the secondary data:
    docs/format/kernel-secondary-data.md#start-of-the-region.
    """
    data = page_data(snapshot, plan, faults)
    if plan.dump_type in BITMAP_TYPES:
        layout.place(bitmap_section(plan, data.start))
        layout.place(data, align=PAGE_SIZE)
    elif plan.dump_type in RANGES_TYPES:
        layout.place(ranges_section(plan, data.start))
        layout.place(data)
    else:
        layout.place(data)
    if snapshot.blobs and plan.dump_type is not DumpType.HEADER:
        layout.place(blob_section(snapshot.blobs, snapshot.system.build_number, padded=True))
    layout.place(end)
    return end.start


def _place_small(
    layout: Layout, snapshot: KernelSnapshot, plan: SmallPlan, faults: Faults, end: Section
) -> Label | int:
    """Place the triage part and the secondary data. Return RequiredDumpSpace.

    Every small dump of Windows has secondary data; an engine's has only what its target has. RequiredDumpSpace of
    Windows is the length of the file, an engine's an upper bound
    (docs/format/kernel-small-layouts.md#requireddumpspace-of-a-small-dump).
    """
    build = snapshot.system.build_number
    blobs = list(snapshot.blobs)
    if not plan.writer.is_engine and build <= _LAST_BUILD_WITH_TERMINATOR:
        blobs.append(_TERMINATOR)
    padded = plan.layout is SmallLayout.A
    secondary = Section("SecondaryData")
    if blobs or not plan.writer.is_engine:
        secondary = blob_section(blobs, build, padded=padded)
    for section in triage_sections(snapshot, plan, faults, secondary.start):
        layout.place(section)
    layout.place(secondary)
    layout.place(end, align=1 if padded else _SECTOR)
    return end.start if plan.space is None else plan.space + secondary.size
