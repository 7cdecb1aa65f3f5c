"""volatility3 finds in our complete kernel dumps the processes, drivers and header fields that the target held.

volatility3's converter makes the symbols from the kernel's PDB. volatility3 accepts a dump when the image in memory
names that PDB, the root page table maps itself and KUSER_SHARED_DATA is mapped
(docs/format/kernel-readers.md#page-tables-that-volatility3-looks-for). It runs in other processes, offline, with limits
on time and memory.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from dumptruth.emu.constants import DEBUG_DUMP_FULL
from dumptruth.emu.debugger.client import DebugClient
from dumptruth.emu.images.kernel.build import FOLDER
from dumptruth.emu.request import KernelProfile
from dumptruth.emu.scenarios.kernel import run_kernel_scenario
from dumptruth.emu.snapshot.kernel import KernelSnapshot

if importlib.util.find_spec("volatility3") is None:
    pytest.skip("volatility3 is not installed (the extra `interop` has it)", allow_module_level=True)

SECONDS = 120.0
MEMORY = 3 << 30
"""Address space of a process of volatility3 on Linux, in bytes."""

PDB = "ntkrnlmp.pdb"
CONVERTER = ("-m", "volatility3.framework.symbols.windows.pdbconv")
PLUGINS = ("pslist.PsList", "modules.Modules", "unloadedmodules.UnloadedModules", "crashinfo.Crashinfo", "info.Info")
MARK = "-- plugin --"
VOL = f"""
import sys
from volatility3.cli import main
*options, plugins = sys.argv[1:]
for plugin in plugins.split():
    print("{MARK}", flush=True)
    sys.argv = ["vol", *options, f"windows.{{plugin}}"]
    main()
"""
"""The command `vol` of this Python, once for each plugin."""

TARGETS = (("bugcheck-d1", KernelProfile.PORTABLE), ("second-processor", KernelProfile.BITMAP))
"""The types that it opens, 1 and 5 (docs/format/kernel-readers.md#matrix)."""

EPOCH = datetime(1601, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Dumped:
    snapshot: KernelSnapshot
    path: Path


def _run(folder: Path, *arguments: str) -> str:
    """Standard output of a Python. If it fails, the test fails and shows the end of its output."""
    with subprocess.Popen(
        [sys.executable, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        encoding="utf-8",
        cwd=folder,
        env={**os.environ, "XDG_CACHE_HOME": str(folder), "PYTHONIOENCODING": "utf-8"},
    ) as process:
        if sys.platform == "linux":
            resource = importlib.import_module("resource")
            resource.prlimit(process.pid, resource.RLIMIT_AS, (MEMORY, MEMORY))
        try:
            output, errors = process.communicate(timeout=SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
    assert process.returncode == 0, f"{output[-300:]}{errors[-1000:]}"
    return output


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `symbols`, converted from the PDB beside the kernel image, and an empty `cache`."""
    folder = tmp_path_factory.mktemp("volatility")
    symbols = folder / "symbols" / "windows" / PDB
    symbols.mkdir(parents=True)
    (folder / "cache").mkdir()
    _run(folder, *CONVERTER, "-f", str(FOLDER / PDB), "-p", PDB, "-o", str(symbols / "converted.json"))
    return folder


@cache
def _dumped(folder: Path, scenario: str, profile: KernelProfile) -> Dumped:
    snapshot = run_kernel_scenario(scenario)
    client = DebugClient(snapshot, start_directory=folder, profile=profile)
    client.write(f"{scenario}.dmp", DEBUG_DUMP_FULL)
    return Dumped(snapshot, folder / f"{scenario}.dmp")


@pytest.fixture(params=TARGETS, ids="-".join)
def dumped(folder: Path, request: pytest.FixtureRequest) -> Dumped:
    return _dumped(folder, *request.param)


@cache
def _answers(folder: Path, path: Path) -> dict[str, list[dict[str, Any]]]:
    """The rows of each plugin."""
    options = ["-q", "--offline", "-r", "json", "-s", str(folder / "symbols"), "--cache-path", str(folder / "cache")]
    output = _run(folder, "-c", VOL, *options, "-f", str(path), " ".join(PLUGINS))
    parts = output.split(MARK)[1:]
    return {plugin: json.loads(part[part.index("[") :]) for plugin, part in zip(PLUGINS, parts, strict=True)}


def _rows(folder: Path, dumped: Dumped, plugin: str) -> list[dict[str, Any]]:
    return _answers(folder, dumped.path)[plugin]


def _shown(address: int) -> int:
    """A virtual address without its sign extension, as volatility3 prints it."""
    return address & ((1 << 48) - 1)


def _second(time: int) -> str:
    """A FILETIME cut to the second, as volatility3 prints it."""
    return (EPOCH + timedelta(seconds=time // 10_000_000)).isoformat()


def test_pslist_lists_the_processes_in_order_with_their_threads_counted(folder: Path, dumped: Dumped) -> None:
    found = [
        (row["Offset(V)"], row["PID"], row["ImageFileName"], row["Threads"])
        for row in _rows(folder, dumped, "pslist.PsList")
    ]
    assert found == [
        (_shown(process.process), process.process_id, process.image_file_name, len(process.threads))
        for process in dumped.snapshot.processes
    ]


def test_modules_lists_the_kernel_hal_and_drivers_in_load_order(folder: Path, dumped: Dumped) -> None:
    found = [
        (row["Offset"], row["Base"], row["Size"], row["Name"], row["Path"])
        for row in _rows(folder, dumped, "modules.Modules")
    ]
    assert found == [
        (_shown(driver.entry), _shown(driver.base), driver.size, driver.base_name, driver.full_name)
        for driver in dumped.snapshot.drivers
    ]


def test_unloadedmodules_lists_the_drivers_that_are_gone(folder: Path, dumped: Dumped) -> None:
    found = [
        (row["Name"], row["StartAddress"], row["EndAddress"])
        for row in _rows(folder, dumped, "unloadedmodules.UnloadedModules")
    ]
    assert found == [
        (driver.name, _shown(driver.start), _shown(driver.end)) for driver in dumped.snapshot.unloaded_drivers
    ]
    assert found


def test_crashinfo_shows_the_header_as_the_target_was(folder: Path, dumped: Dumped) -> None:
    (row,) = _rows(folder, dumped, "crashinfo.Crashinfo")
    truth = dumped.snapshot
    bitmap = row["DumpType"] == "Bitmap Dump (0x5)"
    assert bitmap == (dumped.path.stem == "second-processor")
    pages = sum(count for _, count in truth.physical_runs)
    end = max(first + count for first, count in truth.physical_runs)
    found = {name: row[name] for name in row if not name.startswith(("_", "Bitmap", "DumpType", "Comment"))}
    assert found == {
        "Signature": "PAGE",
        "MajorVersion": truth.system.major_version,
        "MinorVersion": truth.system.build_number,
        "DirectoryTableBase": truth.directory_table_base,
        "PfnDataBase": truth.symbols.mm_pfn_database,
        "PsLoadedModuleList": truth.symbols.ps_loaded_module_list,
        "PsActiveProcessHead": truth.symbols.ps_active_process_head,
        "MachineImageType": 0x8664,  # winnt.h IMAGE_FILE_MACHINE_AMD64
        "NumberProcessors": len(truth.processors),
        "KdDebuggerDataBlock": truth.symbols.kd_debugger_data_block,
        "SystemTime": _second(truth.time),
        "SystemUpTime": str(timedelta(microseconds=truth.up_time / 10)),
    }
    if bitmap:
        assert row["BitmapSize"] >= end
        assert row["BitmapPages"] == pages


def test_info_reads_kernel_base_root_and_version_from_memory(folder: Path, dumped: Dumped) -> None:
    said = {row["Variable"]: row["Value"] for row in _rows(folder, dumped, "info.Info")}
    truth = dumped.snapshot
    assert int(said["Kernel Base"], 16) == _shown(truth.symbols.kernel_base)
    assert int(said["DTB"], 16) in {process.directory_table_base for process in truth.processes}
    assert int(said["KdDebuggerDataBlock"], 16) == _shown(truth.symbols.kd_debugger_data_block)
    assert said["NTBuildLab"] == truth.system.nt_build_lab[:32]  # volatility3 reads that many characters
    assert said["Is64Bit"] == "True"
    assert said["KeNumberProcessors"] == str(len(truth.processors))
    assert said["SystemTime"].startswith(_second(truth.time)[:10])
