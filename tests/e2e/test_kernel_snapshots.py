"""In every scenario the kernel-mode snapshot agrees with the guest's memory."""

from __future__ import annotations

import struct
import uuid

import pytest
from dumptruth.emu.kernel.boot_block import KUSER_KERNEL, KUSER_USER
from dumptruth.emu.kernel.configuration import KERNEL_FOLDER
from dumptruth.emu.kernel.physical_memory import memory_map, parse_size
from dumptruth.emu.kernel.system_space import pte_address
from dumptruth.emu.kernel.user_space import PRIVATE_MEMORY, private_page
from dumptruth.emu.process.library import load_file
from dumptruth.emu.scenarios.kernel import KERNEL_SCENARIOS

from .kernel_snapshots import FRAME, LARGE, PRESENT, driver, physical, process, read, snapshot_of, u16, u64

NAMES = [scenario.name for scenario in KERNEL_SCENARIOS]


@pytest.mark.parametrize("name", NAMES)
def test_memory_is_sorted_runs_of_ram(name: str) -> None:
    snapshot = snapshot_of(name)
    assert snapshot.physical_runs == memory_map(parse_size("16M"))
    ram = {page for base, count in snapshot.physical_runs for page in range(base, base + count)}
    end = -1
    for run in snapshot.memory:
        assert run.base_page > end
        assert set(range(run.base_page, run.end_page)) <= ram
        end = run.end_page
    free = {page for base, count in snapshot.free_pages for page in range(base, base + count)}
    standby = {page for base, count in snapshot.standby_pages for page in range(base, base + count)}
    assert free | standby <= ram
    assert not free & standby
    assert len(ram - free) < len(ram) / 2
    assert standby
    assert not snapshot.unreadable_pages
    touched = sum(run.page_count for run in snapshot.memory)
    assert touched < 500


@pytest.mark.parametrize("name", NAMES)
def test_every_mapped_page_is_in_use_and_no_free_page_is_mapped(name: str) -> None:
    snapshot = snapshot_of(name)
    mapped: set[int] = set()

    def walk(table: int, level: int, *, top: bool = False) -> None:
        mapped.add(table >> 12)
        page = snapshot.page(table >> 12)
        assert page is not None
        for index, entry in enumerate(memoryview(page).cast("Q")):
            if not entry & PRESENT or (top and index == 0x1ED):
                continue
            if level == 1:
                mapped.add((entry & FRAME) >> 12)
            elif level == 2 and entry & LARGE:
                mapped.update(range((entry & FRAME) >> 12, ((entry & FRAME) >> 12) + 512))
            else:
                walk(entry & FRAME, level - 1)

    for one in snapshot.processes:
        walk(one.directory_table_base, 4, top=True)
    ram = {page for base, count in snapshot.physical_runs for page in range(base, base + count)}
    free = {page for base, count in snapshot.free_pages for page in range(base, base + count)}
    standby = {page for base, count in snapshot.standby_pages for page in range(base, base + count)}
    assert mapped <= ram
    assert not mapped & (free | standby)
    if name != "user-crash":  # a process that has ended is on no list
        assert mapped | free | standby == ram


@pytest.mark.parametrize("name", NAMES)
def test_processors_are_those_of_the_kernels_own_table(name: str) -> None:
    snapshot = snapshot_of(name)
    for processor in snapshot.processors:
        assert u64(snapshot, snapshot.symbols.ki_processor_block + 8 * processor.number) == processor.kprcb
        assert u64(snapshot, processor.kpcr + 0x20) == processor.kprcb
        assert u64(snapshot, processor.kprcb + 8) == processor.current_thread
        context, special = processor.context, dict(processor.special_registers)
        assert context["SegCs"] in (0x10, 0x33)
        assert context["Rip"] != 0
        assert special["Cr3"] & FRAME in {p.directory_table_base for p in snapshot.processes}
        assert special["MsrGsBase"] == processor.kpcr
        assert special["Idtr.Base"] == u64(snapshot, processor.kpcr + 0x38)
        assert special["Gdtr.Base"] == u64(snapshot, processor.kpcr)
        if context["SegCs"] == 0x10:
            assert processor.stack_limit <= context["Rsp"] <= processor.stack_base
    crashing = snapshot.processors[snapshot.crashing_processor]
    assert dict(crashing.special_registers)["Cr3"] & FRAME == snapshot.directory_table_base
    kernel = snapshot.drivers[0]
    assert kernel.base <= crashing.context["Rip"] < kernel.base + kernel.size


@pytest.mark.parametrize("name", NAMES)
def test_the_debugger_data_agrees_with_the_snapshot(name: str) -> None:
    snapshot, symbols = snapshot_of(name), snapshot_of(name).symbols
    kdbg = symbols.kd_debugger_data_block
    tag, size = struct.unpack("<II", read(snapshot, kdbg + 0x10, 8))
    assert (tag, size) == (0x4742444B, 0x380)
    at = {"KernBase": 0x18, "PsLoadedModuleList": 0x48, "PsActiveProcessHead": 0x50, "KiBugcheckData": 0x88,
          "MmPfnDatabase": 0xC0, "KiProcessorBlock": 0x218, "MmUnloadedDrivers": 0x220,
          "MmPhysicalMemoryBlock": 0x270}  # fmt: skip
    values = {field: u64(snapshot, kdbg + offset) for field, offset in at.items()}
    assert values == {
        "KernBase": symbols.kernel_base,
        "PsLoadedModuleList": symbols.ps_loaded_module_list,
        "PsActiveProcessHead": symbols.ps_active_process_head,
        "KiBugcheckData": symbols.ki_bugcheck_data,
        "MmPfnDatabase": symbols.mm_pfn_database,
        "KiProcessorBlock": symbols.ki_processor_block,
        "MmUnloadedDrivers": symbols.mm_unloaded_drivers,
        "MmPhysicalMemoryBlock": symbols.mm_physical_memory_block,
    }
    data = [u64(snapshot, symbols.ki_bugcheck_data + 8 * n) for n in range(5)]
    assert data == [snapshot.bug_check.code, *snapshot.bug_check.parameters]
    block = u64(snapshot, symbols.mm_physical_memory_block)
    count, pages = struct.unpack("<I4xQ", read(snapshot, block, 16))
    runs = struct.unpack(f"<{2 * count}Q", read(snapshot, block + 16, 16 * count))
    assert tuple(zip(runs[::2], runs[1::2], strict=True)) == snapshot.physical_runs
    assert pages == sum(runs[1::2])
    assert u16(snapshot, symbols.kd_version_block + 2) == snapshot.system.build_number == 26100


@pytest.mark.parametrize("name", NAMES)
def test_shared_user_data_is_at_both_addresses_with_the_times_of_the_snapshot(name: str) -> None:
    snapshot = snapshot_of(name)
    kernel = physical(snapshot, KUSER_KERNEL, snapshot.directory_table_base)
    assert kernel is not None
    users = [p for p in snapshot.processes if p.process_id != 4]
    assert all(physical(snapshot, KUSER_USER, p.directory_table_base) == kernel for p in users)
    assert u64(snapshot, KUSER_KERNEL + 0x14) == snapshot.time
    assert u64(snapshot, KUSER_KERNEL + 0x08) == snapshot.up_time
    assert (snapshot.system.product_type, snapshot.system.suite_mask) == (1, 0x110)


@pytest.mark.parametrize("name", NAMES)
def test_the_loaded_and_unloaded_driver_lists_agree_with_the_snapshot(name: str) -> None:
    snapshot = snapshot_of(name)
    assert [d.base_name for d in snapshot.drivers] == ["ntoskrnl.exe", "hal.dll", "crashdrv.sys"]
    assert snapshot.drivers[0].base == snapshot.symbols.kernel_base
    for one in snapshot.drivers:
        assert read(snapshot, one.base, 2) == b"MZ"
        assert one.full_name.endswith("\\" + one.base_name)
        assert one.base <= one.entry_point < one.base + one.size or (one.entry_point, one.base_name) == (0, "hal.dll")
        assert one.read_only_sections
        for address, size in one.read_only_sections:
            assert one.base < address <= address + size <= one.base + one.size
    (gone,) = snapshot.unloaded_drivers
    assert gone.name == "gone.sys"
    assert gone.start < gone.end
    assert physical(snapshot, gone.start, snapshot.directory_table_base) is None


@pytest.mark.parametrize("name", NAMES)
def test_processes_have_roots_threads_and_stacks_of_their_own(name: str) -> None:
    snapshot = snapshot_of(name)
    names = [p.image_file_name for p in snapshot.processes]
    session = ["System", "smss.exe", "csrss.exe", "wininit.exe", "winlogon.exe", "services.exe", "lsass.exe",
               *["svchost.exe"] * 3, "explorer.exe"]  # fmt: skip
    assert names == [*session, *(["app.exe"] if name != "user-crash" else [])]
    assert snapshot.processes[0].process_id == 4
    assert snapshot.processes[0].directory_table_base == snapshot.system_directory_table_base
    assert len({p.directory_table_base for p in snapshot.processes}) == len(names)
    threads = [thread for p in snapshot.processes for thread in p.threads]
    assert all(p.threads for p in snapshot.processes)
    assert len({thread.thread_id for thread in threads}) == len(threads)
    assert len({thread.stack_base for thread in threads}) == len(threads)
    for one in snapshot.processes:
        for thread in one.threads:
            assert thread.stack_base - thread.stack_limit == 0x6000
            assert (thread.teb == 0) == (one.process_id == 4)
            assert u64(snapshot, thread.thread + 0x220) == one.process
    explorer = process(snapshot, "explorer.exe")
    page = read(snapshot, PRIVATE_MEMORY + 0x3000, 0x1000, explorer.directory_table_base)
    assert page == private_page(explorer.process_id, 3)


def test_a_crash_of_a_program_ends_only_its_process() -> None:
    snapshot = snapshot_of("user-crash")
    assert "app.exe" not in [p.image_file_name for p in snapshot.processes]
    assert snapshot.bug_check.code == 0x161


def test_standby_pages_keep_what_their_process_had() -> None:
    snapshot = snapshot_of("bugcheck-d1")
    app = process(snapshot, "app.exe")
    page = PRIVATE_MEMORY + 2 * 0x1000
    assert physical(snapshot, page, app.directory_table_base) is None
    pte = physical(snapshot, pte_address(page), app.directory_table_base)
    assert pte is not None
    table = snapshot.page(pte >> 12)
    assert table is not None
    (entry,) = struct.unpack_from("<Q", table, pte & 0xFFF)
    frame = entry >> 12 & (1 << 36) - 1
    assert (entry & 1, entry >> 10 & 3) == (0, 2)
    assert any(base <= frame < base + count for base, count in snapshot.standby_pages)
    assert snapshot.page(frame) == private_page(app.process_id, 2)


def test_the_context_of_a_bug_check_is_that_of_its_caller() -> None:
    snapshot = snapshot_of("bugcheck-e2")
    context = snapshot.processors[snapshot.crashing_processor].context
    site = load_file(KERNEL_FOLDER / "crashdrv.sys").export_rva("CrashBugCheckSite")
    assert u64(snapshot, context["Rsp"]) == driver(snapshot, "crashdrv.sys").base + site
    kernel = load_file(KERNEL_FOLDER / "ntoskrnl.exe").export_rva("KeBugCheckEx")
    assert snapshot.drivers[0].base + kernel <= context["Rip"] < snapshot.drivers[0].base + kernel + 0x100
    assert (context["Rcx"], context["Rdx"], context["R8"], context["R9"]) == (0xE2, *snapshot.bug_check.parameters[:3])


def test_the_other_processors_were_stopped_where_they_were() -> None:
    snapshot = snapshot_of("second-processor")
    assert snapshot.crashing_processor == 1
    places = {processor.context["Rip"] for processor in snapshot.processors}
    kernel = snapshot.drivers[0]
    assert all(processor.context["Rip"] for processor in snapshot.processors)
    assert any(kernel.base <= place < kernel.base + kernel.size for place in places)
    assert len({processor.current_thread for processor in snapshot.processors}) == 4


def test_bug_check_callbacks_added_their_pages_and_data() -> None:
    snapshot = snapshot_of("bugcheck-e2")
    # Values of the callbacks in crashdrv.c and crashdrv.h.
    (blob,) = snapshot.blobs
    assert blob.tag == uuid.UUID("6b1d3a52-2c9e-4f07-9a41-0c8e5d771be3").bytes_le
    assert blob.data == bytes(n ^ 0xA5 for n in range(0x55))
    (text, pool) = snapshot.triage_data
    crashdrv = driver(snapshot, "crashdrv.sys")
    assert crashdrv.base <= text[0] < crashdrv.base + crashdrv.size
    assert read(snapshot, *text) == b"triage data of crashdrv.sys\0"
    assert pool[1] == 0x40
    kept = bytes(n * 7 & 0xFF for n in range(3 * 4096))
    assert read(snapshot, pool[0], len(kept)) == kept
    frames = {physical(snapshot, pool[0] + n * 4096, snapshot.directory_table_base) for n in range(3)}
    assert frames == {page << 12 for base, count in snapshot.added_pages for page in range(base, base + count)}
    quiet = snapshot_of("bugcheck-d1")
    assert (quiet.blobs, quiet.triage_data, quiet.added_pages) == ((), (), ())
