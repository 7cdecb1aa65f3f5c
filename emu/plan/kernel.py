"""What a kernel-mode dump holds: from a request to a type on disk and to pages or blocks, each with its reason."""

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

DUMP_TYPES = {  # design 11; spec kernel 1.3
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

_F = FormatFlag
_CAB_FLAGS = _F.DEBUG_FORMAT_WRITE_CAB | _F.DEBUG_FORMAT_CAB_SECONDARY_FILES | _F.DEBUG_FORMAT_CAB_SECONDARY_ALL_IMAGES


@dataclass(frozen=True, slots=True)
class KernelPlan:
    """A kernel dump, decided. ``pages`` by frame number; ``small`` only of a small dump."""

    dump_type: DumpType
    pages: tuple[PagePlan, ...]
    bitmap_bits: int
    """BitmapSize: a multiple of 64 beyond the highest page of RAM (spec kernel 2.6); 0 for the other types."""
    small: SmallPlan | None
    comment: bytes
    """What Comment[128] holds in front of its NUL."""
    warnings: tuple[str, ...]

    @property
    def page_count(self) -> int:
        return sum(planned.count for planned in self.pages)


def plan_kernel(snapshot: KernelSnapshot, request: Request) -> KernelPlan:
    """Decide the dump of a kernel-mode target. Raises DumpRefused, whose HRESULT says why it cannot be."""
    warnings: list[str] = []
    dump_type = _dump_type(request, warnings)
    if snapshot.system.architecture != "amd64":
        raise DumpRefused(Hresult.E_NOTIMPL, f"architecture {snapshot.system.architecture}: only amd64 is built")
    comment = _comment(request.comment_text, warnings)
    physical = PhysicalMemory(snapshot)
    if dump_type is DumpType.TRIAGE:
        small = plan_small(snapshot, physical, warnings)
        return KernelPlan(dump_type, (), 0, small, comment, tuple(warnings))
    if dump_type is DumpType.HEADER:
        return KernelPlan(dump_type, (), 0, None, comment, tuple(warnings))
    if subtract(pages(snapshot.added_pages), physical.ram):
        warnings.append("a callback added pages that are no RAM; they are left out")
    planned = select_pages(snapshot, physical, request.qualifier)
    if not planned:
        raise DumpRefused(Hresult.E_FAIL, "the machine has no RAM to dump")
    bits = 0
    if dump_type in BITMAP_TYPES:
        bits = _bitmap_bits(physical.ram[-1][1], warnings)
    _check_runs(dump_type, planned, warnings)
    return KernelPlan(dump_type, planned, bits, None, comment, tuple(warnings))


def _dump_type(request: Request, warnings: list[str]) -> DumpType:
    flags = request.format_flags
    foreign = flags & ~(_CAB_FLAGS | _F.DEBUG_FORMAT_NO_OVERWRITE)
    if not flags & _F.DEBUG_FORMAT_WRITE_CAB:  # without it the bit is USER_SMALL_SCAN_PARTIAL_PAGES
        foreign |= flags & _F.DEBUG_FORMAT_CAB_SECONDARY_ALL_IMAGES
    if foreign or not 0 <= flags < 1 << 32:
        names = ", ".join(format_flag_names(foreign)) if 0 <= flags < 1 << 32 else f"{flags:#x}"
        raise DumpRefused(Hresult.E_INVALIDARG, f"FormatFlags: {names}: not for a kernel-mode target")  # spec 1.4
    if request.profile not in tuple(KernelProfile):
        raise DumpRefused(
            Hresult.E_INVALIDARG,
            f"profile {request.profile!r}: a kernel-mode target takes {', '.join(KernelProfile)}",
        )
    found = DUMP_TYPES[KernelProfile(request.profile)].get(request.qualifier)  # type: ignore[call-overload]
    if found is None:
        raise DumpRefused(
            Hresult.E_INVALIDARG,
            f"Qualifier {request.qualifier_name}: a kernel-mode target writes DEBUG_DUMP_SMALL, DEBUG_DUMP_DEFAULT, "
            "DEBUG_DUMP_FULL and DEBUG_DUMP_ACTIVE",
        )
    if flags & _F.DEBUG_FORMAT_CAB_SECONDARY_FILES and not flags & _F.DEBUG_FORMAT_WRITE_CAB:
        warnings.append("DEBUG_FORMAT_CAB_SECONDARY_FILES has no effect without DEBUG_FORMAT_WRITE_CAB")
    return DumpType(found)


def _comment(text: str | None, warnings: list[str]) -> bytes:
    """Comment[128] is ANSI (spec kernel 1.4): code page 1252 here, cut to 127 characters."""
    if not text:
        return b""
    if "\0" in text:
        raise DumpRefused(Hresult.E_INVALIDARG, "Comment: a NUL ends the string, none may lie inside")
    ansi = text.encode("cp1252", "replace")
    if ansi.decode("cp1252", "replace") != text:
        warnings.append("the comment has characters that ANSI does not; they became question marks")
    if len(ansi) >= COMMENT_SIZE:
        warnings.append(f"the comment was cut to {COMMENT_SIZE - 1} characters")
    return ansi[: COMMENT_SIZE - 1]


def _bitmap_bits(ram_end: int, warnings: list[str]) -> int:
    bits = -(-ram_end // 64) * 64
    if bits > MAXIMUM_BITMAP_BITS:
        raise DumpRefused(
            Hresult.E_FAIL, f"RAM up to page {ram_end:#x}: more bits than a bitmap holds; use profile ranges"
        )
    if 0x2038 + bits // 8 > MAXIMUM_FIRST_PAGE:
        warnings.append("the bitmap is so long that LeechCore refuses the dump")  # spec kernel 7.2
    return bits


def _check_runs(dump_type: DumpType, planned: tuple[PagePlan, ...], warnings: list[str]) -> None:
    if dump_type is DumpType.FULL and len(planned) > MAXIMUM_HEADER_RUNS:
        # Merging runs would add pages that are no RAM, which C1 forbids (spec kernel 2.4, 6.3).
        raise DumpRefused(
            Hresult.E_FAIL,
            f"{len(planned)} runs of RAM: type 1 holds {MAXIMUM_HEADER_RUNS}; use profile bitmap or ranges",
        )
    if dump_type in RANGES_TYPES and planned[0].start == 0:
        warnings.append("page 0 is in the dump: kdmp-parser stops at a run that starts there")  # spec kernel 2.7
