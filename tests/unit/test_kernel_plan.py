"""The plan of a kernel dump: DumpType, pages, and refusals with their HRESULTs."""

from __future__ import annotations

import struct
from dataclasses import replace

import pytest
from dumptruth.emu.constants import FormatFlag, Hresult, Qualifier
from dumptruth.emu.plan.kernel import KernelPlan, plan_kernel
from dumptruth.emu.plan.kernel_memory import PhysicalMemory, VirtualMemory
from dumptruth.emu.request import DumpRefused, KernelProfile, Request
from dumptruth.emu.snapshot.kernel import KernelSnapshot
from dumptruth.emu.synthetic.kernel import (
    DRIVER_BASE,
    KERNEL_BASE,
    KUSER_KERNEL,
    KUSER_USER,
    USER_BASE,
    bare_machine,
    synthetic_machine,
)

SMALL, DEFAULT, FULL, ACTIVE = (
    Qualifier.DEBUG_DUMP_SMALL, Qualifier.DEBUG_DUMP_DEFAULT, Qualifier.DEBUG_DUMP_FULL, Qualifier.DEBUG_DUMP_ACTIVE,
)  # fmt: skip


def plan(
    machine: KernelSnapshot, qualifier: int, profile: str = KernelProfile.PORTABLE, flags: int = 0,
    comment: str | None = None,
) -> KernelPlan:  # fmt: skip
    return plan_kernel(machine, Request(qualifier, flags, comment, profile))


def frames(planned: KernelPlan) -> set[int]:
    return {frame for item in planned.pages for frame in range(item.start, item.end)}


def ram(machine: KernelSnapshot) -> set[int]:
    return {frame for base, count in machine.physical_runs for frame in range(base, base + count)}


def listed(runs: tuple[tuple[int, int], ...]) -> set[int]:
    return {frame for base, count in runs for frame in range(base, base + count)}


def mapped(machine: KernelSnapshot, root: int, first: int, last: int) -> tuple[set[int], set[int]]:
    """(tables, leaves) of a range of root entries, from a walk of each entry. The self-map is left out."""
    tables, leaves = {root >> 12}, set()

    def walk(table: int, level: int, entries: range) -> None:
        page = machine.page(table >> 12)
        assert page is not None
        for index in entries:
            entry = struct.unpack_from("<Q", page, 8 * index)[0]
            target = entry & 0x000FFFFFFFFFF000
            if not entry & 1 or (level == 4 and target == root):
                continue
            if level == 1:
                leaves.add(target >> 12)
            elif level == 2 and entry & 0x80:
                leaves.update(range(target >> 12, (target >> 12) + 512))
            else:
                tables.add(target >> 12)
                walk(target, level - 1, range(512))

    walk(root, 4, range(first, last))
    return tables, leaves


@pytest.fixture(scope="module")
def machine() -> KernelSnapshot:
    return synthetic_machine()


@pytest.mark.parametrize(
    ("profile", "full", "default", "active"),
    [("portable", 1, 6, 6), ("classic", 1, 2, 6), ("bitmap", 5, 6, 6), ("ranges", 10, 8, 9), ("header", 3, 3, 3)],
)
def test_profiles_choose_the_type_on_disk(
    machine: KernelSnapshot, profile: str, full: int, default: int, active: int
) -> None:
    types = [plan(machine, qualifier, profile).dump_type for qualifier in (FULL, DEFAULT, ACTIVE, SMALL)]
    assert types == [full, default, active, 3 if profile == "header" else 4]


def test_a_complete_dump_has_every_page_of_ram_once(machine: KernelSnapshot) -> None:
    planned = plan(machine, FULL)
    assert frames(planned) == ram(machine)
    assert planned.page_count == len(ram(machine))
    assert [(item.start, item.count) for item in planned.pages] == list(machine.physical_runs)


def test_a_kernel_dump_has_the_kernel_half_and_its_tables_and_nothing_else(machine: KernelSnapshot) -> None:
    tables, leaves = mapped(machine, machine.system_directory_table_base, 256, 512)
    planned = plan(machine, DEFAULT)
    assert frames(planned) == tables | leaves
    user = mapped(machine, machine.processes[1].directory_table_base, 0, 256)[1] - leaves
    assert user
    assert not frames(planned) & (user | listed(machine.free_pages) | listed(machine.standby_pages))


def test_a_page_that_both_halves_map_counts_as_the_kernels(machine: KernelSnapshot) -> None:
    physical = PhysicalMemory(machine)
    kernel = VirtualMemory(physical, machine.system_directory_table_base).translate(KUSER_KERNEL)
    user = VirtualMemory(physical, machine.processes[1].directory_table_base).translate(KUSER_USER)
    assert kernel is not None
    assert kernel == user
    assert kernel >> 12 in frames(plan(machine, DEFAULT))


def test_a_crash_in_a_user_process_adds_that_process_tables_but_not_its_pages() -> None:
    machine = synthetic_machine(in_user_process=True, processes=3)
    root = machine.directory_table_base
    assert root == machine.processes[1].directory_table_base
    kernel_tables, kernel_leaves = mapped(machine, machine.system_directory_table_base, 256, 512)
    own_tables, own_pages = mapped(machine, root, 0, 256)
    found = frames(plan(machine, DEFAULT))
    assert found == kernel_tables | kernel_leaves | own_tables
    assert not found & (own_pages - kernel_leaves)


def test_an_active_dump_adds_what_every_process_maps(machine: KernelSnapshot) -> None:
    expected = frames(plan(machine, DEFAULT))
    for process in machine.processes:
        tables, leaves = mapped(machine, process.directory_table_base, 0, 256)
        expected |= tables | leaves
    found = frames(plan(machine, ACTIVE))
    assert found == expected
    assert not found & (listed(machine.free_pages) | listed(machine.standby_pages))


def test_pages_that_callbacks_add_are_there_when_they_are_ram(machine: KernelSnapshot) -> None:
    free = machine.free_pages[0][0]
    added = replace(machine, added_pages=((free, 2), (0xA0, 4)))
    planned = plan(added, DEFAULT)
    assert frames(planned) - frames(plan(machine, DEFAULT)) == {free, free + 1}
    assert any("not RAM" in warning for warning in planned.warnings)
    assert any("added by a callback" in reason for item in planned.pages for reason in item.reasons)


def test_every_run_of_pages_says_why_it_is_there(machine: KernelSnapshot) -> None:
    for qualifier in (FULL, DEFAULT, ACTIVE):
        assert all(item.reasons and item.count > 0 for item in plan(machine, qualifier).pages)


def test_a_page_that_cannot_be_read_stops_the_dumps_that_need_it(machine: KernelSnapshot) -> None:
    unreadable = replace(machine, unreadable_pages=((machine.free_pages[0][0], 1),))
    with pytest.raises(DumpRefused, match="cannot be read") as refused:
        plan(unreadable, FULL)
    assert refused.value.hresult == Hresult.ERROR_PARTIAL_COPY
    assert frames(plan(unreadable, DEFAULT)) == frames(plan(machine, DEFAULT))


@pytest.mark.parametrize("count", [1, 42])
def test_as_many_runs_as_the_header_holds_make_a_complete_dump(count: int) -> None:
    machine = bare_machine([(index * 2, 1) for index in range(count)])
    assert len(plan(machine, FULL).pages) == count


def test_a_43rd_run_is_refused_in_type_1_and_nowhere_else() -> None:
    machine = bare_machine([(index * 2, 1) for index in range(1, 44)])
    with pytest.raises(DumpRefused, match="profile bitmap or ranges") as refused:
        plan(machine, FULL)
    assert refused.value.hresult == Hresult.E_FAIL
    for profile in (KernelProfile.BITMAP, KernelProfile.RANGES):
        assert plan(machine, FULL, profile).page_count == 43


@pytest.mark.parametrize(("pages", "bits"), [(1, 64), (63, 64), (64, 64), (65, 128)])
def test_a_bitmap_covers_ram_in_whole_words_of_64(pages: int, bits: int) -> None:
    assert plan(bare_machine([(0, pages)]), FULL, KernelProfile.BITMAP).bitmap_bits == bits


def test_ram_beyond_a_bitmap_is_refused() -> None:
    with pytest.raises(DumpRefused, match="more bits"):
        plan(bare_machine([(1, 1), (1 << 31, 1)]), FULL, KernelProfile.BITMAP)


def test_page_zero_in_a_run_list_is_warned_about() -> None:
    machine = bare_machine([(0, 4)])
    assert any("page 0" in warning for warning in plan(machine, FULL, KernelProfile.RANGES).warnings)
    assert plan(machine, FULL, KernelProfile.BITMAP).warnings == ()


@pytest.mark.parametrize(
    "flag", [flag for flag in FormatFlag if 0 < flag < 0x1000_0000] + [FormatFlag(1 << 25)], ids=hex
)
def test_user_mode_format_flags_are_refused(machine: KernelSnapshot, flag: int) -> None:
    with pytest.raises(DumpRefused, match="not for a kernel-mode target") as refused:
        plan(machine, FULL, flags=flag)
    assert refused.value.hresult == Hresult.E_INVALIDARG


def test_the_bit_with_two_names_has_no_effect_alone_as_in_both_engines(machine: KernelSnapshot) -> None:
    alone = plan(machine, FULL, flags=FormatFlag.DEBUG_FORMAT_CAB_SECONDARY_ALL_IMAGES)
    assert alone.pages == plan(machine, FULL).pages
    assert "no effect" in alone.warnings[0]


def test_flags_for_files_and_cabinets_are_accepted(machine: KernelSnapshot) -> None:
    assert plan(machine, FULL, flags=FormatFlag.DEBUG_FORMAT_NO_OVERWRITE).warnings == ()
    assert plan(machine, FULL, flags=FormatFlag.DEBUG_FORMAT_CAB_SECONDARY_FILES).warnings
    cab = FormatFlag.DEBUG_FORMAT_WRITE_CAB | FormatFlag.DEBUG_FORMAT_CAB_SECONDARY_FILES
    assert plan(machine, FULL, flags=cab | FormatFlag.DEBUG_FORMAT_CAB_SECONDARY_ALL_IMAGES).warnings == ()


@pytest.mark.parametrize("qualifier", [0, 1023, 1027, 1028, 1029, 1 << 40])
def test_other_qualifiers_are_refused(machine: KernelSnapshot, qualifier: int) -> None:
    with pytest.raises(DumpRefused, match="Qualifier") as refused:
        plan(machine, qualifier)
    assert refused.value.hresult == Hresult.E_INVALIDARG


def test_profiles_of_user_mode_are_refused(machine: KernelSnapshot) -> None:
    with pytest.raises(DumpRefused, match="portable, classic, bitmap, ranges, header") as refused:
        plan(machine, FULL, "modern")
    assert refused.value.hresult == Hresult.E_INVALIDARG


def test_comments_are_ansi_and_fit_the_header(machine: KernelSnapshot) -> None:
    assert plan(machine, FULL, comment="naïve €").comment == b"na\xefve \x80"
    assert plan(machine, FULL, comment="x" * 127).warnings == ()
    cut = plan(machine, FULL, comment="x" * 128)
    assert (cut.comment, len(cut.warnings)) == (b"x" * 127, 1)
    strange = plan(machine, FULL, comment="日本")
    assert (strange.comment, len(strange.warnings)) == (b"??", 1)
    with pytest.raises(DumpRefused, match="NUL"):
        plan(machine, FULL, comment="a\0b")


def test_virtual_memory_reads_small_and_large_pages_across_borders(machine: KernelSnapshot) -> None:
    memory = VirtualMemory(PhysicalMemory(machine), machine.system_directory_table_base)
    assert memory.read(KERNEL_BASE, 2) == b"MZ"
    assert memory.read(DRIVER_BASE, 2) == b"MZ"
    assert memory.read(DRIVER_BASE + 0x80, 4) == b"PE\0\0"
    assert memory.read(DRIVER_BASE + 0xFFE, 4) == bytes(4)
    assert memory.read(DRIVER_BASE + 0x3FFE, 4) is None
    assert memory.readable(DRIVER_BASE + 0x3800, 0x1000) == [(DRIVER_BASE + 0x3800, DRIVER_BASE + 0x4000)]
    assert memory.read(USER_BASE, 1) is None
    assert memory.read(DRIVER_BASE & 0x0000FFFFFFFFFFFF, 2) is None  # not canonical
    assert memory.self_map() == 0x1ED


def test_tables_that_lead_in_circles_or_out_of_ram_end_the_walk() -> None:
    table = bytearray(4096)
    struct.pack_into("<3Q", table, 8 * 256, 0x5003, 0x3003, 0x0000_FFFF_FFFF_F003)  # itself, another, none
    other = struct.pack("<512Q", *([0x5003, 0x3003] * 256))
    machine = bare_machine([(3, 6)], {5: bytes(table), 3: other}, root=5)
    planned = plan(machine, DEFAULT)
    assert frames(planned) <= ram(machine)
    assert {3, 5} <= frames(planned)
