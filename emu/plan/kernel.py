"""Plans a kernel dump: its DumpType, and its pages or data blocks, each with its reason."""

from __future__ import annotations

from dataclasses import dataclass

from ..constants import Hresult
from ..request import Contract, DumpRefused, Request
from ..snapshot.kernel import KernelSnapshot
from .kernel_constants import (
    BITMAP_TYPES,
    COMMENT_SIZE,
    MAXIMUM_BITMAP_BITS,
    MAXIMUM_FIRST_PAGE,
    MAXIMUM_HEADER_RUNS,
    RANGES_TYPES,
    DumpType,
)
from .kernel_header import HeaderPlan, plan_header
from .kernel_memory import PhysicalMemory, pages
from .kernel_pages import PagePlan, ram_map, select_pages
from .kernel_small import SmallPlan, plan_small
from .kernel_writers import KernelWriter, dump_type_of, kernel_writer
from .ranges import subtract


@dataclass(frozen=True, slots=True)
class KernelPlan:
    """The plan of a kernel dump. ``pages`` are sorted by frame number; ``small`` is None except for a small dump."""

    dump_type: DumpType
    header: HeaderPlan
    pages: tuple[PagePlan, ...]
    bitmap_bits: int
    """BitmapSize: a multiple of 64 that covers all of RAM; 0 for types without a bitmap.

    docs/format/kernel-pages.md#bits-for-all-of-memory
    """
    small: SmallPlan | None
    comment: bytes
    """The ANSI text of Comment[128] without its NUL, at most 127 bytes."""
    warnings: tuple[str, ...]

    @property
    def page_count(self) -> int:
        """Number of pages in the dump."""
        return sum(planned.count for planned in self.pages)


def plan_kernel(snapshot: KernelSnapshot, request: Request) -> KernelPlan:
    """Return the plan for a dump of a kernel-mode target. Raises DumpRefused."""
    warnings: list[str] = []
    dump_type = dump_type_of(request, warnings)
    if snapshot.system.architecture != "amd64":
        raise DumpRefused(Hresult.E_NOTIMPL, f"architecture {snapshot.system.architecture}: expected amd64")
    comment = _comment(request.comment_text, warnings)
    writer = kernel_writer(request.contract, dump_type)
    physical = PhysicalMemory(snapshot)
    header = plan_header(snapshot, physical, writer, request.session, dump_type)
    if dump_type is DumpType.TRIAGE:
        small = plan_small(snapshot, physical, writer, warnings)
        return KernelPlan(dump_type, header, (), 0, small, comment, tuple(warnings))
    if dump_type is DumpType.HEADER:
        return KernelPlan(dump_type, header, (), 0, None, comment, tuple(warnings))
    ram, added = physical.ram, pages(snapshot.added_pages)
    if request.contract is not Contract.DOCUMENTED:
        ram = ram_map(snapshot, physical)
        if added:
            warnings.append("pages that a callback added are left out: a debugger does not call the callbacks")
        added = []
    elif subtract(added, physical.ram):
        warnings.append("pages that a callback added are left out: they are not RAM")
    planned = select_pages(snapshot, physical, ram, request.qualifier, writer=writer, added=added)
    if not physical.ram:
        raise DumpRefused(Hresult.E_FAIL, "the machine has no RAM")
    bits = 0
    if dump_type in BITMAP_TYPES:
        bits = _bitmap_bits(physical.ram[-1][1], warnings)
    _check_runs(dump_type, writer, planned, warnings)
    return KernelPlan(dump_type, header, planned, bits, None, comment, tuple(warnings))


def _comment(text: str | None, warnings: list[str]) -> bytes:
    """Return the text for Comment[128]: code page 1252, cut to 127 characters.

    docs/format/write-dump-file.md#comments-in-kernel-dumps
    """
    if not text:
        return b""
    if "\0" in text:
        raise DumpRefused(Hresult.E_INVALIDARG, "Comment: contains a NUL, which would end the string")
    ansi = text.encode("cp1252", "replace")
    if ansi.decode("cp1252", "replace") != text:
        warnings.append("characters of the comment that code page 1252 lacks are written as question marks")
    if len(ansi) >= COMMENT_SIZE:
        warnings.append(f"the comment is cut to {COMMENT_SIZE - 1} characters")
    return ansi[: COMMENT_SIZE - 1]


def _bitmap_bits(ram_end: int, warnings: list[str]) -> int:
    bits = -(-ram_end // 64) * 64
    if bits > MAXIMUM_BITMAP_BITS:
        raise DumpRefused(
            Hresult.E_FAIL, f"RAM up to page {ram_end:#x}: more bits than a bitmap can hold; use profile ranges"
        )
    if 0x2038 + bits // 8 > MAXIMUM_FIRST_PAGE:
        warnings.append("LeechCore refuses the dump: its bitmap is too long")
    return bits


def _check_runs(dump_type: DumpType, writer: KernelWriter, planned: tuple[PagePlan, ...], warnings: list[str]) -> None:
    if dump_type is DumpType.FULL and len(planned) > MAXIMUM_HEADER_RUNS:
        # Merging runs would add pages that are not RAM: docs/format/kernel-kinds.md#sets-of-pages.
        raise DumpRefused(
            Hresult.E_INVALIDARG if writer.is_engine else Hresult.E_FAIL,
            f"{len(planned)} runs of RAM: type 1 can hold {MAXIMUM_HEADER_RUNS}; use profile bitmap or ranges",
        )
    if dump_type in RANGES_TYPES and planned and planned[0].start == 0:
        warnings.append(
            "the dump holds page 0: kdmp-parser stops at a run that starts there"
        )  # docs/format/kernel-pages.md#run-at-pfn-0
