"""Writing and checking complete dumps of large machines, compared with the system's copy and compare of such files.

Every bound is a ratio within one run. The two sides take turns and the fastest turn of each counts, so other load slows
both. The machine has stopped and the files are in the page cache: the run of the guest and the start of the interpreter
are not measured. Each test prints its figures.
"""

from __future__ import annotations

import filecmp
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from dumptruth.emu.constants import Qualifier
from dumptruth.emu.debugger.client import DebugClient
from dumptruth.emu.request import KernelProfile, Request
from dumptruth.emu.scenarios.kernel import run_kernel_scenario
from dumptruth.emu.snapshot.kernel import KernelSnapshot
from dumptruth.emu.snapshot.process import PAGE_SIZE
from dumptruth.emu.truth import store
from dumptruth.fixtures.replay.judging import judge
from dumptruth.oracle import Outcome, load_any_truth, load_request

from .turns import fastest, seconds

pytestmark = pytest.mark.benchmark

GIB, TOUCHED = "1G", "960M"
"""Nearly all of the RAM. The machine itself needs some pages on top."""
ROUNDS = 6
FULL = Request(Qualifier.DEBUG_DUMP_FULL, profile=KernelProfile.PORTABLE)

# Runs the command and prints its peak memory. On Linux the peak is in /proc: ru_maxrss survives fork and exec.
MEASURED_COMMAND = """
import resource, sys
from pathlib import Path
from dumptruth.fixtures.app.cli import run_command
status = run_command(sys.argv[1:])
proc = Path("/proc/self/status")
peaks = [line.split()[1] for line in proc.read_text().splitlines() if line.startswith("VmHWM")] if proc.exists() else []
unit = 1 if sys.platform == "darwin" else 1024
print(int(peaks[0]) * 1024 if peaks else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit)
sys.exit(status)
"""


def touched(snapshot: KernelSnapshot) -> int:
    """Bytes."""
    return sum(run.page_count for run in snapshot.memory) * PAGE_SIZE


def copy(source: Path, target: Path) -> None:
    """``cp``; Python's copy where the system has none."""
    program = shutil.which("cp")
    if program is None:
        shutil.copyfile(source, target)
    else:
        subprocess.run([program, source, target], check=True)


def compare(one: Path, other: Path) -> None:
    """``cmp``; Python's comparison where the system has none."""
    program = shutil.which("cmp")
    if program is not None:
        subprocess.run([program, one, other], check=True)
        return
    filecmp.clear_cache()
    assert filecmp.cmp(one, other, shallow=False)


def conformant(file: Path, truth: Path) -> None:
    report = judge(file, load_any_truth(truth), load_request(truth))
    assert (report.outcome, report.unclaimed) == (Outcome.CONFORMANT, 0)


@pytest.fixture(scope="module")
def machine() -> KernelSnapshot:
    return run_kernel_scenario("bugcheck-d1", ram=GIB, touched=TOUCHED)


@pytest.fixture(scope="module")
def folder(machine: KernelSnapshot, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Holds full.dmp of the machine and its truth."""
    made = tmp_path_factory.mktemp("complete")
    DebugClient(machine, start_directory=made).write("full.dmp", FULL.qualifier)
    store.save(machine, made / "truth", source="bugcheck-d1", request=FULL, file="full.dmp")
    yield made
    shutil.rmtree(made)  # gigabytes that pytest would keep


def test_writing_a_complete_dump_takes_less_than_1_3_times_a_copy(machine: KernelSnapshot, folder: Path) -> None:
    client = DebugClient(machine, start_directory=folder)
    written, copied = folder / "written.dmp", folder / "copied.dmp"

    def write() -> None:
        written.unlink(missing_ok=True)
        client.write(written.name, FULL.qualifier)

    def copy_it() -> None:
        copied.unlink(missing_ok=True)
        copy(folder / "full.dmp", copied)

    ours, theirs = fastest(write, copy_it, rounds=ROUNDS)
    written.unlink()
    copied.unlink()
    print(f"write {touched(machine) >> 20} MiB: {ours:.2f} s, copy: {theirs:.2f} s, ratio {ours / theirs:.2f}")
    assert ours < 1.3 * theirs


def test_checking_every_page_takes_less_than_twice_a_comparison_of_two_files(
    machine: KernelSnapshot, folder: Path
) -> None:
    twin = folder / "twin.dmp"
    copy(folder / "full.dmp", twin)
    ours, theirs = fastest(
        lambda: conformant(folder / "full.dmp", folder / "truth"),
        lambda: compare(folder / "full.dmp", twin),
        rounds=ROUNDS,
    )
    twin.unlink()
    judge = ["check", str(folder / "full.dmp"), "--truth", str(folder / "truth")]
    command = [sys.executable, "-c", MEASURED_COMMAND, *judge]
    # An installed program has compiled modules.
    compiled = {**os.environ, "PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(folder / "compiled")}
    whole = min(
        seconds(lambda: subprocess.run(command, check=True, capture_output=True, env=compiled)) for _ in range(ROUNDS)
    )
    print(f"the whole command, with the start of the interpreter: {whole:.2f} s, ratio {whole / theirs:.2f}")
    print(f"check {touched(machine) >> 20} MiB: {ours:.2f} s, compare: {theirs:.2f} s, ratio {ours / theirs:.2f}")
    assert ours < 2 * theirs


@pytest.mark.skipif(sys.platform == "win32", reason="the module resource, which gives the peak memory, is missing")
def test_peak_memory_of_the_command_is_that_of_the_machine(machine: KernelSnapshot, tmp_path: Path) -> None:
    command = [sys.executable, "-c", MEASURED_COMMAND, "dump", "bugcheck-d1", "--ram", GIB, "--touched", TOUCHED]
    made = tmp_path / "peak.dmp"
    done = subprocess.run([*command, "-q", "full", "-o", made], capture_output=True, text=True, check=True)
    made.unlink()
    over = int(done.stdout.splitlines()[-1]) - touched(machine)
    print(f"peak memory over {touched(machine) >> 20} MiB of touched RAM: {over >> 20} MiB")
    assert over < 128 << 20


def test_a_machine_of_64_gib_costs_what_one_of_1_gib_does_that_has_touched_as_much(tmp_path: Path) -> None:
    sides = {}
    for ram in ("64G", GIB):
        snapshot, made = run_kernel_scenario("bugcheck-d1", ram=ram, touched="100M"), tmp_path / ram
        made.mkdir()
        store.save(snapshot, made / "truth", source="bugcheck-d1", request=FULL, file="full.dmp")
        sides[ram] = (snapshot, made)

    def write(ram: str) -> None:
        snapshot, made = sides[ram]
        (made / "full.dmp").unlink(missing_ok=True)
        DebugClient(snapshot, start_directory=made).write("full.dmp", FULL.qualifier)

    def check(ram: str) -> None:
        conformant(sides[ram][1] / "full.dmp", sides[ram][1] / "truth")

    for verb, work in (("write", write), ("check", check)):
        large, small = fastest(partial(work, "64G"), partial(work, GIB), rounds=ROUNDS)
        print(f"{verb} 64 GiB: {large:.3f} s, 1 GiB: {small:.3f} s, with 100 MiB touched; ratio {large / small:.2f}")
        assert large < 2 * small
