"""Every kernel-mode scenario ends as it declares, by guest code, the same way every time."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from dumptruth.emu.capture.kernel import capture_kernel
from dumptruth.emu.kernel.boot import Boot
from dumptruth.emu.kernel.boot_block import GuestScenario
from dumptruth.emu.kernel.configuration import KERNEL_FOLDER, Configuration
from dumptruth.emu.kernel.machine import Finished, Machine, Stopped
from dumptruth.emu.kernel.physical_memory import parse_size
from dumptruth.emu.kernel.user_space import PRIVATE_MEMORY, private_page
from dumptruth.emu.process.library import SYSTEM_IMAGES
from dumptruth.emu.scenarios import kernel as scenario_kernel
from dumptruth.emu.scenarios.kernel import (
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

from .kernel_snapshots import physical, process, read, snapshot_of, u16

NAMES = [scenario.name for scenario in KERNEL_SCENARIOS]
BY_NAME = {scenario.name: scenario for scenario in KERNEL_SCENARIOS}


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
        ({"touched": "1G"}, ConfigurationError, "expected 0 to 0x1000000, the size of RAM"),
    ],
)
def test_an_impossible_machine_is_refused_in_one_line(
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


def test_a_machine_continues_after_a_live_dump_and_the_snapshot_does_not_change() -> None:
    scenario = BY_NAME["live-dump"]
    machine = Machine(Boot(Configuration(ram=16 << 20, processors=2, task=scenario.task())))
    stopped = machine.run()
    assert isinstance(stopped, Stopped)
    assert stopped == Stopped(stopped.processor, 0x161, live=True)
    snapshot = capture_kernel(machine, stopped)
    before = [bytes(run.data) for run in snapshot.memory]
    assert machine.run() == Finished()
    assert [bytes(run.data) for run in snapshot.memory] == before
    assert snapshot == snapshot_of("live-dump")


def test_an_undeclared_end_of_a_run_is_an_error_with_expected_and_found(monkeypatch: pytest.MonkeyPatch) -> None:
    scenario = BY_NAME["bugcheck-d1"]
    write = replace(scenario.declared, parameters=(0x28, 2, 1, "crashdrv.sys!CrashReadSite"))
    monkeypatch.setattr(scenario_kernel, "KERNEL_SCENARIOS", (replace(scenario, declared=write),))
    with pytest.raises(ExpectationError, match=r"bug check 0xD1, 0x28, 0x2, 0x1, 0x\w+ \(crashdrv.*found 0xD1, 0x28"):
        run_kernel_scenario("bugcheck-d1")
    silent = replace(scenario, guest=GuestScenario.LIVE)
    monkeypatch.setattr(scenario_kernel, "KERNEL_SCENARIOS", (silent,))
    with pytest.raises(ExpectationError, match=r"expected bug check 0xD1, .* found 0x161"):
        run_kernel_scenario("bugcheck-d1")


def test_a_driver_that_does_not_crash_is_an_error() -> None:
    with pytest.raises(NoBugCheck, match=r"^crashdrv.sys: the system is still running and did not crash") as end:
        run_driver(KERNEL_FOLDER / "crashdrv.sys")
    assert b"hal: 2 processor(s)" in end.value.output


@pytest.mark.parametrize(
    ("name", "message"),
    [("ntdll.dll", "ntdll.dll: has no entry point"), ("kernel32.dll", "kernel32.dll: "), ("crash.c", "not a PE file")],
)
def test_a_file_that_is_not_a_driver_is_refused_in_one_line(name: str, message: str) -> None:
    with pytest.raises(ImageError, match=message) as refused:
        run_driver(SYSTEM_IMAGES / name)
    assert "\n" not in str(refused.value)


def test_a_driver_whose_name_does_not_fit_the_loader_block_is_refused(tmp_path: Path) -> None:
    path = tmp_path / f"{'long' * 6}.sys"
    path.write_bytes((KERNEL_FOLDER / "crashdrv.sys").read_bytes())
    with pytest.raises(ImageError, match="a driver's name has at most 23 characters"):
        run_driver(path)


# --- sizes ------------------------------------------------------------------------------------------------------------


def test_a_machine_with_one_mebibyte_of_ram_runs() -> None:
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
