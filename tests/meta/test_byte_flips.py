"""The byte-flip law: no byte of a small dump is unexamined."""

from __future__ import annotations

import random

import pytest
from dumptruth.fixtures.flips import campaign, flip
from dumptruth.fixtures.mutants.pristine import pristine
from dumptruth.fixtures.mutants.registry import Vector

SAMPLE = 120
VERSION_HIGH_WORD = {6, 7}
"""MINIDUMP_HEADER.Version, high word: private to the writer (minidumpapiset.h; spec user-mode 3.1)."""


def test_every_header_and_directory_byte_and_a_sample_of_the_rest_is_examined() -> None:
    case = pristine(Vector.SMALL)
    head = case.layout.section("Directory").end
    offsets = [*range(head), *sorted(random.Random(1).sample(range(head, len(case.data)), SAMPLE))]
    found = flip(case, offsets)
    assert found.total == len(offsets)
    assert {survivor.offset for survivor in found.survivors} == VERSION_HIGH_WORD
    assert all(survivor.declared for survivor in found.survivors)


@pytest.mark.parametrize("mask", [0x01, 0x80])
def test_a_single_flipped_bit_of_captured_memory_is_noticed(mask: int) -> None:
    case = pristine(Vector.SMALL)
    memory = [entry for entry in case.layout.entries if entry.path.startswith("Memory[")]
    ends = [at for entry in memory for at in (entry.offset, entry.end - 1)]
    assert flip(case, ends, mask).survivors == ()


@pytest.mark.slow
@pytest.mark.parametrize("scenario", ["null-read", "dll-after-unload", "deadlock"])
def test_every_byte_of_a_small_dump_is_examined(scenario: str) -> None:
    found = campaign(scenario, Vector.SMALL)
    print(f"{scenario}: {found.total} bytes flipped, {100 * found.share:.3f} % unnoticed")
    assert found.undeclared == ()
    assert found.share < 0.01
