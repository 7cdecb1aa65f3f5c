"""The byte-flip law for kernel dumps: no byte of a header, and no field of a small dump, is unexamined."""

from __future__ import annotations

import random

import pytest
from dumptruth.fixtures.flips import flip
from dumptruth.fixtures.mutants.kernel_pristine import pristine
from dumptruth.fixtures.mutants.registry import KernelPristine, Vector

SAMPLE = 180
OPEN = {"Header.BootId", "Header.Attributes"}
"""What nothing in a target tells (spec kernel-mode 2.2): the reader declares both."""
OPEN_IN_SMALL = {
    *("Header.UpdateBuildRevision", "MmStorage.MmAllocatedNonPagedPool", "MmStorage.PagedPoolAllocated"),
    *("MmStorage.CommittedPages", "MmStorage.CommittedPagesPeak", "MmStorage.CommitLimitMaximum"),
}
"""Layout B: the kernel's own counts, which no truth has; rules declare them (spec kernel-mode 2.2, 3.2)."""


def fields(case: KernelPristine) -> list[int]:
    """The first byte of every field behind the main header but of the block table: another address of equal bytes is
    no fault.
    """
    entries = [item for item in case.layout.entries if item.path != "Header" and item.kind != "TRIAGE_DATA_BLOCK"]
    return sorted({entry.offset + at for entry in entries for at, _ in entry.fields.values()})


def test_every_byte_of_a_sample_of_the_main_header_is_examined() -> None:
    case = pristine(Vector.KERNEL_HEADER)
    starts = {at for at, _ in case.layout.entry("Header").fields.values()}
    sample = random.Random(1).sample(sorted(starts | set(range(len(case.data)))), SAMPLE)
    found = flip(case, sorted({*sample, *(at for at in starts if at < 0x88 or at >= 0xF00)}))
    assert {survivor.path for survivor in found.survivors} == OPEN
    assert found.undeclared == ()


@pytest.mark.slow
def test_every_byte_of_the_main_header_is_examined() -> None:
    case = pristine(Vector.KERNEL_HEADER)
    found = flip(case, range(len(case.data)))
    assert {survivor.path for survivor in found.survivors} == OPEN
    assert found.undeclared == ()


@pytest.mark.parametrize("vector", [Vector.KERNEL_SMALL_A, Vector.KERNEL_SMALL_B])
def test_every_field_of_a_small_dump_is_examined(vector: Vector) -> None:
    case = pristine(vector)
    sample = fields(case)
    found = flip(case, random.Random(2).sample(sample, min(len(sample), SAMPLE // 3)))
    assert {survivor.path for survivor in found.survivors} <= OPEN_IN_SMALL
