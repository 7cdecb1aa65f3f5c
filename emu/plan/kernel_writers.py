"""Whose kernel dump is written, and which DumpType a qualifier gives."""

from __future__ import annotations

from enum import Enum

from ..constants import FormatFlag, Hresult, Qualifier
from ..request import Contract, DumpRefused, KernelProfile, Request, format_flag_names
from .kernel_constants import RANGES_TYPES, DumpType

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
"""DumpType by profile and qualifier under the documented contract (docs/format/kernel-kinds.md#type-for-each-kind)."""

ENGINE_TYPES = {
    Contract.E15063: {_Q.DEBUG_DUMP_FULL: _T.FULL, _Q.DEBUG_DUMP_SMALL: _T.TRIAGE},
    Contract.E29507: {_Q.DEBUG_DUMP_FULL: _T.COMPLETE_MEMORY, _Q.DEBUG_DUMP_DEFAULT: _T.KERNEL_MEMORY,
                      _Q.DEBUG_DUMP_ACTIVE: _T.KERNEL_AND_USER_MEMORY, _Q.DEBUG_DUMP_SMALL: _T.TRIAGE},
}  # fmt: skip
"""DumpType by contract and qualifier. Engine 29507 writes an active dump only by ``.dump /ka``.

docs/format/kernel-kinds.md#qualifiers-in-the-engine-by-version, W15063 and W29507.
"""

_F = FormatFlag
_CAB_FLAGS = _F.DEBUG_FORMAT_WRITE_CAB | _F.DEBUG_FORMAT_CAB_SECONDARY_FILES | _F.DEBUG_FORMAT_CAB_SECONDARY_ALL_IMAGES


class KernelWriter(Enum):
    """The program that a dump is written like."""

    WINDOWS = "windows"
    """The dump code of the kernel, of the target's build."""
    E15063 = "e15063"
    """The vendor's engine 10.0.15063."""
    E29507 = "e29507"
    """The vendor's engine 10.0.29507."""

    @property
    def is_engine(self) -> bool:
        """Whether a debugger writes the dump, not the system that crashed."""
        return self is not KernelWriter.WINDOWS


def kernel_writer(contract: Contract, dump_type: DumpType) -> KernelWriter:
    """Return the writer of a type under a contract.

    Under the documented contract it is the only known writer of the type: engine 29507 for the types with runs,
    Windows for the others (docs/format/kernel-kinds.md#type-for-each-kind).
    """
    if contract is Contract.DOCUMENTED:
        return KernelWriter.E29507 if dump_type in RANGES_TYPES else KernelWriter.WINDOWS
    return KernelWriter(contract.value)


def dump_type_of(request: Request, warnings: list[str]) -> DumpType:
    """Return the DumpType that a request gives. An engine's contract ignores the profile. Raises DumpRefused."""
    flags = request.format_flags
    foreign = flags & ~(_CAB_FLAGS | _F.DEBUG_FORMAT_NO_OVERWRITE)
    if foreign or not 0 <= flags < 1 << 32:
        names = ", ".join(format_flag_names(foreign)) if 0 <= flags < 1 << 32 else f"{flags:#x}"
        raise DumpRefused(Hresult.E_INVALIDARG, f"FormatFlags: {names}: not for a kernel-mode target")
    types = ENGINE_TYPES.get(request.contract)
    if types is None:
        if request.profile not in tuple(KernelProfile):
            raise DumpRefused(
                Hresult.E_INVALIDARG,
                f"profile {request.profile!r}: expected {', '.join(KernelProfile)} for a kernel-mode target",
            )
        types = DUMP_TYPES[KernelProfile(request.profile)]
    found = types.get(request.qualifier)  # type: ignore[call-overload]
    if found is None:
        *others, last = [qualifier.name for qualifier in sorted(types)]
        raise DumpRefused(
            Hresult.E_INVALIDARG,
            f"Qualifier {request.qualifier_name}: a kernel-mode target needs {', '.join(others)} or {last}",
        )
    if flags & _F.DEBUG_FORMAT_CAB_SECONDARY_ALL_IMAGES and not flags & _F.DEBUG_FORMAT_WRITE_CAB:
        # Both engines accept the bit: docs/format/write-dump-file.md#the-bit-with-two-names.
        warnings.append("DEBUG_FORMAT_USER_SMALL_SCAN_PARTIAL_PAGES has no effect on a kernel-mode target")
    if flags & _F.DEBUG_FORMAT_CAB_SECONDARY_FILES and not flags & _F.DEBUG_FORMAT_WRITE_CAB:
        warnings.append("DEBUG_FORMAT_CAB_SECONDARY_FILES has no effect without DEBUG_FORMAT_WRITE_CAB")
    return DumpType(found)
