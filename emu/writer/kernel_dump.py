"""A kernel dump: from a plan to a layout to bytes (spec kernel 2, 3, 5)."""

from __future__ import annotations

from dataclasses import dataclass

from ..plan.kernel import KernelPlan, plan_kernel
from ..plan.kernel_constants import BITMAP_TYPES, RANGES_TYPES, DumpType
from ..plan.kernel_small import SmallLayout
from ..request import Request
from ..snapshot.kernel import DataBlob, KernelSnapshot
from ..snapshot.process import PAGE_SIZE
from .blobs import blob_section
from .faults import Faults
from .kernel_bitmap import bitmap_section
from .kernel_header import add_header
from .kernel_pages import page_data
from .kernel_ranges import ranges_section
from .layout import Layout, LayoutMap, Section, Sink
from .sinks import BytesSink
from .triage import triage_sections

_SECTOR = 512
_LAST_BUILD_WITH_TERMINATOR = 9600
_NO_TAG = DataBlob(bytes(16), b"")


@dataclass(frozen=True)
class KernelWriteResult:
    """What was written: the plan with its reasons, the map of every byte, what people should know, the file's size."""

    plan: KernelPlan
    layout: LayoutMap
    warnings: tuple[str, ...]

    @property
    def size(self) -> int:
        return self.layout.size


class KernelDump:
    """A dump, decided and laid out: every value is known and every byte of memory is read, none is written yet.

    The same snapshot and request always give the same bytes. ``plan`` is written in place of what the request asks
    for: so a mutant writes a wrong one. Raises DumpRefused when the request cannot be met, and LayoutError when a value
    does not fit its field.
    """

    def __init__(
        self,
        snapshot: KernelSnapshot,
        request: Request,
        *,
        plan: KernelPlan | None = None,
        faults: Faults | None = None,
    ) -> None:
        self.plan = plan_kernel(snapshot, request) if plan is None else plan
        self._layout = _lay_out(snapshot, self.plan, faults or Faults())
        self.layout = self._layout.freeze()

    def emit(self, sink: Sink, *, in_order: bool = False) -> KernelWriteResult:
        """Write it; the signature last, so that what is cut off is not a dump. Raises what the sink raises.

        ``in_order``: without going back, to a sink that takes no patch and sees to it itself that a part is no whole.
        """
        self._layout.emit(sink, last=None if in_order else ("Header", "Signature"))
        return KernelWriteResult(self.plan, self.layout, self.plan.warnings)


def write_kernel_dump(
    snapshot: KernelSnapshot, request: Request, sink: Sink, *, faults: Faults | None = None
) -> KernelWriteResult:
    """Lay out and write the dump that ``request`` asks for. Raises as ``KernelDump`` and its ``emit``."""
    return KernelDump(snapshot, request, faults=faults).emit(sink)


def kernel_dump_bytes(
    snapshot: KernelSnapshot, request: Request, *, plan: KernelPlan | None = None
) -> tuple[bytes, KernelWriteResult]:
    """The dump in memory. Raises as ``KernelDump``."""
    sink = BytesSink()
    result = KernelDump(snapshot, request, plan=plan).emit(sink)
    return sink.getvalue(), result


def _lay_out(snapshot: KernelSnapshot, plan: KernelPlan, faults: Faults) -> Layout:
    layout, header, end = Layout(), Section("Header"), Section("End")
    layout.place(header)
    add_header(header, snapshot, plan, end.start)
    if plan.dump_type is DumpType.TRIAGE:
        _place_small(layout, snapshot, plan, faults, end)
    else:
        _place_pages(layout, snapshot, plan, faults, end)
    return layout


def _place_pages(layout: Layout, snapshot: KernelSnapshot, plan: KernelPlan, faults: Faults, end: Section) -> None:
    """The pages behind whatever describes them; secondary data directly behind the last page (spec kernel 5).

    RequiredDumpSpace is where the pages end (spec kernel 2.9).
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
    layout.place(end)
    if snapshot.blobs and plan.dump_type is not DumpType.HEADER:
        layout.place(blob_section(snapshot.blobs, snapshot.system.build_number, padded=True))


def _place_small(layout: Layout, snapshot: KernelSnapshot, plan: KernelPlan, faults: Faults, end: Section) -> None:
    """The triage part and, as in every real small dump, secondary data (spec kernel 3.8 step 9).

    RequiredDumpSpace is the file's length.
    """
    assert plan.small is not None
    build = snapshot.system.build_number
    blobs = [*snapshot.blobs, _NO_TAG] if build <= _LAST_BUILD_WITH_TERMINATOR else list(snapshot.blobs)
    padded = plan.small.layout is SmallLayout.A
    secondary = blob_section(blobs, build, padded=padded)
    for section in triage_sections(snapshot, plan.small, faults, secondary.start):
        layout.place(section)
    layout.place(secondary)
    layout.place(end, align=1 if padded else _SECTOR)
