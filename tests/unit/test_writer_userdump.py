"""Tests the legacy full user dump byte by byte, with a separate decoder (docs/format/user-dump.md)."""

from __future__ import annotations

import struct
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from dumptruth.emu.constants import (
    DEBUG_DUMP_DEFAULT,
    DEBUG_DUMP_SMALL,
    DEBUG_FORMAT_CAB_SECONDARY_ALL_IMAGES,
    MEM_COMMIT,
    PAGE_GUARD,
    PAGE_READWRITE,
    Hresult,
)
from dumptruth.emu.debugger.client import DebugClient
from dumptruth.emu.request import DumpRefused, Profile, Request
from dumptruth.emu.snapshot.process import MemoryRun, ProcessSnapshot
from dumptruth.emu.snapshot.sparse import SparseBytes
from dumptruth.emu.synthetic.flag_process import flag_target
from dumptruth.emu.synthetic.process import Pages, synthetic_process
from dumptruth.emu.writer.layout import LayoutError
from dumptruth.emu.writer.minidump import dump_bytes
from dumptruth.emu.writer.userdump import user_dump_bytes

SNAPSHOT = synthetic_process(threads=3, modules=3, module_names=["C:\\Größe\\näh.exe", "C:\\a.dll"])
NAMES = (
    "Signature", "ValidDump", "MajorVersion", "MinorVersion", "MachineImageType", "ThreadCount", "ModuleCount",
    "MemoryRegionCount", "ThreadOffset", "ModuleOffset", "DataOffset", "MemoryRegionOffset", "DebugEventOffset",
    "ThreadStateOffset", "VersionInfoOffset", "Spare1",
)  # fmt: skip


def request(**members: Any) -> Request:
    return Request(DEBUG_DUMP_DEFAULT, profile=Profile.LEGACY, **members)


def dumped(snapshot: ProcessSnapshot = SNAPSHOT) -> tuple[bytes, dict[str, int]]:
    data, _ = user_dump_bytes(snapshot, request())
    return data, dict(zip(NAMES, struct.unpack_from("<8I8Q", data), strict=True))


def test_the_header_is_that_of_a_64_bit_process() -> None:
    data, header = dumped()
    assert data[:8] == b"USERDU64"
    assert (header["MajorVersion"], header["MinorVersion"]) == (10, 19045 << 16)
    assert header["MachineImageType"] == 0x8664
    assert (header["ThreadCount"], header["ModuleCount"], header["Spare1"]) == (3, 3, 0)


def test_the_file_ends_with_version_strings_as_the_engine_writes_them() -> None:
    patched = replace(SNAPSHOT, system=replace(SNAPSHOT.system, csd_version="Service Pack 1"))
    data, header = dumped(patched)
    tail = "CRASH: OS SP\0Service Pack 1\0CRASH: Hotfixes\0none\0\0"
    assert data[header["VersionInfoOffset"] :] == tail.encode("utf-16-le")


def test_sections_follow_each_other_without_a_gap() -> None:
    data, header = dumped()
    assert header["DebugEventOffset"] == 0x60
    assert header["MemoryRegionOffset"] == 0x110
    assert header["ThreadOffset"] == 0x110 + 48 * header["MemoryRegionCount"]
    assert header["ThreadStateOffset"] == header["ThreadOffset"] + 3 * 1232
    assert header["ModuleOffset"] == header["ThreadStateOffset"] + 3 * 80
    names = sum(16 + len(module.name) + 1 for module in SNAPSHOT.modules)
    assert header["DataOffset"] == header["ModuleOffset"] + names
    memory = sum(region.size for region in SNAPSHOT.regions if SNAPSHOT.read(region.base, 1) is not None)
    assert header["VersionInfoOffset"] == header["DataOffset"] + memory
    assert len(data) == header["VersionInfoOffset"] + 2 * len("CRASH: OS SP\0none\0CRASH: Hotfixes\0none\0\0")


def test_threads_and_contexts_are_in_one_order() -> None:
    data, header = dumped()
    for index, thread in enumerate(SNAPSHOT.threads):
        at = header["ThreadStateOffset"] + 80 * index
        assert struct.unpack_from("<4I8Q", data, at) == (
            thread.thread_id, thread.suspend_count, thread.priority_class, thread.priority & 0xFFFFFFFF, thread.teb,
            *[0] * 7,
        )  # fmt: skip
        context = header["ThreadOffset"] + 1232 * index
        assert struct.unpack_from("<I", data, context + 0x30) == (0x10005F,)
        assert struct.unpack_from("<Q", data, context + 0xF8) == (thread.context["Rip"],)


def test_module_names_are_ansi_and_as_long_as_they_say() -> None:
    data, header = dumped()
    at = header["ModuleOffset"]
    for module in SNAPSHOT.modules:
        base, size, length = struct.unpack_from("<QII", data, at)
        assert (base, size) == (module.base, module.size)
        assert data[at + 16 : at + 16 + length].decode("cp1252") == module.name + "\0"
        at += 16 + length
    assert at == header["DataOffset"]


def test_the_regions_are_all_that_is_accessible_and_their_bytes_follow_each_other() -> None:
    data, header = dumped()
    at, place, found = header["DataOffset"], header["MemoryRegionOffset"], []
    for index in range(header["MemoryRegionCount"]):
        row = struct.unpack_from("<QQIIQIIII", data, place + 48 * index)
        region = SNAPSHOT.region_at(row[0])
        assert region is not None
        assert row == (
            region.base, region.allocation_base, region.allocation_protect, 0, region.size, region.state,
            region.protect, region.type, 0,
        )  # fmt: skip
        assert data[at : at + region.size] == SNAPSHOT.read(region.base, region.size)
        at += region.size
        found.append(region)
    assert at == header["VersionInfoOffset"]
    assert found == [
        region
        for region in SNAPSHOT.regions
        if region.state == MEM_COMMIT and not region.protect & PAGE_GUARD and region.protect & 0xFF != 1
    ]
    assert any(region.protect == PAGE_READWRITE | PAGE_GUARD for region in SNAPSHOT.regions)


def test_the_event_is_the_exception() -> None:
    data, header = dumped()
    event = SNAPSHOT.exception
    assert event is not None
    words = struct.unpack_from("<IIII IIQQII 15Q II", data, header["DebugEventOffset"])
    assert words[:4] == (1, SNAPSHOT.process.process_id, event.thread_id, 0)
    assert words[4:10] == (event.code, event.flags, event.record, event.address, 2, 0)
    assert words[10:25] == (*event.information, *[0] * 13)
    assert words[25:] == (int(event.first_chance), 0)


def test_a_target_without_exception_has_a_breakpoint_at_the_current_instruction() -> None:
    snapshot = synthetic_process(exception=False)
    data, header = dumped(snapshot)
    thread = snapshot.threads[0]
    words = struct.unpack_from("<IIII IIQQII 15Q II", data, header["DebugEventOffset"])
    assert words[:4] == (1, snapshot.process.process_id, thread.thread_id, 0)
    assert words[4:10] == (0x80000003, 0, 0, thread.context["Rip"], 0, 0)
    assert words[25:] == (1, 0)
    with pytest.raises(LayoutError, match="neither an exception nor a thread"):
        dumped(synthetic_process(exception=False, threads=0))


def test_every_byte_is_on_the_map_and_the_same_snapshot_gives_the_same_bytes() -> None:
    data, result = user_dump_bytes(SNAPSHOT, request())
    assert result.size == len(data)
    assert sum(entry.size for entry in result.layout.entries) == len(data)
    assert user_dump_bytes(SNAPSHOT, request())[0] == data
    offset, size = result.layout.field("MemoryRegions[0]", "RegionSize")
    assert int.from_bytes(data[offset : offset + size], "little") == result.plan.regions[0].size


def test_comment_and_flags_are_left_out_with_a_warning() -> None:
    plain, _ = user_dump_bytes(SNAPSHOT, request())
    asked = request(comment="why", format_flags=int(DEBUG_FORMAT_CAB_SECONDARY_ALL_IMAGES))
    data, result = user_dump_bytes(SNAPSHOT, asked)
    assert data == plain
    assert result.warnings == (
        "no effect with DEBUG_DUMP_DEFAULT: DEBUG_FORMAT_USER_SMALL_SCAN_PARTIAL_PAGES",
        "the comment is left out: the USERDUMP format cannot store one",
    )


def test_unreadable_memory_refuses_the_dump() -> None:
    snapshot = synthetic_process(extra=[Pages(0x300_0000_0000, 0x1000, unreadable=True)])
    with pytest.raises(DumpRefused, match="0x30000000000") as refused:
        user_dump_bytes(snapshot, request())
    assert refused.value.hresult == Hresult.ERROR_PARTIAL_COPY


def test_values_that_the_format_cannot_hold_are_an_error() -> None:
    assert SNAPSHOT.exception is not None
    broken = replace(SNAPSHOT, exception=replace(SNAPSHOT.exception, information=(0,) * 16))
    with pytest.raises(LayoutError, match="16 parameters"):
        user_dump_bytes(broken, request())
    odd = replace(SNAPSHOT, system=replace(SNAPSHOT.system, architecture="alpha"))
    with pytest.raises(DumpRefused, match="architecture alpha") as refused:
        user_dump_bytes(odd, request())
    assert refused.value.hresult == Hresult.E_NOTIMPL


def test_the_client_writes_it_for_default_under_profile_legacy(tmp_path: Path) -> None:
    client = DebugClient(SNAPSHOT, start_directory=tmp_path, profile=Profile.LEGACY)
    result = client.write("full.dmp", DEBUG_DUMP_DEFAULT)
    assert (tmp_path / "full.dmp").read_bytes() == user_dump_bytes(SNAPSHOT, request())[0]
    assert result.legacy_plan.regions
    with pytest.raises(TypeError):
        _ = result.plan
    small = client.write("small.dmp", DEBUG_DUMP_SMALL)
    assert (tmp_path / "small.dmp").read_bytes() == dump_bytes(SNAPSHOT, Request(DEBUG_DUMP_SMALL))[0]
    with pytest.raises(TypeError):
        _ = small.legacy_plan
    with pytest.raises(DumpRefused, match="writes no minidump"):
        dump_bytes(SNAPSHOT, request())


def test_a_32_bit_process_has_the_32_bit_structures() -> None:
    snapshot = flag_target("x86", unreadable=False)
    data, result = user_dump_bytes(snapshot, request())
    header = dict(zip(NAMES, struct.unpack_from("<16I", data), strict=True))
    assert data[:8] == b"USERDUMP"
    assert header["MachineImageType"] == 0x14C
    assert header["DebugEventOffset"] == 64
    assert header["MemoryRegionOffset"] == 64 + 96
    assert header["ThreadOffset"] == 160 + 28 * header["MemoryRegionCount"]
    for index, thread in enumerate(snapshot.threads):
        assert struct.unpack_from("<4I8I", data, header["ThreadStateOffset"] + 48 * index) == (
            thread.thread_id, thread.suspend_count, thread.priority_class, thread.priority & 0xFFFFFFFF, thread.teb,
            *[0] * 7,
        )  # fmt: skip
        context = header["ThreadOffset"] + 716 * index
        assert struct.unpack_from("<I", data, context + 0xB8) == (thread.context["Eip"],)
    base, size, length = struct.unpack_from("<III", data, header["ModuleOffset"])
    assert (base, size) == (snapshot.modules[0].base, snapshot.modules[0].size)
    assert data[header["ModuleOffset"] + 12 :][:length].decode("cp1252") == snapshot.modules[0].name + "\0"
    at = header["DataOffset"]
    for index, region in enumerate(result.plan.regions):
        assert struct.unpack_from("<7I", data, header["MemoryRegionOffset"] + 28 * index) == (
            region.base, region.allocation_base, region.allocation_protect, region.size, region.state, region.protect,
            region.type,
        )  # fmt: skip
        assert data[at : at + region.size] == snapshot.read(region.base, region.size)
        at += region.size
    assert at == header["VersionInfoOffset"]
    event = snapshot.exception
    assert event is not None
    words = struct.unpack_from("<24I", data, header["DebugEventOffset"])
    assert words == (
        1, snapshot.process.process_id, event.thread_id, event.code, event.flags, event.record, event.address, 2,
        *event.information, *[0] * 13, int(event.first_chance),
    )  # fmt: skip


def test_an_arm64_process_has_the_64_bit_structures_and_its_own_contexts() -> None:
    snapshot = flag_target("arm64", unreadable=False)
    data, _ = user_dump_bytes(snapshot, request())
    header = dict(zip(NAMES, struct.unpack_from("<8I8Q", data), strict=True))
    assert data[:8] == b"USERDU64"
    assert header["MachineImageType"] == 0xAA64
    assert header["ThreadStateOffset"] == header["ThreadOffset"] + 912 * len(snapshot.threads)
    assert struct.unpack_from("<Q", data, header["ThreadOffset"] + 0x108) == (snapshot.threads[0].context["Pc"],)


def test_an_address_beyond_4_gib_does_not_fit_the_32_bit_structures() -> None:
    snapshot = flag_target("x86", unreadable=False)
    broken = replace(snapshot, threads=(replace(snapshot.threads[0], teb=1 << 32),))
    with pytest.raises(LayoutError, match=r"Threads\[0\]\.Teb"):
        user_dump_bytes(broken, request())


def test_memory_past_4_gib_is_written_as_holes(tmp_path: Path) -> None:
    base, size = 0x400_0000_0000, 5 << 30
    snapshot = synthetic_process(extra=[Pages(base, 0x1000)])
    data = SparseBytes(size, [(0, b"start".ljust(0x1000, b"\0")), (size - 0x1000, b"end".rjust(0x1000, b"\0"))])
    runs = tuple(MemoryRun(base, data) if run.start == base else run for run in snapshot.memory)
    regions = []
    for region in snapshot.regions:
        if region.base == base:
            regions.append(replace(region, size=size))
        elif region.base == base + 0x1000:
            regions.append(replace(region, base=base + size, size=region.end - base - size))
        else:
            regions.append(region)
    large = replace(snapshot, memory=runs, regions=tuple(regions))
    client = DebugClient(large, start_directory=tmp_path, profile=Profile.LEGACY)
    result = client.write("x.dmp", DEBUG_DUMP_DEFAULT)
    path = tmp_path / "x.dmp"
    assert path.stat().st_size == result.size > size
    index = next(index for index, region in enumerate(result.legacy_plan.regions) if region.base == base)
    at = result.layout.entry(f"Data[{index}]").offset
    with path.open("rb") as file:
        assert file.read(8) == b"USERDU64"
        file.seek(at)
        assert file.read(8) == b"start\0\0\0"
        file.seek(at + size - 4)
        assert file.read(4) == b"\0end"
    if sys.platform == "linux":
        assert path.stat().st_blocks * 512 < 1 << 20
