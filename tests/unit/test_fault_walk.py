"""A failure loses no data: every passage of every fault point fails in turn, on every kind of dump.

After each failure the HRESULT is right, no partial dump and no temporary file remain, and an existing file is
unchanged. The file of a handle is empty, or unchanged if the writer had not written yet.
"""

from __future__ import annotations

import errno
import io
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from dumptruth.emu.constants import (
    DEBUG_DUMP_ACTIVE,
    DEBUG_DUMP_DEFAULT,
    DEBUG_DUMP_FULL,
    DEBUG_DUMP_SMALL,
    DEBUG_FORMAT_CAB_SECONDARY_ALL_IMAGES,
    DEBUG_FORMAT_CAB_SECONDARY_FILES,
    DEBUG_FORMAT_NO_OVERWRITE,
    DEBUG_FORMAT_USER_SMALL_CODE_SEGMENTS,
    DEBUG_FORMAT_USER_SMALL_DATA_SEGMENTS,
    DEBUG_FORMAT_USER_SMALL_FILTER_MEMORY,
    DEBUG_FORMAT_USER_SMALL_FULL_MEMORY,
    DEBUG_FORMAT_USER_SMALL_FULL_MEMORY_INFO,
    DEBUG_FORMAT_USER_SMALL_HANDLE_DATA,
    DEBUG_FORMAT_USER_SMALL_PROCESS_THREAD_DATA,
    DEBUG_FORMAT_WRITE_CAB,
)
from dumptruth.emu.debugger.client import DebugClient, DumpWriteError
from dumptruth.emu.scenarios.kernel import run_kernel_scenario
from dumptruth.emu.scenarios.process import run_scenario
from dumptruth.emu.snapshot.kernel import KernelSnapshot
from dumptruth.emu.snapshot.process import ProcessSnapshot
from dumptruth.emu.synthetic.flag_process import flag_target
from dumptruth.emu.synthetic.kernel import synthetic_machine
from dumptruth.emu.synthetic.process import Pages, synthetic_process
from dumptruth.emu.writer.faults import FaultPoint, Faults

from ..samples import with_the_rest_slow

OLD = b"what was there before" * 1000
CAB = DEBUG_FORMAT_WRITE_CAB
ALL_FILES = CAB | DEBUG_FORMAT_CAB_SECONDARY_FILES | DEBUG_FORMAT_CAB_SECONDARY_ALL_IMAGES
MUCH = (
    DEBUG_FORMAT_USER_SMALL_FULL_MEMORY | DEBUG_FORMAT_USER_SMALL_HANDLE_DATA | DEBUG_FORMAT_USER_SMALL_FULL_MEMORY_INFO
)
SOME = (
    DEBUG_FORMAT_USER_SMALL_CODE_SEGMENTS
    | DEBUG_FORMAT_USER_SMALL_DATA_SEGMENTS
    | DEBUG_FORMAT_USER_SMALL_PROCESS_THREAD_DATA
    | DEBUG_FORMAT_USER_SMALL_FILTER_MEMORY
)

ERRORS = {  # for each point its errors and their HRESULTs
    FaultPoint.CREATE: [(OSError(errno.EACCES, "denied"), 0x80070005), (OSError(errno.ENOSPC, "full"), 0x80070070)],
    FaultPoint.WRITE: [(OSError(errno.ENOSPC, "full"), 0x80070070), (OSError(errno.EIO, "broken"), 0x8007001D)],
    FaultPoint.SEEK: [(OSError(errno.EIO, "broken"), 0x8007001D), (OSError(errno.EFBIG, "too long"), 0x800700DF)],
    FaultPoint.FLUSH: [(OSError(errno.ENOSPC, "full"), 0x80070070), (OSError("no number"), 0x80004005)],
    FaultPoint.RENAME: [(OSError(errno.EACCES, "denied"), 0x80070005), (OSError(errno.EROFS, "sealed"), 0x80070005)],
    FaultPoint.READ_MEMORY: [(OSError(errno.EIO, "gone"), 0x8007012B)],
}


@cache
def process() -> ProcessSnapshot:
    return synthetic_process(extra=[Pages(0x300_0000_0000, 0x2_0000)])


@cache
def flagged() -> ProcessSnapshot:
    return flag_target(unreadable=False)


@cache
def machine() -> KernelSnapshot:
    return synthetic_machine()


@dataclass(frozen=True)
class Kind:
    target: Callable[[], ProcessSnapshot | KernelSnapshot]
    qualifier: int
    flags: int = 0
    profile: str | None = None
    name: str = "x.dmp"


KINDS = {
    "small": Kind(process, DEBUG_DUMP_SMALL),
    "small, all memory": Kind(process, DEBUG_DUMP_SMALL, MUCH),
    "small, parts of memory": Kind(flagged, DEBUG_DUMP_SMALL, SOME),
    "default, modern": Kind(process, DEBUG_DUMP_DEFAULT),
    "default, legacy": Kind(process, DEBUG_DUMP_DEFAULT, 0, "legacy"),
    "small in a cabinet": Kind(process, DEBUG_DUMP_SMALL, CAB, None, "x.cab"),
    "default in a cabinet with files": Kind(process, DEBUG_DUMP_DEFAULT, ALL_FILES, None, "x.cab"),
    "kernel, small": Kind(machine, DEBUG_DUMP_SMALL),
    "kernel, small in a cabinet": Kind(machine, DEBUG_DUMP_SMALL, CAB, None, "x.cab"),
    "kernel, full": Kind(machine, DEBUG_DUMP_FULL),
    "kernel, bitmap": Kind(machine, DEBUG_DUMP_DEFAULT, 0, "bitmap"),
    "kernel, summary": Kind(machine, DEBUG_DUMP_DEFAULT, 0, "classic"),
    "kernel, ranges": Kind(machine, DEBUG_DUMP_ACTIVE, 0, "ranges"),
}


BEFORE = ("nothing", "a file", "nothing, NO_OVERWRITE")
"""The file at the path of the dump before the write. A pair of each kind always runs."""


def client(kind: Kind, folder: Path, faults: Faults | None = None) -> DebugClient:
    modules = {} if isinstance(kind.target(), KernelSnapshot) else images()
    return DebugClient(kind.target(), start_directory=folder, profile=kind.profile, image_files=modules, faults=faults)


@cache
def images() -> dict[str, bytes]:
    """The headers of the files of the modules."""
    snapshot = process()
    return {module.name: snapshot.read(module.base, 0x400) or b"" for module in snapshot.modules}


def walk(reached: dict[FaultPoint, int]) -> Iterator[tuple[FaultPoint, int]]:
    for point, passages in sorted(reached.items()):
        for index in range(passages):
            yield point, index


def listed(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def rehearse(kind: Kind, folder: Path, flags: int) -> dict[FaultPoint, int]:
    """How often each fault point is passed in a successful write."""
    folder.mkdir()
    faults = Faults()
    client(kind, folder, faults).write(kind.name, kind.qualifier, kind.flags | flags)
    assert list(listed(folder)) == [kind.name]
    return faults.reached


@pytest.mark.parametrize(
    ("name", "before"),
    with_the_rest_slow(product(KINDS, BEFORE), [(name, BEFORE[index % 3]) for index, name in enumerate(KINDS)]),
)
def test_a_file_is_complete_or_as_it_was(tmp_path: Path, name: str, before: str) -> None:
    fault_walk(tmp_path, KINDS[name], before)


@cache
def crashed(mode: str) -> ProcessSnapshot | KernelSnapshot:
    """A target from the emulator."""
    return run_scenario("null-write") if mode == "user" else run_kernel_scenario("bugcheck-d1")


@pytest.mark.slow
@pytest.mark.parametrize("before", BEFORE)
@pytest.mark.parametrize("name", KINDS)
def test_a_file_of_an_emulated_target_is_complete_or_as_it_was(tmp_path: Path, name: str, before: str) -> None:
    mode = "kernel" if KINDS[name].target is machine else "user"
    fault_walk(tmp_path, replace(KINDS[name], target=lambda: crashed(mode)), before)


def fault_walk(folder: Path, kind: Kind, before: str) -> None:
    no_overwrite = DEBUG_FORMAT_NO_OVERWRITE if "NO_OVERWRITE" in before else 0
    reached = rehearse(kind, folder / "rehearsal", no_overwrite)
    assert set(reached) == set(FaultPoint)
    place = folder / "walk"
    place.mkdir()
    if before == "a file":
        (place / kind.name).write_bytes(OLD)
    left = listed(place)
    for point, index in walk(reached):
        for error, hresult in ERRORS[point]:
            asked = client(kind, place, Faults(point, index, error))
            found = asked.WriteDumpFile2(kind.name, kind.qualifier, kind.flags | no_overwrite)
            assert found == hresult, (point, index, asked.last_error)
            assert asked.last_error
            assert "\n" not in asked.last_error
            assert listed(place) == left, (point, index)


@pytest.mark.parametrize("name", KINDS)
def test_a_handle_is_complete_or_empty_or_as_it_was(tmp_path: Path, name: str) -> None:
    kind, rehearsal = KINDS[name], Faults()
    whole = io.BytesIO(OLD)
    client(kind, tmp_path, rehearsal).write(whole, kind.qualifier, kind.flags)
    assert set(rehearsal.reached) == {FaultPoint.READ_MEMORY, FaultPoint.SEEK, FaultPoint.WRITE, FaultPoint.FLUSH}
    for point, index in walk(rehearsal.reached):
        for error, hresult in ERRORS[point]:
            file = io.BytesIO(OLD)
            asked = client(kind, tmp_path, Faults(point, index, error))
            with pytest.raises(DumpWriteError) as caught:
                asked.write(file, kind.qualifier, kind.flags)
            assert caught.value.hresult == hresult, (point, index)
            untouched = point is FaultPoint.READ_MEMORY or (point is FaultPoint.SEEK and index == 0)
            assert file.getvalue() in ((OLD, b"") if untouched else (b"",)), (point, index)
            assert point is not FaultPoint.READ_MEMORY or file.getvalue() == OLD
            assert not file.closed
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("error", [KeyboardInterrupt(), MemoryError(), RuntimeError("a bug")])
@pytest.mark.parametrize("point", FaultPoint)
def test_an_interruption_leaves_no_trace(tmp_path: Path, point: FaultPoint, error: BaseException) -> None:
    (tmp_path / "x.dmp").write_bytes(OLD)
    asked = DebugClient(process(), start_directory=tmp_path, faults=Faults(point, 0, error))
    if isinstance(error, MemoryError):
        assert asked.WriteDumpFile("x.dmp", DEBUG_DUMP_SMALL) == 0x8007000E
    else:
        with pytest.raises(type(error)):
            asked.WriteDumpFile("x.dmp", DEBUG_DUMP_SMALL)
    assert listed(tmp_path) == {"x.dmp": OLD}


def test_after_a_failure_the_same_client_writes_the_dump(tmp_path: Path) -> None:
    asked = DebugClient(
        process(), start_directory=tmp_path, faults=Faults(FaultPoint.RENAME, 0, OSError(errno.EACCES, "held"))
    )
    assert asked.WriteDumpFile("x.dmp", DEBUG_DUMP_SMALL) == 0x80070005
    assert asked.WriteDumpFile("x.dmp", DEBUG_DUMP_SMALL) == 0
    assert asked.last_error is None
    assert (tmp_path / "x.dmp").read_bytes()[:4] == b"MDMP"


# --- faults of the operating system -----------------------------------------------------------------------------------


@contextmanager
def longest_file(size: int) -> Iterator[None]:
    """No file of this process may grow beyond ``size`` bytes."""
    resource: Any = pytest.importorskip("resource", reason="POSIX only")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("share", [0, 0.5, 1])
def test_a_system_that_stops_taking_bytes_loses_nothing(tmp_path: Path, name: str, share: float) -> None:
    """The system accepts a part of the bytes and then refuses, at the first byte, halfway, and at the last byte."""
    kind = KINDS[name]
    whole = client(kind, tmp_path).write(kind.name, kind.qualifier, kind.flags).size
    (tmp_path / kind.name).write_bytes(OLD)
    asked = client(kind, tmp_path)
    with longest_file(int((whole - 1) * share)):
        hresult = asked.WriteDumpFile2(kind.name, kind.qualifier, kind.flags)
    assert (hresult, listed(tmp_path)) == (0x800700DF, {kind.name: OLD})
    assert asked.WriteDumpFile2(kind.name, kind.qualifier, kind.flags) == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no device that is always full")
@pytest.mark.parametrize("name", KINDS)
def test_a_device_that_is_full_is_a_full_disk(tmp_path: Path, name: str) -> None:
    kind = KINDS[name]
    with Path("/dev/full").open("r+b", buffering=0) as device:
        asked = client(kind, tmp_path)
        assert asked.WriteDumpFileWide(None, device, kind.qualifier, kind.flags) == 0x80070070
        assert asked.WriteDumpFileWide(None, device.fileno(), kind.qualifier, kind.flags) == 0x80070070


def test_a_pipe_cannot_go_back_to_its_start(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    try:
        with os.fdopen(writer, "wb", buffering=0) as pipe:
            hresult = DebugClient(process(), start_directory=tmp_path).WriteDumpFileWide(None, pipe, DEBUG_DUMP_SMALL)
    finally:
        os.close(reader)
    assert hresult in (0x80070084, 0x80070005)  # ESPIPE of the system, or Python's error for it


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX only")
def test_a_pipe_is_not_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.dmp")
    asked = DebugClient(process(), start_directory=tmp_path)
    assert asked.WriteDumpFile("pipe.dmp", DEBUG_DUMP_SMALL) == 0x80070005
    assert [path.name for path in tmp_path.iterdir()] == ["pipe.dmp"]
    assert (tmp_path / "pipe.dmp").is_fifo()
