"""The region table behaves as documented for VirtualAlloc, VirtualFree, VirtualProtect and VirtualQuery."""

from __future__ import annotations

import pytest
from dumptruth.emu.constants import (
    MEM_COMMIT,
    MEM_FREE,
    MEM_IMAGE,
    MEM_MAPPED,
    MEM_PRIVATE,
    MEM_RESERVE,
    PAGE_EXECUTE_READ,
    PAGE_GUARD,
    PAGE_NOACCESS,
    PAGE_NOCACHE,
    PAGE_READONLY,
    PAGE_READWRITE,
    PAGE_WRITECOMBINE,
    PAGE_WRITECOPY,
)
from dumptruth.emu.process.address_space import USER_END, AddressSpace
from dumptruth.emu.process.winnt import MEM_DECOMMIT, MEM_RELEASE, MEM_RESET, Status, StatusError

BASE = 0x200_0000_0000


class RecordingPages:
    def __init__(self, limit: int = 1 << 20) -> None:
        self.pages: dict[int, int] = {}
        self.limit = limit

    def commit(self, start: int, count: int, protect: int) -> None:
        if len(self.pages) + count > self.limit:
            raise StatusError(Status.COMMITMENT_LIMIT)
        for page in range(start, start + count * 0x1000, 0x1000):
            assert page not in self.pages
            self.pages[page] = protect

    def decommit(self, start: int, count: int) -> None:
        for page in range(start, start + count * 0x1000, 0x1000):
            del self.pages[page]

    def protect(self, start: int, count: int, protect: int) -> None:
        for page in range(start, start + count * 0x1000, 0x1000):
            assert page in self.pages
            self.pages[page] = protect


@pytest.fixture
def space() -> AddressSpace:
    return AddressSpace(RecordingPages())


def status_of(call: object, *arguments: int) -> Status:
    with pytest.raises(StatusError) as caught:
        call(*arguments)  # type: ignore[operator]
    return caught.value.status


def row(space: AddressSpace, address: int) -> tuple[int, ...]:
    found = space.query(address)
    return (
        found.base,
        found.size,
        found.allocation_base,
        found.allocation_protect,
        found.state,
        found.protect,
        found.type,
    )


def test_an_empty_space_is_one_free_region_to_the_end_of_user_space(space: AddressSpace) -> None:
    assert row(space, 0x1234) == (0x1000, USER_END - 0x1000, 0, 0, MEM_FREE, PAGE_NOACCESS, 0)
    assert [(r.base, r.size) for r in space.walk()] == [(0, USER_END)]
    assert status_of(space.query, USER_END) == Status.INVALID_PARAMETER


def test_reservations_without_an_address_are_64_kib_granular_and_bottom_up() -> None:
    space = AddressSpace(RecordingPages(), bottom_up=BASE)
    assert space.allocate(0, 1, MEM_RESERVE, PAGE_READWRITE) == (BASE, 0x1000)
    assert space.allocate(0, 0x11000, MEM_RESERVE, PAGE_READWRITE) == (BASE + 0x10000, 0x11000)
    assert space.allocate(0, 1, MEM_RESERVE, PAGE_READWRITE) == (BASE + 0x30000, 0x1000)
    space.free(BASE, 0, MEM_RELEASE)
    assert space.allocate(0, 1, MEM_COMMIT, PAGE_READONLY) == (BASE, 0x1000)  # commit alone reserves too


def test_a_reservation_at_an_address_rounds_its_base_down_and_its_end_up(space: AddressSpace) -> None:
    assert space.allocate(BASE + 0x1234, 0x10000, MEM_RESERVE, PAGE_READWRITE) == (BASE, 0x12000)
    assert row(space, BASE) == (BASE, 0x12000, BASE, PAGE_READWRITE, MEM_RESERVE, 0, MEM_PRIVATE)
    assert status_of(space.allocate, BASE + 0x11000, 1, MEM_RESERVE, PAGE_READWRITE) == Status.CONFLICTING_ADDRESSES
    # The rest of the 64 KiB granule is free but cannot be reserved.
    assert row(space, BASE + 0x12000)[4] == MEM_FREE
    assert status_of(space.allocate, BASE + 0x12000, 1, MEM_RESERVE, PAGE_READWRITE) == Status.CONFLICTING_ADDRESSES


def test_commit_splits_the_row_and_committing_again_changes_the_protection(space: AddressSpace) -> None:
    space.allocate(BASE, 0x8000, MEM_RESERVE, PAGE_NOACCESS)
    assert space.allocate(BASE + 0x2001, 0x1000, MEM_COMMIT, PAGE_READWRITE) == (BASE + 0x2000, 0x2000)
    assert row(space, BASE) == (BASE, 0x2000, BASE, PAGE_NOACCESS, MEM_RESERVE, 0, MEM_PRIVATE)
    assert row(space, BASE + 0x3000) == (
        BASE + 0x3000,
        0x1000,
        BASE,
        PAGE_NOACCESS,
        MEM_COMMIT,
        PAGE_READWRITE,
        MEM_PRIVATE,
    )
    assert row(space, BASE + 0x4000) == (BASE + 0x4000, 0x4000, BASE, PAGE_NOACCESS, MEM_RESERVE, 0, MEM_PRIVATE)
    space.allocate(BASE + 0x2000, 0x3000, MEM_COMMIT, PAGE_READONLY)
    assert row(space, BASE + 0x2000)[1:] == (0x3000, BASE, PAGE_NOACCESS, MEM_COMMIT, PAGE_READONLY, MEM_PRIVATE)


def test_neighbouring_allocations_are_never_merged(space: AddressSpace) -> None:
    for at in (BASE, BASE + 0x10000):
        space.allocate(at, 0x10000, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE)
    assert row(space, BASE)[:3] == (BASE, 0x10000, BASE)
    assert row(space, BASE + 0x10000)[:3] == (BASE + 0x10000, 0x10000, BASE + 0x10000)
    assert status_of(space.protect, BASE, 0x20000, PAGE_READONLY) == Status.CONFLICTING_ADDRESSES
    assert status_of(space.allocate, BASE, 0x20000, MEM_COMMIT, PAGE_READONLY) == Status.CONFLICTING_ADDRESSES


def test_protect_returns_the_old_protection_of_the_first_page_and_needs_committed_pages(space: AddressSpace) -> None:
    space.allocate(BASE, 0x4000, MEM_RESERVE, PAGE_READWRITE)
    space.allocate(BASE, 0x3000, MEM_COMMIT, PAGE_READWRITE)
    assert space.protect(BASE + 0x1FFF, 2, PAGE_READONLY) == (BASE + 0x1000, 0x2000, PAGE_READWRITE)
    assert space.protect(BASE, 0x2000, PAGE_EXECUTE_READ) == (BASE, 0x2000, PAGE_READWRITE)
    assert status_of(space.protect, BASE + 0x2000, 0x2000, PAGE_READONLY) == Status.NOT_COMMITTED
    assert status_of(space.protect, BASE + 0x100000, 1, PAGE_READONLY) == Status.CONFLICTING_ADDRESSES
    assert space.protect(BASE, 1, PAGE_READWRITE | PAGE_GUARD)[2] == PAGE_EXECUTE_READ
    assert space.protection(BASE) == PAGE_READWRITE | PAGE_GUARD


@pytest.mark.parametrize(
    "protect",
    [
        0,
        3,
        PAGE_GUARD,
        PAGE_NOACCESS | PAGE_GUARD,
        PAGE_READWRITE | PAGE_NOCACHE | PAGE_WRITECOMBINE,
        0x1000,
        PAGE_WRITECOPY,
    ],
)
def test_a_protection_that_private_memory_cannot_have_is_refused(space: AddressSpace, protect: int) -> None:
    space.allocate(BASE, 0x1000, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE)
    assert status_of(space.allocate, 0, 1, MEM_COMMIT, protect) == Status.INVALID_PAGE_PROTECTION
    assert status_of(space.protect, BASE, 1, protect) == Status.INVALID_PAGE_PROTECTION


def test_bad_arguments_have_their_own_status_codes(space: AddressSpace) -> None:
    assert status_of(space.allocate, 0, 0, MEM_COMMIT, PAGE_READWRITE) == Status.INVALID_PARAMETER_4
    assert status_of(space.allocate, 0, 1, 0, PAGE_READWRITE) == Status.INVALID_PARAMETER_5
    assert status_of(space.allocate, 0, 1, MEM_RESET | MEM_COMMIT, PAGE_READWRITE) == Status.INVALID_PARAMETER_5
    assert status_of(space.allocate, USER_END, 1, MEM_RESERVE, PAGE_READWRITE) == Status.INVALID_PARAMETER_2
    assert status_of(space.allocate, BASE, USER_END, MEM_RESERVE, PAGE_READWRITE) == Status.INVALID_PARAMETER_3
    assert status_of(space.allocate, 0x1000, 0x1000, MEM_RESERVE, PAGE_READWRITE) == Status.CONFLICTING_ADDRESSES
    assert status_of(space.free, BASE, 0, MEM_RELEASE) == Status.MEMORY_NOT_ALLOCATED
    assert status_of(space.free, BASE, 0, MEM_RELEASE | MEM_DECOMMIT) == Status.INVALID_PARAMETER_4


def test_decommit_keeps_the_reservation_and_release_needs_its_base(space: AddressSpace) -> None:
    space.allocate(BASE, 0x4000, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE)
    assert space.free(BASE + 0x1000, 0x1000, MEM_DECOMMIT) == (BASE + 0x1000, 0x1000)
    assert row(space, BASE + 0x1000)[4:6] == (MEM_RESERVE, 0)
    assert status_of(space.free, BASE + 0x1000, 0, MEM_DECOMMIT) == Status.FREE_VM_NOT_AT_BASE
    assert status_of(space.free, BASE + 0x1000, 0, MEM_RELEASE) == Status.FREE_VM_NOT_AT_BASE
    assert status_of(space.free, BASE, 0x5000, MEM_DECOMMIT) == Status.UNABLE_TO_FREE_VM
    space.free(BASE, 0, MEM_DECOMMIT)
    assert row(space, BASE) == (BASE, 0x4000, BASE, PAGE_READWRITE, MEM_RESERVE, 0, MEM_PRIVATE)
    assert space.free(BASE, 0, MEM_RELEASE) == (BASE, 0x4000)
    assert row(space, BASE)[4] == MEM_FREE


def test_a_partial_release_leaves_two_allocations(space: AddressSpace) -> None:
    space.allocate(BASE, 0x30000, MEM_RESERVE, PAGE_READWRITE)
    space.free(BASE + 0x10000, 0x10000, MEM_RELEASE)
    assert row(space, BASE)[:3] == (BASE, 0x10000, BASE)
    assert row(space, BASE + 0x10000)[4] == MEM_FREE
    assert row(space, BASE + 0x20000)[:3] == (BASE + 0x20000, 0x10000, BASE + 0x20000)


def test_views_are_neither_freed_nor_committed_but_unmapped(space: AddressSpace) -> None:
    space.insert_view(BASE, 0x3000, PAGE_READWRITE, MEM_MAPPED)
    assert status_of(space.free, BASE, 0, MEM_RELEASE) == Status.UNABLE_TO_DELETE_SECTION
    assert status_of(space.allocate, BASE, 1, MEM_COMMIT, PAGE_READWRITE) == Status.ALREADY_COMMITTED
    assert status_of(space.insert_view, BASE + 0x2000, 0x1000, PAGE_READONLY, MEM_IMAGE) == Status.CONFLICTING_ADDRESSES
    assert space.remove_view(BASE + 0x1000) == (BASE, 0x3000)
    assert status_of(space.remove_view, BASE) == Status.NOT_MAPPED_VIEW


def test_a_commit_that_finds_no_memory_changes_nothing() -> None:
    pages = RecordingPages(limit=4)
    space = AddressSpace(pages)
    space.allocate(BASE, 0x10000, MEM_RESERVE, PAGE_READWRITE)
    space.allocate(BASE + 0x2000, 0x1000, MEM_COMMIT, PAGE_READWRITE)
    before = list(space.walk())
    assert status_of(space.allocate, BASE, 0x10000, MEM_COMMIT, PAGE_READWRITE) == Status.COMMITMENT_LIMIT
    assert list(space.walk()) == before
    assert pages.pages == {BASE + 0x2000: PAGE_READWRITE}
    assert status_of(space.allocate, 0, 0x10000, MEM_COMMIT, PAGE_READWRITE) == Status.COMMITMENT_LIMIT
    assert list(space.walk()) == before
