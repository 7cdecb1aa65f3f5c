"""Kernel sessions of the client, sparse dump files, and kernel truths on disk."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from dumptruth.emu.constants import FormatFlag, Hresult, Qualifier, SessionClass
from dumptruth.emu.debugger.client import DebugClient, DumpWriteError
from dumptruth.emu.request import KernelProfile, Request
from dumptruth.emu.snapshot.kernel import BugCheck, DataBlob, KernelSnapshot, PhysicalRun
from dumptruth.emu.synthetic.kernel import bare_machine, synthetic_machine
from dumptruth.emu.synthetic.process import synthetic_process
from dumptruth.emu.truth import store
from dumptruth.emu.writer.faults import FaultPoint, Faults
from dumptruth.emu.writer.kernel_bitmap import page_bitmap
from dumptruth.emu.writer.kernel_dump import kernel_dump_bytes

FULL, SMALL = Qualifier.DEBUG_KERNEL_FULL_DUMP, Qualifier.DEBUG_KERNEL_SMALL_DUMP


@pytest.fixture(scope="module")
def machine() -> KernelSnapshot:
    return synthetic_machine(blobs=(DataBlob(bytes(range(16)), b"data"),), triage_data=((0x1000, 3),))


def test_a_system_snapshot_is_a_kernel_session(machine: KernelSnapshot, tmp_path: Path) -> None:
    client = DebugClient(machine, start_directory=tmp_path)
    assert client.session_class == SessionClass.KERNEL
    assert DebugClient(synthetic_process()).session_class == SessionClass.USER_WINDOWS
    assert client.WriteDumpFile("full.dmp", FULL) == Hresult.S_OK
    expected, _ = kernel_dump_bytes(machine, Request(FULL, profile=KernelProfile.PORTABLE))
    assert (tmp_path / "full.dmp").read_bytes() == expected


@pytest.mark.parametrize("profile", list(KernelProfile))
@pytest.mark.parametrize("qualifier", [1024, 1025, 1026, 1030])
def test_every_kind_written_to_a_file_is_the_one_in_memory(
    machine: KernelSnapshot, tmp_path: Path, profile: KernelProfile, qualifier: int
) -> None:
    result = DebugClient(machine, start_directory=tmp_path, profile=profile).write("a.dmp", qualifier, 0, "note")
    expected, written = kernel_dump_bytes(machine, Request(qualifier, 0, "note", profile))
    data = (tmp_path / "a.dmp").read_bytes()
    assert data == expected
    assert len(data) == result.size == written.size
    assert data[:8] == b"PAGEDU64"
    assert data[0xF98] == result.kernel_plan.dump_type
    end = 0
    for entry in result.layout.entries:  # every byte belongs to one entry
        assert entry.offset == end
        end = entry.end
    assert end == len(data)


def test_user_mode_flags_are_refused_and_a_kernel_result_has_no_user_plan(
    machine: KernelSnapshot, tmp_path: Path
) -> None:
    client = DebugClient(machine, start_directory=tmp_path)
    flags = FormatFlag.DEBUG_FORMAT_USER_SMALL_FULL_MEMORY
    assert client.WriteDumpFile2("a.dmp", FULL, flags) == Hresult.E_INVALIDARG
    assert client.last_error is not None
    assert "DEBUG_FORMAT_USER_SMALL_FULL_MEMORY" in client.last_error
    assert list(tmp_path.iterdir()) == []
    result = client.write("b.dmp", SMALL)
    with pytest.raises(TypeError, match="only a user minidump"):
        _ = result.plan
    user = DebugClient(synthetic_process(), start_directory=tmp_path).write("c.dmp", 1024)
    with pytest.raises(TypeError, match="only a kernel-mode dump"):
        _ = user.kernel_plan


def test_a_handle_takes_a_kernel_dump(machine: KernelSnapshot, tmp_path: Path) -> None:
    with (tmp_path / "h.dmp").open("w+b") as handle:
        handle.write(b"old")
        assert DebugClient(machine).WriteDumpFileWide(None, handle, FULL, 0, None) == Hresult.S_OK
    expected, _ = kernel_dump_bytes(machine, Request(FULL, profile=KernelProfile.PORTABLE))
    assert (tmp_path / "h.dmp").read_bytes() == b"old" + expected


@pytest.mark.parametrize("point", list(FaultPoint))
def test_a_fault_at_any_point_leaves_nothing_behind(machine: KernelSnapshot, tmp_path: Path, point: FaultPoint) -> None:
    count = Faults()
    DebugClient(machine, start_directory=tmp_path, faults=count).write("a.dmp", FULL)
    (tmp_path / "a.dmp").unlink()
    assert count.reached[point]
    for index in range(count.reached[point]):
        client = DebugClient(machine, start_directory=tmp_path, faults=Faults(point, index, OSError(5, "broken")))
        with pytest.raises(DumpWriteError):
            client.write("a.dmp", FULL)
        assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="files on Windows have no holes by default")
@pytest.mark.parametrize("profile", ["portable", "bitmap", "ranges"])
def test_a_machine_of_64_gib_is_a_file_of_holes(tmp_path: Path, profile: str) -> None:
    touched = {0x1000 + index * 0x10000: bytes([index + 1]) * 4096 for index in range(100)}
    machine = bare_machine([(1, 0x9F), (0x100, 0xBFF00), (0x100000, 0xF00000)], touched)
    result = DebugClient(machine, start_directory=tmp_path, profile=profile).write("big.dmp", FULL)
    status = (tmp_path / "big.dmp").stat()
    assert status.st_size == result.size > 62 << 30
    assert status.st_blocks * 512 < 8 << 20
    with (tmp_path / "big.dmp").open("rb") as file:
        file.seek(result.layout.entry("Pages[0x11000]").offset)
        assert file.read(4096) == touched[0x11000]
        assert file.read(4096) == bytes(4096)


def test_the_last_byte_of_untouched_memory_is_in_the_file(tmp_path: Path) -> None:
    machine = bare_machine([(1, 1), (0x100, 0x400)], {1: b"\1" * 4096})
    DebugClient(machine, start_directory=tmp_path).write("a.dmp", FULL)
    assert (tmp_path / "a.dmp").read_bytes()[0x2000:] == b"\1" * 4096 + bytes(0x400000)


@pytest.mark.parametrize(
    "frames", [[], [(0, 1)], [(7, 8)], [(1, 7)], [(0, 64)], [(3, 5), (6, 21), (24, 32), (63, 64)], [(7, 9)], [(8, 16)]]
)
def test_the_bitmap_has_one_bit_for_each_page(frames: list[tuple[int, int]]) -> None:
    bitmap = page_bitmap(frames, 64)
    found = {bit for bit in range(64) if bitmap[bit // 8] >> bit % 8 & 1}
    assert found == {frame for start, end in frames for frame in range(start, end)}
    assert len(bitmap) == 8


@pytest.mark.parametrize("build", [9600, 19041, 26100])
def test_a_kernel_truth_comes_back_equal(tmp_path: Path, build: int) -> None:
    machine = synthetic_machine(
        build=build, processors=2, in_user_process=True, blobs=(DataBlob(b"\xaa" * 16, b""),),
        triage_data=((0xFFFFF80000200000, 16),), added_pages=((5, 2),), exception=(0xC0000005, 0, 0xFFFFF80000201234),
        bug_check=BugCheck(0x7E, (0xFFFFFFFFC0000005, 1, 2, 3)),
    )  # fmt: skip
    machine = replace(machine, unreadable_pages=((6, 1),))
    request = Request(FULL, 0, "why", KernelProfile.RANGES)
    store.save(machine, tmp_path / "truth", source="by hand", request=request, file="a.dmp")
    assert store.load_kernel(tmp_path / "truth") == machine
    assert store.load_snapshot(tmp_path / "truth") == machine
    assert store.load_request(tmp_path / "truth") == request
    assert store.load_named(tmp_path / "truth")[0] == "by hand"
    document = json.loads((tmp_path / "truth" / "truth.json").read_text(encoding="utf-8"))
    assert document["mode"] == "kernel"
    assert document["exception"] == {"code": 0xC0000005, "flags": 0, "address": "0xfffff80000201234"}


def test_each_mode_is_loaded_by_its_own_door(tmp_path: Path, machine: KernelSnapshot) -> None:
    process = synthetic_process()
    store.save(machine, tmp_path / "kernel")
    store.save(process, tmp_path / "user")
    assert store.load_snapshot(tmp_path / "user") == process
    with pytest.raises(store.TruthError, match="mode"):
        store.load_kernel(tmp_path / "user")
    with pytest.raises(store.TruthError, match=r"truth\.json"):
        store.load(tmp_path / "kernel")


def test_zeros_in_touched_memory_survive_the_truth(tmp_path: Path, machine: KernelSnapshot) -> None:
    data = bytes(0x30000) + b"\7" * 0x1000 + bytes(0x41000)
    memory = (PhysicalRun(4, data), PhysicalRun(0x100, bytes(0x20000)))
    machine = replace(machine, physical_runs=((0, 0x200),), free_pages=(), standby_pages=(), memory=memory)
    store.save(machine, tmp_path / "truth")
    assert (tmp_path / "truth" / "memory.bin").read_bytes() == data + bytes(0x20000)
    assert store.load_kernel(tmp_path / "truth") == machine


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda document: document["memory"][1].update(offset="0x0"), r"memory\[1\]\.offset"),
        (lambda document: document["memory"][1].update(base_page="0x0"), r"memory\[1\]: expected runs"),
        (lambda document: document.update(crashing_processor=9), "crashing_processor"),
        (lambda document: document["bug_check"].update(parameters=[]), r"bug_check\.parameters"),
        (
            lambda document: document["symbols"].pop("kernel_base"),
            r"symbols\.kernel_base: expected a value, found none",
        ),
    ],
)
def test_a_damaged_kernel_truth_is_refused_with_the_member_named(
    tmp_path: Path, machine: KernelSnapshot, change: object, message: str
) -> None:
    store.save(machine, tmp_path / "truth")
    path = tmp_path / "truth" / "truth.json"
    document = json.loads(path.read_text(encoding="utf-8"))
    change(document)  # type: ignore[operator]
    path.write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(store.TruthError, match=message):
        store.load_snapshot(tmp_path / "truth")
