"""The byte-flip law for kernel dumps: a changed byte is noticed, or lies in what is declared as nobody's to judge."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
from dumptruth.fixtures.flips import flip
from dumptruth.fixtures.mutants.kernel_pristine import pristine
from dumptruth.fixtures.mutants.registry import KernelPristine, Vector

KINDS = [
    Vector.KERNEL_FULL,
    Vector.KERNEL_SUMMARY,
    Vector.KERNEL_HEADER,
    Vector.KERNEL_SMALL_A,
    Vector.KERNEL_SMALL_B,
    Vector.KERNEL_SMALL_9600,
    Vector.KERNEL_DEFAULT,
    Vector.KERNEL_RANGES,
]
BULK = {"pages", "zero pages", "memory", "padding"}
"""What one comparison judges, however much of it there is: a five-hundredth of the share of other bytes."""
OPEN = {"Header.BootId", "Header.Attributes"}
"""What nothing in a target tells (spec kernel-mode 2.2): the reader declares both."""
OPEN_IN_B = {
    *("Header.UpdateBuildRevision", "MmStorage.MmAllocatedNonPagedPool", "MmStorage.PagedPoolAllocated"),
    *("MmStorage.CommittedPages", "MmStorage.CommittedPagesPeak", "MmStorage.CommitLimitMaximum"),
}
"""Layout B: the kernel's own counts, which no truth has; rules declare them (spec kernel-mode 2.2, 3.2)."""


def chosen(case: KernelPristine, share: float) -> Iterator[int]:
    """Offsets, the same ones every time."""
    chance = random.Random(len(case.data))
    for entry in case.layout.entries:
        wanted = entry.size * (share / 500 if entry.kind in BULK else share)
        count = min(int(wanted + chance.random()), entry.size)
        yield from (entry.offset + at for at in chance.sample(range(entry.size), count))


def examine(vector: Vector, offsets: list[int]) -> None:
    """Each of the offsets is flipped, one bit of it or all."""
    case = pristine(vector)
    for part, mask in enumerate((0x01, 0x80, 0xFF)):
        found = flip(case, offsets[part::3], mask)
        # The same bytes elsewhere in the machine are no fault of a block of memory that gives their address.
        unnoticed = {item.path for item in found.undeclared if not item.path.endswith("].Address")}
        assert unnoticed == set()
        declared = {survivor.path for survivor in found.survivors if survivor.declared}
        assert declared <= OPEN | (OPEN_IN_B if vector is Vector.KERNEL_SMALL_B else set())


@pytest.mark.parametrize("vector", KINDS)
def test_a_changed_byte_is_noticed(vector: Vector) -> None:
    examine(vector, list(chosen(pristine(vector), 0.003)))


@pytest.mark.slow
@pytest.mark.parametrize("vector", KINDS)
def test_every_changed_byte_is_noticed(vector: Vector) -> None:
    examine(vector, list(chosen(pristine(vector), 1)))


def test_a_change_of_any_field_of_the_main_header_is_noticed() -> None:
    case = pristine(Vector.KERNEL_HEADER)
    found = flip(case, sorted({at for at, _ in case.layout.entry("Header").fields.values()}))
    assert {survivor.path for survivor in found.survivors} == OPEN
    assert found.undeclared == ()
