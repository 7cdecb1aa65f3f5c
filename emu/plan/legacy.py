"""Plans a legacy full user dump: every accessible region (docs/format/user-dump.md)."""

from __future__ import annotations

from dataclasses import dataclass

from ..constants import MEM_COMMIT, Hresult, Qualifier, readable_protection
from ..request import DumpRefused, Profile, Request
from ..snapshot.process import ProcessSnapshot, Region
from .flags import checked_flags
from .reading import Reading


@dataclass(frozen=True, slots=True)
class LegacyPlan:
    """The plan of a USERDUMP file. ``regions`` are the VirtualQuery rows whose bytes it holds, by address."""

    regions: tuple[Region, ...]
    warnings: tuple[str, ...]


def is_legacy(request: Request) -> bool:
    """Whether the request leads to a USERDUMP file, not to a minidump.

    docs/format/write-dump-file.md#default-in-a-user-session
    """
    return request.qualifier == Qualifier.DEBUG_DUMP_DEFAULT and request.profile == Profile.LEGACY


def plan_legacy(snapshot: ProcessSnapshot, request: Request) -> LegacyPlan:
    """Return the plan of a legacy dump.

    Guard pages are left out. Raises DumpRefused; with ERROR_PARTIAL_COPY when a part of an accessible region cannot be
    read, since the format has no holes.
    """
    _, warnings = checked_flags(request)
    if request.comment:
        warnings.append("the comment is left out: the USERDUMP format cannot store one")
    reading = Reading(snapshot)
    regions = tuple(
        region for region in snapshot.regions if region.state == MEM_COMMIT and readable_protection(region.protect)
    )
    for region in regions:
        if not reading.covers(region.base, region.end):
            raise DumpRefused(
                Hresult.ERROR_PARTIAL_COPY,
                f"region {region.base:#x}..{region.end:#x}: accessible, but a part of it cannot be read",
            )
    return LegacyPlan(regions, tuple(warnings))
