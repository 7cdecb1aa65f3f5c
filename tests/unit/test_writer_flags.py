"""The words that filters fill, and the references to ranges and stacks, read with plain ``struct`` calls."""

from __future__ import annotations

import struct
import time
from bisect import bisect_right
from dataclasses import replace

import pytest
from dumptruth.emu.constants import FormatFlag
from dumptruth.emu.plan.filters import TriageFilter, base_name
from dumptruth.emu.plan.flags import FLAG_ROWS
from dumptruth.emu.plan.ranges import RangeSet, subtract
from dumptruth.emu.request import Request
from dumptruth.emu.snapshot.process import ProcessSnapshot
from dumptruth.emu.synthetic.flag_process import PLACES, flag_target
from dumptruth.emu.synthetic.process import synthetic_process
from dumptruth.emu.writer.minidump import dump_bytes

SMALL = 1024
FILTER_MEMORY = FormatFlag.DEBUG_FORMAT_USER_SMALL_FILTER_MEMORY
FILTER_TRIAGE = FormatFlag.DEBUG_FORMAT_USER_SMALL_FILTER_TRIAGE
FILTER_PATHS = FormatFlag.DEBUG_FORMAT_USER_SMALL_FILTER_PATHS
FULL_MEMORY = FormatFlag.DEBUG_FORMAT_USER_SMALL_FULL_MEMORY
MORE_MEMORY = 0x8 | 0x80 | 0x100 | 0x1000 | 0x8000
ARCHITECTURES = ("amd64", "x86", "arm64")
TARGETS = {architecture: flag_target(architecture, unreadable=False) for architecture in ARCHITECTURES}


def dump(target: ProcessSnapshot, flags: int) -> bytes:
    return dump_bytes(target, Request(SMALL, flags))[0]


def streams(data: bytes) -> dict[int, tuple[int, int]]:
    """Type -> (RVA, size)."""
    count, rva = struct.unpack_from("<II", data, 8)
    rows = (struct.unpack_from("<III", data, rva + 12 * index) for index in range(count))
    return {kind: (at, size) for kind, size, at in rows}


class Captured:
    """The memory of a dump by address, from either list."""

    def __init__(self, data: bytes) -> None:
        self.ranges: list[tuple[int, int, int]] = []
        found = streams(data)
        if 5 in found:
            (count,) = struct.unpack_from("<I", data, found[5][0])
            self.ranges = [struct.unpack_from("<QII", data, found[5][0] + 4 + 16 * index) for index in range(count)]
        else:
            count, offset = struct.unpack_from("<QQ", data, found[9][0])
            for index in range(count):
                start, size = struct.unpack_from("<QQ", data, found[9][0] + 16 + 16 * index)
                self.ranges.append((start, size, offset))
                offset += size
        self.ranges.sort()
        self._data = data

    def __contains__(self, address: int) -> bool:
        index = bisect_right(self.ranges, (address, 1 << 64, 0)) - 1
        return index >= 0 and address < self.ranges[index][0] + self.ranges[index][1]

    def read(self, start: int, size: int) -> bytes:
        parts = b""
        while size:
            low, length, rva = self.ranges[bisect_right(self.ranges, (start, 1 << 64, 0)) - 1]
            assert low <= start < low + length, hex(start)
            taken = min(size, low + length - start)
            parts += self._data[rva + start - low : rva + start - low + taken]
            start, size = start + taken, size - taken
        return parts

    def shape(self) -> list[tuple[int, int]]:
        return [(start, size) for start, size, _ in self.ranges]


def stacks(data: bytes) -> list[tuple[int, int, int]]:
    """(start, size, RVA) of each thread's stack descriptor."""
    at, _ = streams(data)[3]
    (count,) = struct.unpack_from("<I", data, at)
    return [struct.unpack_from("<24xQII", data, at + 4 + 48 * index) for index in range(count)]


def in_module(target: ProcessSnapshot, address: int) -> bool:
    return any(module.base <= address < module.base + module.size for module in target.modules)


def words(data: bytes, start: int, size: int) -> list[tuple[int, int]]:
    """(address, word) of each pointer-aligned word in bytes that lie at ``start``."""
    first = -start % size
    return [
        (start + at, int.from_bytes(data[at : at + size], "little")) for at in range(first, len(data) - size + 1, size)
    ]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("more", [0, MORE_MEMORY])
def test_filter_memory_changes_no_byte_but_its_bit(architecture: str, more: int) -> None:
    plain, filtered = dump(TARGETS[architecture], more), dump(TARGETS[architecture], more | FILTER_MEMORY)
    assert [at for at, (one, other) in enumerate(zip(plain, filtered, strict=True)) if one != other] == [0x18]
    assert plain[0x18] ^ filtered[0x18] == 0x8


@pytest.mark.parametrize("flag", [FILTER_MEMORY, FILTER_TRIAGE])
def test_full_memory_is_not_filtered(flag: int) -> None:
    assert dump(TARGETS["amd64"], FULL_MEMORY | flag) == dump(TARGETS["amd64"], FULL_MEMORY)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_filter_triage_keeps_stack_words_that_lead_into_images_or_stacks(architecture: str) -> None:
    target = TARGETS[architecture]
    size = target.system.pointer_size
    data = dump(target, FILTER_TRIAGE)
    captured = Captured(data)
    kept = filled = 0
    descriptors = stacks(data)

    def useful(word: int) -> bool:
        tables = ((table.minimum_address, table.maximum_address) for table in target.function_tables)
        inside = any(low <= word < low + length for low, length, _ in descriptors)
        return in_module(target, word) or inside or any(low <= word < high for low, high in tables)

    for start, length, _ in descriptors:
        live, found = target.read(start, length), captured.read(start, length)
        assert live is not None
        if start % size:
            assert found == live, "a stack between two words is not filtered"
            continue
        for (address, word), (_, left) in zip(words(live, start, size), words(found, start, size), strict=True):
            pointed = target.read(word, size)
            survives = not word or useful(word) or (pointed is not None and useful(int.from_bytes(pointed, "little")))
            assert left == (word if survives else int.from_bytes(b"\xaa" * size, "little")), hex(address)
            kept, filled = kept + survives, filled + (not survives)
    assert kept > 4
    assert filled > 40
    elsewhere = subtract(
        [(start, start + length) for start, length in captured.shape()],
        [(start, start + length) for start, length, _ in descriptors],
    )
    assert all(captured.read(start, end - start) == target.read(start, end - start) for start, end in elsewhere)


def test_memory_that_a_kept_word_points_at_is_added_by_filter_triage() -> None:
    target, places = TARGETS["amd64"], PLACES[8]
    start = places.heap + 0x800
    pointer = (places.program + 0x1010).to_bytes(8, "little")
    stack = places.stack_base(0) - 0x400
    for address, data in ((start, pointer), (stack, start.to_bytes(8, "little"))):
        memory = []
        for run in target.memory:
            contents = bytearray(bytes(run.data))
            if run.start <= address < run.end:
                contents[address - run.start : address - run.start + 8] = data
            memory.append(replace(run, data=bytes(contents)))
        target = replace(target, memory=tuple(memory))
    captured = Captured(dump(target, FILTER_TRIAGE))
    assert (start, 8) in captured.shape()
    assert captured.read(start, 8) == pointer
    assert captured.read(stack, 8) == start.to_bytes(8, "little")
    assert (start, 8) not in Captured(dump(target, 0)).shape()


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_filter_triage_fills_floating_point_state_and_registers_that_lead_nowhere(architecture: str) -> None:
    plain, filtered = dump(TARGETS[architecture], 0), dump(TARGETS[architecture], FILTER_TRIAGE)
    size = {"amd64": 1232, "x86": 716, "arm64": 912}[architecture]

    def context(data: bytes, place: int) -> bytes:
        return data[place : place + size]

    def thread(data: bytes) -> bytes:
        return context(data, struct.unpack_from("<I", data, streams(data)[3][0] + 4 + 44)[0])

    def exception(data: bytes) -> bytes:
        return context(data, struct.unpack_from("<I", data, streams(data)[6][0] + 0xA4)[0])

    if architecture == "arm64":
        assert thread(filtered) == thread(plain)
        assert exception(filtered) == exception(plain)
        return
    first, last = (0x100, 0x4A0) if architecture == "amd64" else (0xCC, 0x2CC)
    for part in (thread(filtered), exception(filtered)):
        assert part[first:last] == b"\xaa" * (last - first)
    pointer, width = (0x80, 8) if architecture == "amd64" else (0xAC, 4)  # Rcx, Ecx: a null pointer's neighbour
    assert thread(plain)[pointer : pointer + width] == (0x10).to_bytes(width, "little")
    assert thread(filtered)[pointer : pointer + width] == b"\xaa" * width
    assert exception(filtered)[pointer : pointer + width] == exception(plain)[pointer : pointer + width]
    kept = (0xF8, 8) if architecture == "amd64" else (0xB8, 4)  # Rip, Eip
    assert thread(filtered)[kept[0] : sum(kept)] == thread(plain)[kept[0] : sum(kept)]


@pytest.mark.parametrize("pointer_size", [4, 8])
@pytest.mark.parametrize("start", [0x1000, 0x1004])
@pytest.mark.parametrize("length", [0, 8, 16, 24, 29])
def test_a_filter_decides_word_by_word_at_their_own_alignment(pointer_size: int, start: int, length: int) -> None:
    data = bytes(range(1, length + 1))
    found = [
        int.from_bytes(data[at : at + pointer_size], "little")
        for at in range(-start % pointer_size, length - pointer_size + 1, pointer_size)
    ]
    for kept in (found, [], found[::2]):
        made = TriageFilter(RangeSet(((0, 1 << 64),)), frozenset(kept), (), pointer_size)
        expected = bytearray(data)
        for index, word in enumerate(found):
            at = -start % pointer_size + index * pointer_size
            if word not in kept:
                expected[at : at + pointer_size] = b"\xaa" * pointer_size
        assert bytes(made.apply(start, memoryview(data))) == expected
    nowhere = TriageFilter(RangeSet(()), frozenset(), (), pointer_size)
    assert bytes(nowhere.apply(start, memoryview(data))) == data


def test_filter_paths_leaves_base_names_of_loaded_and_unloaded_modules() -> None:
    target = TARGETS["amd64"]

    def names(flags: int) -> list[str]:
        data = dump(target, flags | 0x4)
        found = streams(data)
        rvas = [struct.unpack_from("<I", data, found[4][0] + 4 + 108 * index + 20)[0] for index in range(2)]
        rvas += [struct.unpack_from("<I", data, found[14][0] + 12 + 24 * index + 20)[0] for index in range(2)]
        sizes = [struct.unpack_from("<I", data, rva)[0] for rva in rvas]
        return [data[rva + 4 : rva + 4 + size].decode("utf-16-le") for rva, size in zip(rvas, sizes, strict=True)]

    assert names(0) == [
        "C:\\work\\flags.exe", "D:/mixed\\path/lib with space.dll", "gone before.dll", "E:\\left\\with a path.dll",
    ]  # fmt: skip
    assert names(FILTER_PATHS) == ["flags.exe", "lib with space.dll", "gone before.dll", "with a path.dll"]


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("C:\\a\\b.dll", "b.dll"), ("\\\\server\\share\\b.dll", "b.dll"), ("\\\\?\\C:\\b.dll", "b.dll"),
        ("/usr/lib/b.so", "b.so"), ("C:b.dll", "b.dll"), ("b.dll", "b.dll"), ("", ""), ("C:\\a/b\\", ""),
        ("b.dll:stream", "b.dll:stream"), ("\\Device\\Volume1\\\u00e9.dll", "\u00e9.dll"),
    ],
)  # fmt: skip
def test_a_base_name_has_no_directory_and_no_drive(path: str, name: str) -> None:
    assert base_name(path) == name


def test_a_stack_that_was_lengthened_has_no_rva_and_is_found_by_address() -> None:
    target = TARGETS["amd64"]
    data = dump(target, 0x8)
    captured = Captured(data)
    found = stacks(data)
    assert [rva == 0 for _, _, rva in found] == [True, False, False, True]
    for start, size, rva in found:
        assert captured.read(start, size) == target.read(start, size)
        assert not rva or (start, size, rva) in captured.ranges
    assert not any(rva for _, _, rva in stacks(dump(target, FULL_MEMORY)))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_flag_changes_the_file_and_the_header(architecture: str) -> None:
    target = TARGETS[architecture]
    plain = dump(target, 0)
    for row in FLAG_ROWS:
        data = dump(target, row.flag)
        assert struct.unpack_from("<Q", data, 0x18)[0] & row.minidump_type, row.flag.name
        assert data[0x20:] != plain[0x20:] or row.flag in (
            0x20, 0x200, 0x2000, 0x4000, 0x40000, 0x4000000, 0x8000000, 0x10000000,
            *((0x20000,) if architecture == "arm64" else ()),  # without a record for its extended state
        ), row.flag.name  # fmt: skip


def test_two_thousand_threads_and_four_hundred_modules_are_written_in_seconds() -> None:
    made = synthetic_process(threads=2000, modules=400, stack_used=0x2000)
    begin = time.process_time()
    flags = 0x8 | 0x10 | 0x20 | 0x80 | 0x100 | 0x1000 | 0x8000 | 0x10000
    data = dump(made, flags)
    assert time.process_time() - begin < 40, "a few seconds; minutes if a step were quadratic"
    assert struct.unpack_from("<I", data, streams(data)[3][0]) == (2000,)
