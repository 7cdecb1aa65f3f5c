"""Synthetic snapshots hold every invariant of captured ones."""

from __future__ import annotations

import struct

import pytest
from dumptruth.emu.constants import MEM_COMMIT, MEM_FREE, MEM_RESERVE, PAGE_GUARD, PAGE_NOACCESS, PAGE_READWRITE
from dumptruth.emu.snapshot.process import PAGE_SIZE, ProcessSnapshot
from dumptruth.emu.synthetic.process import Pages, address_space, amd64_context, synthetic_process

EXTRA = 0x300_0000_0000
ODD = (
    Pages(EXTRA, 0x2000, protect=PAGE_READWRITE),
    Pages(EXTRA + 0x2000, 0x1000, protect=PAGE_READWRITE | PAGE_GUARD, allocation_base=EXTRA),
    Pages(EXTRA + 0x3000, 0x1000, protect=PAGE_NOACCESS, allocation_base=EXTRA),
    Pages(EXTRA + 0x4000, 0x1000, unreadable=True, allocation_base=EXTRA),
    Pages(EXTRA + 0x5000, 0x3000, MEM_RESERVE, allocation_base=EXTRA),
)

MADE = {
    "default": synthetic_process(),
    "odd pages": synthetic_process(extra=ODD),
    "nothing": synthetic_process(threads=0, modules=0, unloaded=0, handles=0, exception=False),
    "many": synthetic_process(threads=40, modules=30, unloaded=5, handles=9),
    "no stack": synthetic_process(stack_committed=0, stack_used=0),
    "whole stack": synthetic_process(stack_committed=0x10_0000 - PAGE_SIZE, stack_used=0x8000),
}


@pytest.fixture(params=MADE.values(), ids=list(MADE))
def made(request: pytest.FixtureRequest) -> ProcessSnapshot:
    snapshot = request.param
    assert isinstance(snapshot, ProcessSnapshot)
    return snapshot


def test_the_regions_are_a_walk_of_the_whole_user_address_space(made: ProcessSnapshot) -> None:
    at = 0
    for region in made.regions:
        assert region.base == at
        assert region.size > 0
        assert region.size % PAGE_SIZE == 0
        at = region.end
    assert at == made.system.maximum_user_mode_address + 1


def test_free_and_reserved_regions_say_what_virtual_query_says_of_them(made: ProcessSnapshot) -> None:
    for region in made.regions:
        if region.state == MEM_FREE:
            assert (region.allocation_base, region.allocation_protect, region.protect, region.type) == (0, 0, 1, 0)
        elif region.state == MEM_RESERVE:
            assert region.protect == 0


def test_no_two_neighbouring_regions_could_be_one(made: ProcessSnapshot) -> None:
    for left, right in zip(made.regions, made.regions[1:], strict=False):
        assert (left.allocation_base, left.state, left.protect, left.type) != (
            right.allocation_base, right.state, right.protect, right.type,
        ), f"{left.base:#x}"  # fmt: skip


def test_memory_holds_exactly_the_pages_that_a_debugger_reads(made: ProcessSnapshot) -> None:
    broken = {page for start, size in made.unreadable for page in range(start, start + size, PAGE_SIZE)}
    readable = {
        page
        for region in made.regions
        if region.state == MEM_COMMIT and region.protect & 0xFF not in (0, PAGE_NOACCESS)
        if not region.protect & PAGE_GUARD
        for page in range(region.base, region.end, PAGE_SIZE)
    } - broken
    assert {page for run in made.memory for page in range(run.start, run.end, PAGE_SIZE)} == readable
    assert all(left.end < right.start for left, right in zip(made.memory, made.memory[1:], strict=False))


def test_each_thread_has_its_stack_and_its_teb(made: ProcessSnapshot) -> None:
    for thread in made.threads:
        rsp = thread.context["Rsp"]
        assert made.read(rsp, thread.stack_base - rsp) is not None
        teb = made.read(thread.teb, 0x68)
        assert teb is not None
        assert struct.unpack_from("<QQ", teb, 8) == (thread.stack_base, thread.stack_limit)
        assert struct.unpack_from("<Q", teb, 0x30) == (thread.teb,)
        assert struct.unpack_from("<QQ", teb, 0x40) == (made.process.process_id, thread.thread_id)


def test_each_module_is_mapped_with_headers_that_agree_with_it(made: ProcessSnapshot) -> None:
    for module in made.modules:
        headers = made.read(module.base, PAGE_SIZE)
        assert headers is not None
        assert headers[:2] == b"MZ"
        pe = struct.unpack_from("<I", headers, 0x3C)[0]
        assert headers[pe : pe + 4] == b"PE\0\0"
        assert struct.unpack_from("<I", headers, pe + 8)[0] == module.time_date_stamp
        assert struct.unpack_from("<Q", headers, pe + 24 + 24)[0] == module.base
        assert struct.unpack_from("<I", headers, pe + 24 + 56)[0] == module.size
        assert struct.unpack_from("<I", headers, pe + 24 + 64)[0] == module.checksum
        assert sum(r.size for r in made.regions if r.allocation_base == module.base) == module.size


def test_making_the_same_process_twice_gives_equal_snapshots() -> None:
    assert synthetic_process(threads=3, extra=ODD) == synthetic_process(threads=3, extra=ODD)


def test_what_cannot_be_consistent_is_refused() -> None:
    with pytest.raises(ValueError, match="overlap"):
        synthetic_process(extra=[Pages(0x7FFE0000, 0x1000)])
    with pytest.raises(ValueError, match="expected whole pages"):
        synthetic_process(extra=[Pages(EXTRA, 0x1001)])
    with pytest.raises(ValueError, match="exception_thread 2: the process has 2 threads"):
        synthetic_process(exception_thread=2)
    with pytest.raises(ValueError, match="no register Eip"):
        amd64_context(Eip=1)


def test_neighbours_that_cannot_be_read_are_one_hole() -> None:
    pages = [Pages(0x10000 + at, 0x1000, unreadable=True) for at in (0, 0x1000, 0x3000)]
    assert address_space(pages)[2] == ((0x10000, 0x2000), (0x13000, 0x1000))
