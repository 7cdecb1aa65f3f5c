"""Full memory, pages that cannot be read, and the flags that take memory away again."""

from __future__ import annotations

from dataclasses import replace

import pytest
from dumptruth.emu.constants import MinidumpType, StreamType
from dumptruth.emu.plan.ranges import intersect, merge, subtract
from dumptruth.emu.request import DumpRefused
from dumptruth.emu.snapshot.process import MemoryRun, ProcessSnapshot
from dumptruth.emu.synthetic.flag_process import PLACES

from .flag_ranges import (
    ARCHITECTURES,
    CODE_SEGMENTS,
    DATA,
    DATA_SEGMENTS,
    FILTER_TRIAGE,
    FULL_MEMORY,
    IGNORE,
    INDIRECT_MEMORY,
    MODULE_HEADERS,
    NO_IGNORE,
    NO_OPTIONAL_DATA,
    PRIVATE_READ_WRITE,
    PROCESS_THREAD_DATA,
    READABLE,
    SCAN,
    TARGETS,
    TEXT,
    of,
    plan,
    ranges,
    readable,
)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_full_memory_is_all_that_can_be_read_one_range_a_region(architecture: str) -> None:
    target = READABLE[architecture]
    made = plan(target, FULL_MEMORY)
    assert merge(ranges(made)) == readable(target)
    regions = {region.base: region.end for region in target.regions}
    assert all(regions[start] == end for start, end in ranges(made))
    assert made.full_memory
    everything = plan(target, FULL_MEMORY | 0x1 | 0x8 | 0x10 | 0x80 | 0x100 | 0x1000 | 0x8000)
    assert ranges(everything) == ranges(made), "nothing is left to add"


@pytest.mark.parametrize(
    ("flags", "contract"),
    [(FULL_MEMORY | NO_IGNORE, "e29507"), (FULL_MEMORY | NO_IGNORE | SCAN, "documented"), (FULL_MEMORY, "e15063")],
)
def test_full_memory_fails_when_a_page_cannot_be_read_and_that_is_not_ignored(flags: int, contract: str) -> None:
    with pytest.raises(DumpRefused, match=r"memory 0x700002000000\.\.0x700002014000 cannot be read") as caught:
        plan(TARGETS["amd64"], flags, contract)
    assert caught.value.hresult == 0x8007001E


@pytest.mark.parametrize("flags", [FULL_MEMORY, FULL_MEMORY | IGNORE])
def test_a_region_with_a_bad_page_is_dropped_whole_and_a_range_of_size_0_stays(flags: int) -> None:
    at, target = PLACES[8], TARGETS["amd64"]
    made = plan(target, flags)
    assert subtract(readable(target), ranges(made)) == [
        *of(at.torn, (0, 0x5000), (0x6000, 0xE000)),
        *of(at.mapped, (0, 0x1000), (0x2000, 0x3000)),
    ]
    assert [planned.start for planned in made.ranges if not planned.size] == [at.torn, at.mapped]


def test_scanning_keeps_the_head_of_a_region_and_the_range_of_size_0_follows() -> None:
    at, target = PLACES[8], TARGETS["amd64"]
    made = plan(target, FULL_MEMORY | SCAN)
    assert subtract(readable(target), ranges(made)) == [
        *of(at.torn, (0x6000, 0xE000)),
        *of(at.mapped, (0x2000, 0x3000)),
    ]
    assert [planned.start for planned in made.ranges if not planned.size] == [at.torn + 0x5000, at.mapped + 0x1000]
    assert [planned.start for planned in made.ranges] == sorted(planned.start for planned in made.ranges)


@pytest.mark.parametrize(
    "flags", [0, DATA_SEGMENTS, CODE_SEGMENTS, MODULE_HEADERS, PROCESS_THREAD_DATA, INDIRECT_MEMORY, PRIVATE_READ_WRITE]
)
@pytest.mark.parametrize("more", [NO_IGNORE, IGNORE, SCAN])
def test_without_full_memory_flags_about_unreadable_memory_change_no_range(flags: int, more: int) -> None:
    target = TARGETS["amd64"]
    assert ranges(plan(target, flags | more)) == ranges(plan(target, flags))


@pytest.mark.parametrize(("flag", "rva"), [(DATA_SEGMENTS, DATA), (CODE_SEGMENTS, TEXT)])
def test_a_page_that_cannot_be_read_ends_its_section(flag: int, rva: int) -> None:
    target = TARGETS["amd64"]
    page = target.modules[1].base + rva + 0x1000
    torn = replace(target, memory=_punched(target, page), unreadable=((page, 0x1000),))
    around = [(page - 0x1000, page + 0x1000)]
    assert intersect(ranges(plan(torn, flag)), around) == [(page - 0x1000, page)]


def _punched(target: ProcessSnapshot, page: int) -> tuple[MemoryRun, ...]:
    """The memory with one page missing."""
    left = []
    for run in target.memory:
        for start, end in subtract([(run.start, run.end)], [(page, page + 0x1000)]):
            left.append(MemoryRun(start, bytes(run.data)[start - run.start : end - run.start]))
    return tuple(left)


@pytest.mark.parametrize("flag", [FULL_MEMORY, INDIRECT_MEMORY, PRIVATE_READ_WRITE])
def test_no_optional_data_cancels_memory_and_the_bits_in_the_header(flag: int) -> None:
    target = TARGETS["amd64"]
    made = plan(target, flag | NO_OPTIONAL_DATA)
    assert ranges(made) == ranges(plan(target))
    ignored = MinidumpType.MiniDumpIgnoreInaccessibleMemory if flag == FULL_MEMORY else 0
    assert made.flags == plan(target).flags | MinidumpType.MiniDumpWithoutOptionalData | ignored
    assert made.has(StreamType.MemoryListStream)
    assert not made.full_memory


def test_no_optional_data_leaves_peb_tebs_and_tls_vectors_of_process_thread_data() -> None:
    at, target = PLACES[8], TARGETS["amd64"]
    made = plan(target, PROCESS_THREAD_DATA | NO_OPTIONAL_DATA)
    assert subtract(ranges(made), ranges(plan(target))) == merge(
        [*of(at.peb, (0, 0x7D0), (0x1000, 0x8000)), *of(at.tls_vector, (0, 8), (0x40, 8), (0x80, 8))]
    )
    assert made.flags == 0x40500


def test_filter_triage_leaves_peb_and_tebs_of_process_thread_data() -> None:
    at, target = PLACES[8], TARGETS["amd64"]
    made = plan(target, PROCESS_THREAD_DATA | FILTER_TRIAGE)
    assert subtract(ranges(made), ranges(plan(target, FILTER_TRIAGE))) == of(at.peb, (0, 0x7D0), (0x1000, 0x8000))


def test_no_optional_data_leaves_segments_headers_and_streams() -> None:
    target = TARGETS["amd64"]
    flags = DATA_SEGMENTS | CODE_SEGMENTS | MODULE_HEADERS | 0x2 | 0x4 | 0x400 | 0x800
    made, plain = plan(target, flags | NO_OPTIONAL_DATA), plan(target, flags)
    assert ranges(made) == ranges(plain)
    assert made.streams == plain.streams
