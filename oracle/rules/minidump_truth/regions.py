"""Judges MemoryInfoList, the list of memory regions, against truth."""

from __future__ import annotations

from ...case import Case
from ...model import Grade, Level, Source
from ...rule import Checks, own, rule
from ..asserts import by_field, left_to_writer, same, same_keys, stream_span


@rule(
    "TRUE-REGION-001",
    "MemoryInfoList has an entry for each region of the address space",
    Level.MUST,
    Source("docs/format/minidump-memory.md#walk-of-the-address-space", Grade.WITNESSED, versions=("15063", "29507")),
    needs=("memory_info",),
    applies=own,
)
def region_rows(case: Case) -> Checks:
    """The list is a whole VirtualQuery walk, with free and reserved regions. It shows what a wild address points at."""
    assert case.truth is not None
    found = by_field(case.dump.memory_infos, "BaseAddress")
    yield from same_keys("region", found, [region.base for region in case.truth.regions], stream_span(case, 16))


@rule(
    "TRUE-REGION-002",
    "Each region has its size, state, protection and type",
    Level.MUST,
    Source("docs/format/minidump-memory.md#memory-info-list", Grade.DOCUMENTED),
    needs=("memory_info",),
    applies=own,
)
def region_fields(case: Case) -> Checks:
    """The values are those of VirtualQuery, guard bit included. Writers leave any bytes in the padding."""
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
        left_to_writer(case, record, ("__alignment1", "__alignment2"), "padding (docs/format/minidump-memory.md)")
