"""Every kernel-mode scenario ends as it declares, from real guest code, the same way every time."""

from __future__ import annotations

import struct
import uuid
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from dumptruth.emu import scenario_kernel
from dumptruth.emu.kernel.boot import Boot
from dumptruth.emu.kernel.boot_block import KUSER_KERNEL, KUSER_USER, GuestScenario
from dumptruth.emu.kernel.configuration import KERNEL_FOLDER, Configuration
from dumptruth.emu.kernel.machine import Finished, Machine, Stopped
from dumptruth.emu.kernel.physical_memory import memory_map, parse_size
from dumptruth.emu.kernel.system_space import pte_address
from dumptruth.emu.kernel.user_space import PRIVATE_MEMORY, private_page
from dumptruth.emu.process.library import SYSTEM_IMAGES, load_file
from dumptruth.emu.scenario_kernel import (
    KERNEL_SCENARIOS,
    ConfigurationError,
    ExpectationError,
    ImageError,
    NoBugCheck,
    RamSizeError,
    ScenarioError,
    run_driver,
    run_kernel_scenario,
)
from dumptruth.emu.snapshot.capture_system import capture_system
from dumptruth.emu.snapshot.system import Driver, KernelProcess, SystemSnapshot

NAMES = [scenario.name for scenario in KERNEL_SCENARIOS]
BY_NAME = {scenario.name: scenario for scenario in KERNEL_SCENARIOS}
PRESENT, LARGE = 1, 0x80
FRAME = 0xFFFFFFFFFF000


@cache
def snapshot_of(name: str) -> SystemSnapshot:
    return run_kernel_scenario(name)


# --- reading a snapshot the way a debugger does: page tables in its own pages -----------------------------------------


def physical(snapshot: SystemSnapshot, va: int, root: int) -> int | None:
    table = root
    for shift in (39, 30, 21, 12):
        page = snapshot.page(table >> 12)
        assert page is not None
        (entry,) = struct.unpack_from("<Q", page, (va >> shift & 511) * 8)
        if not entry & PRESENT:
            return None
        size = 1 << shift
        if shift == 12 or (shift < 39 and entry & LARGE):
            return int(entry & FRAME & ~(size - 1)) + va % size
        table = entry & FRAME
    return None


def read(snapshot: SystemSnapshot, va: int, size: int, root: int | None = None) -> bytes:
    data = b""
    while len(data) < size:
        pa = physical(snapshot, va + len(data), root or snapshot.directory_table_base)
        assert pa is not None, hex(va + len(data))
        page = snapshot.page(pa >> 12)
        assert page is not None
        data += bytes(page[pa & 0xFFF : min(0x1000, (pa & 0xFFF) + size - len(data))])
    return data


def u64(snapshot: SystemSnapshot, va: int) -> int:
    return int.from_bytes(read(snapshot, va, 8), "little")


def u16(snapshot: SystemSnapshot, va: int) -> int:
    return int.from_bytes(read(snapshot, va, 2), "little")


def process(snapshot: SystemSnapshot, name: str) -> KernelProcess:
    return next(p for p in snapshot.processes if p.image_file_name == name)


def driver(snapshot: SystemSnapshot, name: str) -> Driver:
    return next(d for d in snapshot.drivers if d.base_name == name)


# --- the declarations -------------------------------------------------------------------------------------------------


def test_the_scenarios_of_the_plan_are_there() -> None:
    codes = {scenario.declared.code for scenario in KERNEL_SCENARIOS}
    assert codes == {0xD1, 0x0A, 0x50, 0x7E, 0x3B, 0x7F, 0xFC, 0xE2, 0xEF, 0x161}
    assert len(NAMES) == len(set(NAMES)) == 15


def test_an_unknown_scenario_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(ScenarioError, match="no kernel-mode scenario is called 'bugcheck-d2'; there are bugcheck-d1"):
        run_kernel_scenario("bugcheck-d2")


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"ram": "16X"}, RamSizeError, "expected a number with K, M or G"),
        ({"ram": "512K"}, RamSizeError, "RAM of 0x80000 bytes"),
        ({"ram": "1M", "processors": 32}, ConfigurationError, "1024 KiB of RAM are too small for this machine"),
        ({"build": 7601}, ConfigurationError, "build 7601: expected one of 9600, 19041, 26100"),
        ({"processors": 0}, ConfigurationError, "0 processors: expected 1 to 32"),
        ({"processors": 33}, ConfigurationError, "33 processors"),
        ({"touched": "1G"}, ConfigurationError, "expected at most RAM"),
    ],
)
def test_a_machine_that_cannot_be_is_refused_in_one_line(
    arguments: dict[str, str | int], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message) as raised:
        run_kernel_scenario("bugcheck-d1", **arguments)  # type: ignore[arg-type]
    assert "\n" not in str(raised.value)


def test_the_second_processor_cannot_crash_where_there_is_only_one() -> None:
    with pytest.raises(ConfigurationError, match="1 processors, expected more than 1"):
        run_kernel_scenario("second-processor", processors=1)


@pytest.mark.parametrize("name", NAMES)
def test_the_bug_check_is_the_declared_one(name: str) -> None:
    snapshot, scenario = snapshot_of(name), BY_NAME[name]  # a disagreement is an ExpectationError
    assert snapshot.bug_check.code == scenario.declared.code
    assert len(snapshot.processors) == scenario.processors
    if scenario.crashing_processor is not None:
        assert snapshot.crashing_processor == scenario.crashing_processor


@pytest.mark.parametrize("name", NAMES)
def test_two_runs_give_equal_snapshots(name: str) -> None:
    assert run_kernel_scenario(name) == snapshot_of(name)


@pytest.mark.parametrize("build", [9600, 19041])
@pytest.mark.parametrize("name", ["bugcheck-d1", "bugcheck-50"])
def test_other_builds_crash_too_and_say_which_they_are(name: str, build: int) -> None:
    snapshot = run_kernel_scenario(name, build=build)
    assert snapshot.system.build_number == build
    assert snapshot.system.nt_build_lab.startswith(f"{build}.")
    assert u16(snapshot, snapshot.symbols.kd_version_block + 2) == build


# --- the snapshot against the guest's memory -------------------------------------------------------------------------


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
    if name != "user-crash":  # a process that has ended is on no list any more
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
def test_drivers_are_loaded_and_one_is_not_any_more(name: str) -> None:
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
    assert names == ["System", "csrss.exe", "explorer.exe", *(["app.exe"] if name != "user-crash" else [])]
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


def test_a_machine_goes_on_after_a_live_dump_and_the_snapshot_stays_as_it_was() -> None:
    scenario = BY_NAME["live-dump"]
    machine = Machine(Boot(Configuration(ram=16 << 20, processors=2, task=scenario.task())))
    stopped = machine.run()
    assert stopped == Stopped(stopped.processor, 0x161, live=True)  # type: ignore[union-attr]
    snapshot = capture_system(machine, stopped)  # type: ignore[arg-type]
    before = [bytes(run.data) for run in snapshot.memory]
    assert machine.run() == Finished()
    assert [bytes(run.data) for run in snapshot.memory] == before
    assert snapshot == snapshot_of("live-dump")


def test_a_run_that_ends_otherwise_than_declared_is_an_error_with_both(monkeypatch: pytest.MonkeyPatch) -> None:
    scenario = BY_NAME["bugcheck-d1"]
    write = replace(scenario.declared, parameters=(0x28, 2, 1, "crashdrv.sys!CrashReadSite"))
    monkeypatch.setattr(scenario_kernel, "KERNEL_SCENARIOS", (replace(scenario, declared=write),))
    with pytest.raises(ExpectationError, match=r"bug check 0xD1, 0x28, 0x2, 0x1, 0x\w+ \(crashdrv.*found 0xD1, 0x28"):
        run_kernel_scenario("bugcheck-d1")
    silent = replace(scenario, guest=GuestScenario.LIVE)
    monkeypatch.setattr(scenario_kernel, "KERNEL_SCENARIOS", (silent,))
    with pytest.raises(ExpectationError, match=r"expected bug check 0xD1, .* found 0x161"):
        run_kernel_scenario("bugcheck-d1")


def test_a_driver_that_does_not_crash_is_said_to_leave_nothing_to_dump() -> None:
    with pytest.raises(NoBugCheck, match=r"^crashdrv.sys: the system runs on and did not crash: nothing to") as end:
        run_driver(KERNEL_FOLDER / "crashdrv.sys")
    assert b"hal: 2 processor(s)" in end.value.output


@pytest.mark.parametrize(
    ("name", "message"),
    [("ntdll.dll", "ntdll.dll: has no entry point"), ("kernel32.dll", "kernel32.dll: "), ("crash.c", "not a PE file")],
)
def test_a_file_that_is_no_driver_is_refused_in_one_line(name: str, message: str) -> None:
    with pytest.raises(ImageError, match=message) as refused:
        run_driver(SYSTEM_IMAGES / name)
    assert "\n" not in str(refused.value)


def test_a_driver_whose_name_does_not_fit_the_loader_block_is_refused(tmp_path: Path) -> None:
    path = tmp_path / f"{'long' * 6}.sys"
    path.write_bytes((KERNEL_FOLDER / "crashdrv.sys").read_bytes())
    with pytest.raises(ImageError, match="a driver's name has at most 23 characters"):
        run_driver(path)


def test_the_other_processors_were_stopped_where_they_were() -> None:
    snapshot = snapshot_of("second-processor")
    assert snapshot.crashing_processor == 1
    places = {processor.context["Rip"] for processor in snapshot.processors}
    kernel = snapshot.drivers[0]
    assert all(processor.context["Rip"] for processor in snapshot.processors)
    assert any(kernel.base <= place < kernel.base + kernel.size for place in places)
    assert len({processor.current_thread for processor in snapshot.processors}) == 4


def test_bug_check_callbacks_added_what_they_were_asked_for() -> None:
    snapshot = snapshot_of("bugcheck-e2")
    # What crashdrv.c and crashdrv.h say that its callbacks add.
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


# --- sizes ------------------------------------------------------------------------------------------------------------


def test_one_mebibyte_is_enough() -> None:
    snapshot = run_kernel_scenario("bugcheck-d1", ram="1M")
    assert sum(count for _, count in snapshot.physical_runs) == 256
    assert snapshot.bug_check.code == 0xD1


@pytest.mark.parametrize(("ram", "touched"), [("8G", "0"), ("64G", "16M")])
def test_a_large_machine_has_the_pages_that_are_touched(ram: str, touched: str) -> None:
    snapshot = run_kernel_scenario("bugcheck-d1", ram=ram, touched=touched)
    assert sum(count for _, count in snapshot.physical_runs) * 4096 == parse_size(ram)
    pages = sum(run.page_count for run in snapshot.memory)
    assert pages < 600 + parse_size(touched) // 4096 * 1.01
    assert any(run.base_page >= 1 << 20 for run in snapshot.memory)
    assert snapshot.physical_runs[-1][0] == 1 << 20
    explorer = process(snapshot, "explorer.exe")
    last = max(24, parse_size(touched) // 4096) - 1
    page = read(snapshot, PRIVATE_MEMORY + last * 4096, 4096, explorer.directory_table_base)
    assert page == private_page(explorer.process_id, last)


def test_what_a_process_touches_may_lie_around_a_hole() -> None:
    snapshot = run_kernel_scenario("bugcheck-d1", ram="32M", touched="28M")
    assert len(snapshot.physical_runs) == 3
    explorer = process(snapshot, "explorer.exe")
    pages = [
        physical(snapshot, PRIVATE_MEMORY + number * 4096, explorer.directory_table_base) for number in range(28 << 8)
    ]
    assert len({at >> 12 for at in pages if at is not None}) == 28 << 8
    for number in (0, 28 << 7, (28 << 8) - 1):
        page = read(snapshot, PRIVATE_MEMORY + number * 4096, 4096, explorer.directory_table_base)
        assert page == private_page(explorer.process_id, number)
