"""The words that filters zero, and the references to ranges and stacks, read with plain ``struct`` calls."""

from __future__ import annotations

import struct
import time
from bisect import bisect_right

import pytest
from dumptruth.emu.constants import FormatFlag
from dumptruth.emu.plan.filters import WordFilter, base_name
from dumptruth.emu.plan.flags import FLAG_ROWS
from dumptruth.emu.plan.ranges import RangeSet
from dumptruth.emu.request import Request
from dumptruth.emu.snapshot.process import ProcessSnapshot
from dumptruth.emu.synthetic.flag_process import PLACES, flag_target, stack_words
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


def same_ranges(plain: bytes, filtered: bytes) -> tuple[Captured, Captured]:
    """The memory of two dumps of the same length with the same ranges."""
    before, after = Captured(plain), Captured(filtered)
    assert after.shape() == before.shape()
    assert len(filtered) == len(plain)
    return before, after


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("more", [0, MORE_MEMORY, FULL_MEMORY])
def test_filter_memory_keeps_stack_words_that_point_into_modules_and_stacks(architecture: str, more: int) -> None:
    target = TARGETS[architecture]
    size = target.system.pointer_size
    plain, filtered = dump(target, more), dump(target, more | FILTER_MEMORY)
    before, after = same_ranges(plain, filtered)
    descriptors = stacks(plain)
    kept = zeroed = 0
    for start, length, _ in descriptors:
        live, found = before.read(start, length), after.read(start, length)
        assert live == target.read(start, length)
        assert found[: -start % size] == bytes(-start % size), "a word that is only half in the stack"
        for (address, word), (_, left) in zip(words(live, start, size), words(found, start, size), strict=True):
            useful = in_module(target, word) or any(low <= word < low + length for low, length, _ in descriptors)
            assert left == (word if useful else 0), hex(address)
            kept, zeroed = kept + useful, zeroed + (not useful and word != 0)
    assert kept > 4
    assert zeroed > 40
    elsewhere = [
        (low, part) for low, part in before.shape() if not any(s <= low < s + n or low <= s < low + part
                                                               for s, n, _ in descriptors)
    ]  # fmt: skip
    assert all(after.read(*part) == target.read(*part) for part in elsewhere)


def test_filter_memory_keeps_exactly_the_documented_words_of_a_stack() -> None:
    target, places = TARGETS["amd64"], PLACES[8]
    start = places.stack_base(0) - 0x400
    found = {word for _, word in words(Captured(dump(target, FILTER_MEMORY)).read(start, 0x400), start, 8)}
    named = stack_words(places)
    assert found == {0, named["code"], named["data of a module"], named["own stack"]}


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("more", [0, MORE_MEMORY, FULL_MEMORY])
def test_filter_triage_keeps_outside_images_only_pointers_to_captured_memory(architecture: str, more: int) -> None:
    target = TARGETS[architecture]
    size = target.system.pointer_size
    before, after = same_ranges(dump(target, more), dump(target, more | FILTER_TRIAGE))
    kept = zeroed = 0
    for start, length in before.shape():
        live, found = before.read(start, length), after.read(start, length)
        assert live == target.read(start, length)
        if in_module(target, start):
            assert found == live
            continue
        first, last = -start % size, length - (start + length) % size
        assert not any(found[:first]), "a word that is only half in the range"
        assert not any(found[max(first, last) :])
        for (address, word), (_, left) in zip(words(live, start, size), words(found, start, size), strict=True):
            assert left == (word if word in before else 0), hex(address)
            kept, zeroed = kept + (word in before), zeroed + (word not in before and word != 0)
    assert kept > 2
    assert zeroed > 40


def test_with_both_filters_a_word_survives_only_if_both_let_it() -> None:
    target, places = TARGETS["amd64"], PLACES[8]
    start = places.stack_base(0) - 0x400
    both = Captured(dump(target, FILTER_MEMORY | FILTER_TRIAGE))
    found = {word for _, word in words(both.read(start, 0x400), start, 8)}
    named = stack_words(places)
    # Without DATA_SEGMENTS the module's data is not captured, and the code is not near an instruction pointer.
    assert found == {0, named["own stack"]}
    more = Captured(dump(target, FILTER_MEMORY | FILTER_TRIAGE | 0x10))
    found = {word for _, word in words(more.read(start, 0x400), start, 8)}
    assert found == {0, named["own stack"], named["data of a module"]}


def test_the_choice_of_memory_is_made_before_the_filters() -> None:
    target = TARGETS["amd64"]
    assert Captured(dump(target, 0x8 | FILTER_MEMORY | FILTER_TRIAGE)).shape() == Captured(dump(target, 0x8)).shape()


@pytest.mark.parametrize("pointer_size", [4, 8])
@pytest.mark.parametrize("start", [0x1000, 0x1001, 0x1003, 0x1004, 0x1007])
@pytest.mark.parametrize("length", [0, 1, 3, 7, 8, 9, 16, 23])
def test_a_filter_decides_word_by_word_at_their_own_alignment(pointer_size: int, start: int, length: int) -> None:
    data = bytes(range(1, length + 1))
    everything = RangeSet(((0, 1 << 64),))
    kept = [
        int.from_bytes(data[at : at + pointer_size], "little")
        for at in range(-start % pointer_size, length - pointer_size + 1, pointer_size)
    ]
    for keeps in (everything, RangeSet(()), RangeSet.of((word, word + 1) for word in kept[::2])):
        found = WordFilter(FILTER_MEMORY, everything, keeps, pointer_size).apply(start, memoryview(data))  # type: ignore[arg-type]
        expected = bytearray(length)
        for index, word in enumerate(kept):
            at = -start % pointer_size + index * pointer_size
            if word in keeps:
                expected[at : at + pointer_size] = word.to_bytes(pointer_size, "little")
        assert bytes(found) == expected
    nowhere = WordFilter(FILTER_MEMORY, RangeSet(()), RangeSet(()), pointer_size)  # type: ignore[arg-type]
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
    assert [rva == 0 for _, _, rva in found] == [True, False, True, True]
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
        assert struct.unpack_from("<Q", data, 0x18)[0] == row.minidump_type, row.flag.name
        assert data[0x20:] != plain[0x20:] or row.flag in (
            0x200, 0x2000, 0x4000, 0x40000, 0x4000000, 0x8000000, 0x10000000,
            *((0x20000,) if architecture == "arm64" else ()),  # without a record for its extended state
        ), row.flag.name  # fmt: skip


def test_two_thousand_threads_and_four_hundred_modules_are_written_in_seconds() -> None:
    made = synthetic_process(threads=2000, modules=400, stack_used=0x2000)
    begin = time.process_time()
    flags = 0x8 | 0x10 | 0x20 | 0x80 | 0x100 | 0x1000 | 0x8000 | 0x10000
    data = dump(made, flags)
    assert time.process_time() - begin < 40, "a few seconds; minutes if a step were quadratic"
    assert struct.unpack_from("<I", data, streams(data)[3][0]) == (2000,)
