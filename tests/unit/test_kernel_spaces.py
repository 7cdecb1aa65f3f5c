"""Address spaces of the kernel-mode machine: kernel half, user halves, images, and their frames."""

from __future__ import annotations

from dataclasses import replace

import pytest
from dumptruth.emu.image import ImageError
from dumptruth.emu.kernel.boot_block import KUSER_KERNEL, KUSER_USER, PageState, Program
from dumptruth.emu.kernel.images import LoadedImage, bind_image, map_image
from dumptruth.emu.kernel.page_states import Frames, database_pages, frames_in_use
from dumptruth.emu.kernel.physical_memory import PhysicalMemory, memory_map
from dumptruth.emu.kernel.system_space import (
    KERNEL_IMAGES,
    NON_PAGED_POOL_SEAM,
    PAGED_POOL,
    ProcessorArea,
    SystemSpace,
    pte_address,
)
from dumptruth.emu.kernel.user_space import (
    PRIVATE_MEMORY,
    STACKS,
    TEBS,
    ProcessPlan,
    ProgramImage,
    create_process,
    private_page,
)
from dumptruth.emu.machine.paging import PageTables
from dumptruth.emu.process.library import SYSTEM_IMAGES, load_file
from dumptruth.emu.process.system import BOOT_TIME

GIB = 1 << 30
PROGRAM_IMAGE = 0x140000000


def new_space(ram: int = 16 << 20) -> SystemSpace:
    return SystemSpace(PhysicalMemory(memory_map(ram), first=0x100 if ram < 4 << 20 else 0x2A0))


def image(name: str, base: int) -> LoadedImage:
    return LoadedImage(load_file(SYSTEM_IMAGES / name), base, rf"\SystemRoot\System32\{name}")


PLAN = ProcessPlan("app.exe", 0x9D8, 4, (Program.CALL_DRIVER, Program.IDLE), private_pages=3, transition_pages=2)


def two_processes(space: SystemSpace) -> tuple[PageTables, PageTables]:
    program = ProgramImage(space, image("crash.exe", PROGRAM_IMAGE))
    first = create_process(space, PLAN, program, BOOT_TIME)
    second = create_process(space, replace(PLAN, process_id=0x9DC), program, BOOT_TIME)
    space.close()
    for process in (first, second):
        space.share_with(process.root)
    return PageTables(space.memory, first.root), PageTables(space.memory, second.root)


def test_the_self_map_shows_every_entry_at_its_address() -> None:
    space = new_space()
    for va in (KUSER_KERNEL, PAGED_POOL, KERNEL_IMAGES):
        if va != KUSER_KERNEL:
            space.map_new(va, 1)
        page, entry = space.tables.translate(va), space.tables.translate(pte_address(va))
        assert page is not None
        assert entry is not None
        assert space.memory.read_u64(entry.pa) & 0xFFFFFFFFFF000 == page.pa
        assert not entry.user


@pytest.mark.parametrize(
    ("ram", "low", "high"), [(1 << 20, 0x30, 0xA0), (16 << 20, 0x150, 0x2A0), (8 * GIB, 0x150, 0x2A0)]
)
def test_roots_are_where_a_scan_for_the_self_map_looks(ram: int, low: int, high: int) -> None:
    space = new_space(ram)
    assert all(low <= root >> 12 < high for root in (space.tables.root, space.new_root().root))


def test_a_stack_has_an_unmapped_page_below_it() -> None:
    space = new_space()
    area = ProcessorArea(space, 2)
    stacks = area.stacks()
    assert {(base - limit) for limit, base in stacks} == {0x6000, 0x2000}
    for limit, base in stacks:
        assert space.tables.translate(limit - 1) is None
        assert space.tables.translate(limit) is not None
        assert space.tables.translate(base - 1) is not None
    assert ProcessorArea(space, 1).nmi_stack <= area.area


def test_large_pages_are_mapped_as_such() -> None:
    space = new_space()
    space.map_new_large(NON_PAGED_POOL_SEAM, 1)
    page = space.tables.translate(NON_PAGED_POOL_SEAM + 0x12345)
    assert page is not None
    assert (page.size, page.execute, page.user, page.write) == (2 << 20, False, False, True)


def test_every_process_has_the_kernel_half_and_its_own_self_map() -> None:
    space = new_space()
    space.map_new(PAGED_POOL, 2)
    for tables in two_processes(space):
        assert tables.translate(PAGED_POOL + 0x1008) == space.tables.translate(PAGED_POOL + 0x1008)
        shown = tables.translate(pte_address(pte_address(pte_address(pte_address(0xFFFF << 48)))))
        assert shown is not None
        assert shown.pa & -0x1000 == tables.root
        assert space.tables.translate(PROGRAM_IMAGE) is None
        assert all(not piece.user for piece in [tables.translate(PAGED_POOL), tables.translate(KUSER_KERNEL)] if piece)


def test_shared_user_data_is_one_page_that_users_may_only_read() -> None:
    space = new_space()
    for tables in two_processes(space):
        kernel, user = tables.translate(KUSER_KERNEL), tables.translate(KUSER_USER)
        assert kernel is not None
        assert user is not None
        assert kernel.pa == user.pa
        assert (kernel.write, kernel.user, user.write, user.user, user.execute) == (True, False, False, True, False)


def test_processes_share_what_of_a_program_is_read_only_and_nothing_else() -> None:
    space = new_space()
    first, second = two_processes(space)
    loaded = image("crash.exe", PROGRAM_IMAGE)
    for section in loaded.image.sections:
        va = PROGRAM_IMAGE + section.virtual_address
        one, other = first.translate(va), second.translate(va)
        assert one is not None
        assert other is not None
        assert (one.pa == other.pa) == (not section.characteristics & 0x80000000)
        assert one.user
        assert first.read(va, section.virtual_size) == second.read(va, section.virtual_size)
    assert first.read(PROGRAM_IMAGE, 2) == b"MZ"
    assert first.read(PRIVATE_MEMORY + 0x2000, 0x1000) == private_page(0x9D8, 2)
    assert second.read(PRIVATE_MEMORY + 0x2000, 0x1000) == private_page(0x9DC, 2)
    assert int.from_bytes(first.read(TEBS + 0x2000 + 0x30, 8), "little") == TEBS + 0x2000
    assert first.translate(STACKS + 0x20000 - 1) is not None
    assert first.translate(STACKS + 0x10000) is None


def test_a_trimmed_page_is_in_transition_with_its_frame_and_contents() -> None:
    space = new_space()
    program = ProgramImage(space, image("crash.exe", PROGRAM_IMAGE))
    process = create_process(space, PLAN, program, BOOT_TIME)
    (part,) = process.transition
    assert (part.count, part.state) == (2, PageState.STANDBY)
    tables = PageTables(space.memory, process.root)
    for number in range(2):
        va = PRIVATE_MEMORY + (3 + number) * 0x1000
        assert tables.translate(va) is None
        entry = tables.translate(pte_address(va))
        assert entry is not None
        value = space.memory.read_u64(entry.pa)
        assert (value & 1, value >> 10 & 3, value >> 12 & (1 << 36) - 1) == (0, 2, part.base + number)
        assert part.pte + 8 * number == pte_address(va)
        assert space.memory.read((part.base + number) * 0x1000, 0x1000) == private_page(0x9D8, 3 + number)


def test_user_pages_come_from_above_4_gib_where_there_is_such_memory() -> None:
    for ram, high in ((16 << 20, False), (8 * GIB, True)):
        first, _ = two_processes(new_space(ram))
        page = first.translate(PRIVATE_MEMORY)
        assert page is not None
        assert (page.pa >= 4 * GIB) == high


def test_every_frame_in_use_is_found_once_with_the_address_of_its_entry() -> None:
    space = new_space()
    space.map_new_large(NON_PAGED_POOL_SEAM, 1)
    first, second = two_processes(space)
    frames = frames_in_use(space.memory, [space.tables.root, first.root, second.root])
    pages = [part.base + number for part in frames for number in range(part.count)]
    assert len(pages) == len(set(pages))
    free = {page for base, count in space.memory.free_runs() for page in range(base, base + count)}
    used = {page for base, count in space.memory.runs for page in range(base, base + count)} - free
    transition = 4  # of the two processes: no table maps them
    assert len(used) == len(pages) + transition
    assert set(pages) <= used
    for part in frames:
        shown = [tables for tables in (space.tables, first, second) if tables.translate(part.pte)]
        assert part.count == 512 or any(
            space.memory.read_u64(entry.pa) >> 12 & (1 << 36) - 1 == part.base
            for entry in (tables.translate(part.pte) for tables in shown)
            if entry
        )


def test_the_pages_of_the_pfn_database_that_hold_an_entry_are_known() -> None:
    part = Frames(84, 3, 0, PageState.FREE)  # entries at 0xFC0, 0xFF0 and 0x1020
    assert database_pages([part]) == [0, 1]
    assert database_pages([Frames(0x100000, 1, 0, PageState.ACTIVE), part]) == [0, 1, 0x3000]


def test_imports_are_bound_to_the_exports_of_the_images_there_are() -> None:
    space = new_space()
    kernel32, ntdll = image("kernel32.dll", KERNEL_IMAGES), image("ntdll.dll", KERNEL_IMAGES + 0x100000)
    for loaded in (kernel32, ntdll):
        map_image(space.memory, space.tables, loaded)
    bind_image(space.tables, kernel32, [kernel32, ntdll])
    slot = kernel32.image.imports[0]
    bound = int.from_bytes(space.tables.read(kernel32.base + slot.iat_rva, 8), "little")
    assert bound == ntdll.address_of(str(slot.name))
    with pytest.raises(ImageError, match=r"kernel32.dll: imports ntdll.dll!\w+, .*which no image exports"):
        bind_image(space.tables, kernel32, [kernel32])


def test_sections_have_the_rights_of_their_headers() -> None:
    space = new_space()
    loaded = image("ntdll.dll", KERNEL_IMAGES)
    map_image(space.memory, space.tables, loaded)
    for section in loaded.image.sections:
        page = space.tables.translate(loaded.base + section.virtual_address)
        assert page is not None
        flags = section.characteristics
        assert (page.write, page.execute, page.user) == (bool(flags >> 31), bool(flags >> 29 & 1), False)
    header = space.tables.translate(loaded.base)
    assert header is not None
    assert (header.write, header.execute) == (False, False)
    assert loaded.read_only_sections
