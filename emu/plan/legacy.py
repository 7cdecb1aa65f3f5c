"""What a legacy full user-mode dump holds: every accessible region (spec user-mode 2.6)."""

from __future__ import annotations

from dataclasses import dataclass

from ..constants import MEM_COMMIT, Hresult, Qualifier, readable_protection
from ..request import DumpRefused, Profile, Request
from ..snapshot.process import ProcessSnapshot, Region
from .flags import checked_flags
from .reading import Reading


@dataclass(frozen=True, slots=True)
class LegacyPlan:
    """A USERDUMP file, decided. ``regions``: the VirtualQuery rows whose bytes the file holds, by address."""

    regions: tuple[Region, ...]
    warnings: tuple[str, ...]


def is_legacy(request: Request) -> bool:
    """Whether the request is for a USERDUMP file and not for a minidump (spec 1.4; design 11)."""
    return request.qualifier == Qualifier.DEBUG_DUMP_DEFAULT and request.profile == Profile.LEGACY


def plan_legacy(snapshot: ProcessSnapshot, request: Request) -> LegacyPlan:
    """Decide the legacy dump of a user-mode target.

    Guard pages stay out, as CRASHDUMP_VERSION_INFO.IgnoreGuardPages then says. Raises DumpRefused; with
    ERROR_PARTIAL_COPY when not all of an accessible region can be read, since the format's data has no holes.
    """
    _, warnings = checked_flags(request)
    if request.comment:  # spec 1.2
        warnings.append("the USERDUMP format has no place for a comment; it is left out")
    reading = Reading(snapshot)
    regions = tuple(
        region for region in snapshot.regions if region.state == MEM_COMMIT and readable_protection(region.protect)
    )
    for region in regions:
        if not reading.covers(region.base, region.end):
            raise DumpRefused(
                Hresult.ERROR_PARTIAL_COPY,
                f"region {region.base:#x}..{region.end:#x}: accessible, but not all of it can be read",
            )
    return LegacyPlan(regions, tuple(warnings))
