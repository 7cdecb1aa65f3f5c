"""``dumptruth.oracle`` reads damaged and hostile files as docs/api.md promises, in bounded time and memory."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from struct import pack
from typing import Any

import pytest
from dumptruth.oracle import (
    ByteSource,
    NotADumpError,
    check,
    identify,
    read,
    read_minidump,
    read_userdump,
)
from dumptruth.oracle.decode import structure
from hypothesis import given, settings
from hypothesis import strategies as st

from .public_goldens import (
    BY_NAME,
    FILES,
    KINDS,
    MACHINE,
    SYSTEM_INFO,
    minidump,
    path_of,
    walk,
)

ODD = (0, 1, 0x7F, 0xFF, 0xFFFF, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF, 1 << 62, 1 << 63, (1 << 64) - 1)


def test_every_golden_is_read_or_refused_in_one_line() -> None:
    refused = {}
    for vector in FILES:
        try:
            with read(str(vector.path)) as dump:
                walk(dump)
        except NotADumpError as error:
            refused[vector.name] = str(error)
    assert all(BY_NAME[name].kind != "valid" for name in refused)
    assert not any("\n" in text for text in refused.values())


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """The bytes of a golden, cut or with a few fields overwritten. Most fields are near the start."""
    data = bytearray(draw(st.sampled_from(FILES)).read())
    if draw(st.booleans()):
        del data[draw(st.integers(0, len(data))) :]
    for _ in range(draw(st.integers(0, 6))):
        reach = draw(st.sampled_from((64, 512, 0x2100, 1 << 30)))
        at = draw(st.integers(0, min(reach, len(data)))) & ~3
        width = draw(st.sampled_from((1, 2, 4, 8)))
        value = draw(st.one_of(st.sampled_from(ODD), st.integers(0, 2 * len(data))))
        data[at : at + width] = (value % (1 << 8 * width)).to_bytes(width, "little")[: len(data) - at]
    return bytes(data)


@given(damaged())
@settings(max_examples=100)
def test_a_damaged_file_is_read_without_its_damaged_parts(data: bytes) -> None:
    with suppress(NotADumpError), read(data) as dump:
        walk(dump)


@given(
    st.sampled_from(KINDS),
    st.one_of(st.integers(), st.integers(0, 1 << 64), st.sampled_from(ODD)),
    st.one_of(st.integers(), st.integers(0, 9000)),
)
def test_memory_gives_all_bytes_or_none(name: str, address: int, size: int) -> None:
    with read(path_of(name)) as dump:
        bases = [start for start, _ in dump.memory.ranges] + [module.base for module in dump.modules] + [0]
        for at in (address, bases[0] + address % 4096):
            found = dump.memory.read(at, size)
            assert found is None or len(found) == size


@pytest.mark.parametrize(
    ("machine", "context", "pointer"),
    [
        (0, "CONTEXT_X86", "eip"),
        (9, "CONTEXT_AMD64", "rip"),
        (5, "CONTEXT_ARM", "pc"),
        (5, "CONTEXT_ARM_BREAKPAD", "pc"),
        (12, "CONTEXT_ARM64", "pc"),
        (12, "CONTEXT_ARM64_BREAKPAD", "pc"),
    ],
)
def test_registers_are_integers_of_at_most_64_bits(machine: int, context: str, pointer: str) -> None:
    size = structure(context).size
    thread = pack("<IIIIIQQIIII", 1, 1, 0, 0, 0, 0, 0, 0, 0, size, 32 + 36)
    data = minidump((0x10000, b"\xee" * size), (7, pack("<H", machine) + SYSTEM_INFO[1][2:]), (3, thread))
    with read(data) as dump:
        (found,) = dump.threads
    assert found.registers[pointer] == found.instruction_pointer
    assert "nothing" not in found.registers
    assert all(0 < value < 1 << 64 for value in found.registers.values())


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"", "an empty file"),
        (b"hello", "a text file"),
        (b"MSCF" + bytes(60), "a cabinet without a dump that can be read"),
        (b"PMDM" + bytes(60), "a minidump of a big-endian writer"),
        (b"\x7fELF" + bytes(60), r"an ELF file .*"),
    ],
)
def test_a_file_that_is_no_dump_is_named_with_what_it_is(data: bytes, found: str, tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(data)
    with pytest.raises(NotADumpError, match=f"^the bytes: expected a crash dump, found {found}$"):
        read(data)
    with pytest.raises(NotADumpError, match=f"^a.bin: expected a crash dump, found {found}$"):
        read(path)
    path.unlink()


@pytest.mark.parametrize("use", [read, check, identify])
@pytest.mark.parametrize("name", ["missing.dmp", "folder", "a\0b"])
def test_a_path_that_cannot_be_opened_is_an_os_error_with_the_path(
    use: Callable[[Path], object], name: str, tmp_path: Path
) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match=r".") as caught:
        use(tmp_path / name)
    assert caught.value.filename is not None
    assert str(caught.value.filename) == str(tmp_path / name)


# Time and memory of hostile files.


def test_a_dump_that_names_2_60_pages_holds_those_of_the_file() -> None:
    data = bytearray(path_of(MACHINE).read_bytes())
    block = structure("DUMP_HEADER64").fields["PhysicalMemoryBlock"].offset
    runs = b"".join(pack("<QQ", index << 58, 1 << 58) for index in range(4))
    data[block : block + 16 + len(runs)] = pack("<IIQ", 4, 0, 1 << 60) + runs
    start = time.process_time()
    with read(bytes(data)) as dump:
        assert dump.pages is not None
        assert list(dump.pages.runs()) == [(0, (len(data) - 0x2000) // 4096)]
        walk(dump)
    assert time.process_time() - start < 2


def test_modules_that_share_a_huge_code_view_record_cost_no_memory() -> None:
    size, count = 1 << 20, 5000
    record = pack("<QIIII", 0x10000, 0x1000, 0, 0, 0) + bytes(52) + pack("<IIII", size, 32 + 36, 0, 0) + bytes(16)
    data = minidump((0x10000, b"RSDS" * (size // 4)), SYSTEM_INFO, (4, pack("<I", count) + record * count))
    start = time.process_time()
    with read(data) as dump:
        assert len(dump.modules) == count
        assert 0 < sum(len(module.pdb or "") for module in dump.modules) <= 64 << 20
    assert time.process_time() - start < 5  # with the whole record for each module: 5 GB of text


def test_memory_that_names_the_same_bytes_for_many_addresses_is_given_in_parts() -> None:
    size, count = 1 << 16, 1 << 10
    ranges = b"".join(pack("<QII", index * size, size, 32 + 24) for index in range(count))
    data = minidump((0x10000, b"x" * size), (5, pack("<I", count) + ranges))
    with read(data) as dump:
        assert dump.memory.ranges == ((0, size * count),)  # 64 MiB, in a file of less than 128 KiB
        assert dump.memory.read(0, size * count) is None
        assert dump.memory.read(size * count - len(data), len(data)) == b"x" * len(data)


def test_a_thread_costs_little_more_than_its_records() -> None:
    count = 1000
    contexts = bytes(range(256)) * (1232 // 256 + count // 256 + 2)
    entries = b"".join(pack("<IIIIQQIIII", index + 1, 0, 0, 0, 0, 0, 0, 0, 1232, 68 + index) for index in range(count))
    source = ByteSource(minidump((0x10000, contexts), SYSTEM_INFO, (3, pack("<I", count) + entries)))
    costs = []
    for use in (read_minidump, read):
        tracemalloc.start()
        held = use(source)
        costs.append(tracemalloc.get_traced_memory()[0] / count)
        tracemalloc.stop()
        del held
    assert costs[1] - costs[0] < 1024  # in bytes; with decoded registers: 4 KB


def test_threads_and_regions_of_a_user_dump_are_matched_in_little_time() -> None:
    threads, regions = 1000, 6_000
    names = ("USERMODE_CRASHDUMP_HEADER64", "CRASH_THREAD64", "CONTEXT_AMD64", "MEMORY_BASIC_INFORMATION64")
    header, thread, context, region = (structure(name) for name in names)

    def filled(table: Any, **values: int) -> bytes:
        data = bytearray(table.size)
        for name, value in values.items():
            field = table.fields[name]
            data[field.offset : field.offset + field.width] = value.to_bytes(field.width, "little")
        return bytes(data)

    at_threads = header.size
    at_contexts = at_threads + threads * thread.size
    at_regions = at_contexts + threads * context.size
    at_data = at_regions + regions * region.size
    head = bytearray(
        filled(
            header, MachineImageType=0x8664, ThreadCount=threads, ThreadStateOffset=at_threads,
            ThreadOffset=at_contexts, MemoryRegionCount=regions, MemoryRegionOffset=at_regions, DataOffset=at_data,
        )
    )  # fmt: skip
    head[:8] = b"USERDU64"
    last = (regions - 1) * 0x2000
    data = bytes(head) + bytes(threads * thread.size) + filled(context, Rsp=last + 8) * threads
    data += b"".join(filled(region, BaseAddress=index * 0x2000, RegionSize=16) for index in range(regions))
    data += bytes(regions * 16)
    start = time.process_time()
    read_userdump(ByteSource(data))
    middle = time.process_time()
    with read(data) as dump:
        end = time.process_time()
        assert {thread.stack for thread in dump.threads} == {(last + 8, last + 16)}
        assert len(dump.memory.ranges) == regions
    assert end - middle < 10 * (middle - start)  # with a search through all regions for each thread: 20 times


def test_text_is_identified_in_little_time() -> None:
    """A cabinet of one megabyte can hold 65,535 texts."""
    source = ByteSource(b"hello world\r\n" * 400)
    start = time.process_time()
    assert {identify(source).kind for _ in range(20_000)} == {"text"}
    assert time.process_time() - start < 4  # takes tenths of a second; byte by byte, 8 s or more
