"""Plans a kernel dump: its DumpType, and its pages or data blocks, each with its reason."""

from __future__ import annotations

from dataclasses import dataclass

from ..constants import FormatFlag, Hresult, Qualifier
from ..request import DumpRefused, KernelProfile, Request, format_flag_names
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
from .kernel_memory import PhysicalMemory, pages
from .kernel_pages import PagePlan, select_pages
from .kernel_small import SmallPlan, plan_small
from .ranges import subtract

_Q, _P, _T = Qualifier, KernelProfile, DumpType

DUMP_TYPES = {
    _P.PORTABLE: {_Q.DEBUG_DUMP_FULL: _T.FULL, _Q.DEBUG_DUMP_DEFAULT: _T.BITMAP_KERNEL,
                  _Q.DEBUG_DUMP_ACTIVE: _T.BITMAP_KERNEL, _Q.DEBUG_DUMP_SMALL: _T.TRIAGE},
    _P.CLASSIC: {_Q.DEBUG_DUMP_FULL: _T.FULL, _Q.DEBUG_DUMP_DEFAULT: _T.SUMMARY,
                 _Q.DEBUG_DUMP_ACTIVE: _T.BITMAP_KERNEL, _Q.DEBUG_DUMP_SMALL: _T.TRIAGE},
    _P.BITMAP: {_Q.DEBUG_DUMP_FULL: _T.BITMAP_FULL, _Q.DEBUG_DUMP_DEFAULT: _T.BITMAP_KERNEL,
                _Q.DEBUG_DUMP_ACTIVE: _T.BITMAP_KERNEL, _Q.DEBUG_DUMP_SMALL: _T.TRIAGE},
    _P.RANGES: {_Q.DEBUG_DUMP_FULL: _T.COMPLETE_MEMORY, _Q.DEBUG_DUMP_DEFAULT: _T.KERNEL_MEMORY,
                _Q.DEBUG_DUMP_ACTIVE: _T.KERNEL_AND_USER_MEMORY, _Q.DEBUG_DUMP_SMALL: _T.TRIAGE},
    _P.HEADER: {_Q.DEBUG_DUMP_FULL: _T.HEADER, _Q.DEBUG_DUMP_DEFAULT: _T.HEADER,
                _Q.DEBUG_DUMP_ACTIVE: _T.HEADER, _Q.DEBUG_DUMP_SMALL: _T.HEADER},
}  # fmt: skip
"""DumpType by profile and qualifier (docs/format/kernel-kinds.md#type-for-each-kind)."""

_F = FormatFlag
_CAB_FLAGS = _F.DEBUG_FORMAT_WRITE_CAB | _F.DEBUG_FORMAT_CAB_SECONDARY_FILES | _F.DEBUG_FORMAT_CAB_SECONDARY_ALL_IMAGES


@dataclass(frozen=True, slots=True)
class KernelPlan:
    """The plan of a kernel dump. ``pages`` are sorted by frame number; ``small`` is None except for a small dump."""

    dump_type: DumpType
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
    dump_type = _dump_type(request, warnings)
    if snapshot.system.architecture != "amd64":
        raise DumpRefused(Hresult.E_NOTIMPL, f"architecture {snapshot.system.architecture}: expected amd64")
    comment = _comment(request.comment_text, warnings)
    physical = PhysicalMemory(snapshot)
    if dump_type is DumpType.TRIAGE:
        small = plan_small(snapshot, physical, warnings)
        return KernelPlan(dump_type, (), 0, small, comment, tuple(warnings))
    if dump_type is DumpType.HEADER:
        return KernelPlan(dump_type, (), 0, None, comment, tuple(warnings))
    if subtract(pages(snapshot.added_pages), physical.ram):
        warnings.append("pages that a callback added are left out: they are not RAM")
    planned = select_pages(snapshot, physical, request.qualifier)
    if not planned:
        raise DumpRefused(Hresult.E_FAIL, "the machine has no RAM")
    bits = 0
    if dump_type in BITMAP_TYPES:
        bits = _bitmap_bits(physical.ram[-1][1], warnings)
    _check_runs(dump_type, planned, warnings)
    return KernelPlan(dump_type, planned, bits, None, comment, tuple(warnings))


def _dump_type(request: Request, warnings: list[str]) -> DumpType:
    flags = request.format_flags
    foreign = flags & ~(_CAB_FLAGS | _F.DEBUG_FORMAT_NO_OVERWRITE)
    if not flags & _F.DEBUG_FORMAT_WRITE_CAB:  # without WRITE_CAB 0x10000000 is USER_SMALL_SCAN_PARTIAL_PAGES
        foreign |= flags & _F.DEBUG_FORMAT_CAB_SECONDARY_ALL_IMAGES
    if foreign or not 0 <= flags < 1 << 32:
        names = ", ".join(format_flag_names(foreign)) if 0 <= flags < 1 << 32 else f"{flags:#x}"
        raise DumpRefused(Hresult.E_INVALIDARG, f"FormatFlags: {names}: not for a kernel-mode target")
    if request.profile not in tuple(KernelProfile):
        raise DumpRefused(
            Hresult.E_INVALIDARG,
            f"profile {request.profile!r}: expected {', '.join(KernelProfile)} for a kernel-mode target",
        )
    found = DUMP_TYPES[KernelProfile(request.profile)].get(request.qualifier)  # type: ignore[call-overload]
    if found is None:
        raise DumpRefused(
            Hresult.E_INVALIDARG,
            f"Qualifier {request.qualifier_name}: a kernel-mode target needs DEBUG_DUMP_SMALL, DEBUG_DUMP_DEFAULT, "
            "DEBUG_DUMP_FULL or DEBUG_DUMP_ACTIVE",
        )
    if flags & _F.DEBUG_FORMAT_CAB_SECONDARY_FILES and not flags & _F.DEBUG_FORMAT_WRITE_CAB:
        warnings.append("DEBUG_FORMAT_CAB_SECONDARY_FILES has no effect without DEBUG_FORMAT_WRITE_CAB")
    return DumpType(found)


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


def _check_runs(dump_type: DumpType, planned: tuple[PagePlan, ...], warnings: list[str]) -> None:
    if dump_type is DumpType.FULL and len(planned) > MAXIMUM_HEADER_RUNS:
        # Merging runs would add pages that are not RAM: docs/format/kernel-kinds.md#sets-of-pages.
        raise DumpRefused(
            Hresult.E_FAIL,
            f"{len(planned)} runs of RAM: type 1 can hold {MAXIMUM_HEADER_RUNS}; use profile bitmap or ranges",
        )
    if dump_type in RANGES_TYPES and planned[0].start == 0:
        warnings.append(
            "the dump holds page 0: kdmp-parser stops at a run that starts there"
        )  # docs/format/kernel-pages.md#run-at-pfn-0
