"""The judge detects every changed byte of a kernel dump, except bytes that the reader declares as don't-care."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator

import pytest
from dumptruth.fixtures.campaign.campaign import examine
from dumptruth.fixtures.campaign.mutations import Mutation, path_of
from dumptruth.fixtures.campaign.subjects import Subject, subject
from dumptruth.fixtures.mutants.registry import BaseDump

KINDS = [
    BaseDump.KERNEL_FULL,
    BaseDump.KERNEL_SUMMARY,
    BaseDump.KERNEL_HEADER,
    BaseDump.KERNEL_SMALL_A,
    BaseDump.KERNEL_SMALL_B,
    BaseDump.KERNEL_SMALL_9600,
    BaseDump.KERNEL_DEFAULT,
    BaseDump.KERNEL_RANGES,
]
BULK = {"pages", "zero pages", "memory", "padding"}
"""Parts that one comparison covers as a whole. They get a five-hundredth of the sample of other parts."""
OPEN = {"Header.BootId", "Header.Attributes"}
"""Fields without a source in any target (docs/format/kernel-header.md#fill). The reader declares both."""
OF_THE_SESSION = {"Header.Exception.ExceptionFlags"}
"""0 over a live KD session, else the target's (docs/format/kernel-header.md#values-of-the-exception-record)."""
OPEN_IN_B = {
    *("Header.UpdateBuildRevision", "MmStorage.MmAllocatedNonPagedPool", "MmStorage.PagedPoolAllocated"),
    *("MmStorage.CommittedPages", "MmStorage.CommittedPagesPeak", "MmStorage.CommitLimitMaximum"),
}
"""Layout B: counts of the kernel that no truth holds (docs/format/kernel-small.md#memory-manager-counts). Rules declare
them."""
SAME_BYTES = "DataBlocks[].Address"
"""Changes that give bytes which the machine also has elsewhere. The test proves that for each."""


def kernel(base: BaseDump) -> Subject:
    return subject(f"pristine/{base}")


def chosen(of: Subject, share: float) -> Iterator[int]:
    """A sample of offsets, the same in every run."""
    chance = random.Random(len(of.data))
    for entry in of.layout.entries:
        wanted = entry.size * (share / 500 if entry.kind in BULK else share)
        count = min(int(wanted + chance.random()), entry.size)
        yield from (entry.offset + at for at in chance.sample(range(entry.size), count))


def flipped(of: Subject, offsets: Iterable[int], mask: int) -> Iterator[Mutation]:
    """The byte with some bits flipped."""
    for at in offsets:
        yield Mutation(f"{mask:#x} turned over", path_of(of.layout, at), at, 1, bytes([of.data[at] ^ mask]))


def unnoticed(of: Subject, offsets: list[int]) -> set[str]:
    """The fields with an undetected change; each has a reason. One bit of each byte is flipped, or all bits."""
    free = set()
    for part, mask in enumerate((0x01, 0x80, 0xFF)):
        found = examine(of, flipped(of, offsets[part::3], mask))
        assert found.survivors == []
        free |= {path for path, _ in found.excused}
    return free


def examined(base: BaseDump, share: float) -> None:
    of = kernel(base)
    allowed = OPEN | OF_THE_SESSION | (OPEN_IN_B if base is BaseDump.KERNEL_SMALL_B else set())
    assert {path for path in unnoticed(of, list(chosen(of, share))) if path != SAME_BYTES} <= allowed


@pytest.mark.parametrize("base", KINDS)
def test_a_changed_byte_is_noticed(base: BaseDump) -> None:
    examined(base, 0.003)


@pytest.mark.slow
@pytest.mark.parametrize("base", KINDS)
def test_every_changed_byte_is_noticed(base: BaseDump) -> None:
    examined(base, 1)


def test_a_change_of_any_field_of_the_main_header_is_noticed() -> None:
    of = kernel(BaseDump.KERNEL_HEADER)
    places = sorted({at for at, _ in of.layout.entry("Header").fields.values()})
    assert unnoticed(of, [place for place in places for _ in range(3)]) == OPEN | OF_THE_SESSION
