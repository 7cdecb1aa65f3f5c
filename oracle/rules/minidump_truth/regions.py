"""Against truth: MemoryInfoList, the map of the address space."""

from __future__ import annotations

from ...case import Case
from ...model import Grade, Level, Source
from ...rule import Checks, own, rule
from ..asserts import TRUTH, by_field, same, same_keys, stream_span, zero

_PAGE = Source("minidumpapiset.h MINIDUMP_MEMORY_INFO; spec user-mode 3.9", Grade.DOCUMENTED)


@rule(
    "TRUE-REGION-001",
    "MemoryInfoList has a row for each region of the address space",
    Level.MUST,
    _PAGE,
    TRUTH,
    needs=("memory_info",),
    applies=own,
)
def region_rows(case: Case) -> Checks:
    """Free and reserved regions too: the list is a whole VirtualQuery walk, and tells what a wild address points at."""
    assert case.truth is not None
    found = by_field(case.dump.memory_infos, "BaseAddress")
    yield from same_keys("region", found, [region.base for region in case.truth.regions], stream_span(case, 16))


@rule(
    "TRUE-REGION-002",
    "Each region has its size, state, protection and type",
    Level.MUST,
    _PAGE,
    TRUTH,
    needs=("memory_info",),
    applies=own,
)
def region_fields(case: Case) -> Checks:
    """Exactly what VirtualQuery says, guard bit included; padding is zero."""
    assert case.truth is not None
    found = by_field(case.dump.memory_infos, "BaseAddress")
    for region in case.truth.regions:
        record = found.get(region.base)
        if record is None:
            continue
        subject = f"region {region.base:#x}"
        expected = {
            "AllocationBase": region.allocation_base,
            "AllocationProtect": region.allocation_protect,
            "RegionSize": region.size,
            "State": region.state,
            "Protect": region.protect,
            "Type": region.type,
        }
        yield from same(record, subject, expected)
        yield from zero(record, subject, ("__alignment1", "__alignment2"), "padding")
