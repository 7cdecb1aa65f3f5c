"""A machine with 64 GiB of RAM and 2 MiB touched: writing and judging cost in proportion to the touched pages.

The tests count bytes and disk blocks. Times are in tests/benchmarks.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from dumptruth.emu.constants import Qualifier
from dumptruth.emu.debugger.client import DebugClient
from dumptruth.emu.request import KernelProfile, Request
from dumptruth.emu.scenarios.kernel import run_kernel_scenario
from dumptruth.emu.snapshot.kernel import KernelSnapshot
from dumptruth.emu.snapshot.process import PAGE_SIZE
from dumptruth.emu.truth import store
from dumptruth.emu.writer.kernel_dump import KernelDump
from dumptruth.fixtures.replay.replayer import replay_kernel_dump
from dumptruth.oracle import ByteSource, Outcome, check, load_any_truth, load_request
from dumptruth.oracle.memory.regular_file import RegularFile

RAM = 64 << 30
BITMAP = 17 * RAM // 16 // PAGE_SIZE // 8
"""Bytes of a bitmap up to the highest page. Below 4 GiB only 3 GiB are RAM."""
PROFILES = [KernelProfile.PORTABLE, KernelProfile.BITMAP, KernelProfile.RANGES]


class CountingSink:
    """Counts the written bytes and keeps none."""

    def __init__(self) -> None:
        self.written = self.zeros = 0

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += memoryview(data).nbytes

    def write_zeros(self, size: int) -> None:
        self.zeros += size

    def patch(self, offset: int, data: bytes) -> None:
        pass


@pytest.fixture(scope="module")
def machine() -> KernelSnapshot:
    return run_kernel_scenario("bugcheck-d1", ram=RAM, touched="2M")


@pytest.fixture(scope="module")
def touched(machine: KernelSnapshot) -> int:
    """Bytes."""
    found = sum(run.page_count for run in machine.memory) * PAGE_SIZE
    assert 2 << 20 < found < 4 << 20
    return found


def overhead(profile: KernelProfile) -> int:
    """Bytes that may be written besides: headers, and zeros in gaps that are too short for a hole."""
    return (1 << 20) + (BITMAP if profile is KernelProfile.BITMAP else 0)


def full(profile: KernelProfile) -> Request:
    return Request(Qualifier.DEBUG_DUMP_FULL, profile=profile)


def written(machine: KernelSnapshot, profile: KernelProfile, folder: Path) -> Path:
    DebugClient(machine, start_directory=folder, profile=profile).write("full.dmp", full(profile).qualifier)
    return folder / "full.dmp"


@pytest.mark.parametrize("profile", PROFILES)
def test_the_writer_writes_what_was_touched(machine: KernelSnapshot, touched: int, profile: KernelProfile) -> None:
    sink = CountingSink()
    result = KernelDump(machine, full(profile)).emit(sink)
    assert sink.written + sink.zeros == result.size > RAM
    assert touched < sink.written < touched + overhead(profile)


@pytest.mark.parametrize("profile", PROFILES)
def test_the_file_has_blocks_for_what_was_touched(
    machine: KernelSnapshot, touched: int, profile: KernelProfile, tmp_path: Path
) -> None:
    with (tmp_path / "probe").open("wb") as probe:
        probe.seek(1 << 24)
        probe.write(b"\0")
        probe.flush()
        if getattr(os.fstat(probe.fileno()), "st_blocks", 1 << 24) * 512 >= 1 << 24:
            pytest.skip("the file system makes no holes, or the system does not count blocks")
    status = written(machine, profile, tmp_path).stat()
    assert status.st_size > RAM
    assert touched < status.st_blocks * 512 < touched + overhead(profile)


@pytest.mark.parametrize("profile", PROFILES)
def test_the_judge_compares_every_page_and_reads_what_was_touched(
    machine: KernelSnapshot, touched: int, profile: KernelProfile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, given = RegularFile.read, dict[str, int]()

    def counted(self: RegularFile, offset: int, length: int) -> bytes:
        given[self.name] = given.get(self.name, 0) + length
        return read(self, offset, length)

    monkeypatch.setattr(RegularFile, "read", counted)
    file, truth = written(machine, profile, tmp_path), tmp_path / "truth"
    store.save(machine, truth, source="bugcheck-d1", request=full(profile), file=file.name)
    assert (truth / "memory.bin").stat().st_size == touched
    with ByteSource.open(file) as source:
        if sum(end - start for start, end in source.data(0, source.size)) > source.size // 2:
            pytest.skip("the system does not tell where a file has holes: all of 64 GiB would be read")
        report = check(source, load_any_truth(truth), load_request(truth), profile=profile, replay=replay_kernel_dump)
        assert (report.outcome, report.unclaimed, report.pages) == (Outcome.CONFORMANT, 0, RAM // PAGE_SIZE)
        (pages,) = (result for result in report.results if result.rule == "KPAG-BYTES-001")
        assert pages.checks == RAM // PAGE_SIZE
        assert touched < given[str(file)] < 2 * touched + 4 * overhead(profile)


@pytest.mark.parametrize("qualifier", [Qualifier.DEBUG_KERNEL_DUMP, Qualifier.DEBUG_KERNEL_SMALL_DUMP])
def test_kinds_that_hold_less_are_small_however_large_the_machine(
    machine: KernelSnapshot, touched: int, qualifier: Qualifier
) -> None:
    sink = CountingSink()
    KernelDump(machine, Request(qualifier, profile=KernelProfile.PORTABLE)).emit(sink)
    assert sink.written < touched + BITMAP
