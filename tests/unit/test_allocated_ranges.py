"""The allocated ranges of a sparse file on Windows, with a fake DeviceIoControl and the real structures."""

from __future__ import annotations

import ctypes
import os
import struct
from pathlib import Path
from typing import Any

import pytest
from dumptruth.oracle import ByteSource
from dumptruth.oracle.memory import allocated_ranges as extents
from dumptruth.oracle.memory.allocated_ranges import allocated_ranges

MIB = 1 << 20
HANDLE = 0x1_0000_0004


class Kernel:
    """A fake DeviceIoControl over the ranges of a file."""

    def __init__(self, *ranges: tuple[int, int], fails: bool = False) -> None:
        self.ranges, self.fails, self.calls = ranges, fails, 0

    def __call__(self, handle: Any, code: int, *rest: Any) -> int:
        asked, asked_size, answer, answer_size, told, overlapped = rest
        assert (handle.value, code, asked_size, overlapped) == (HANDLE, 0x940CF, 16, None)
        self.calls += 1
        if self.fails:
            return 0
        start, length = struct.unpack("<qq", bytes(asked))
        inside = [(max(a, start), min(b, start + length)) for a, b in self.ranges if a < start + length and b > start]
        room = inside[: answer_size // 16]
        data = b"".join(struct.pack("<qq", a, b - a) for a, b in room)
        ctypes.memmove(answer, data, len(data))
        ctypes.cast(told, ctypes.POINTER(ctypes.c_uint32))[0] = len(data)
        return int(len(room) == len(inside))


def test_the_ranges_are_those_that_the_system_tells() -> None:
    ranges = [(0, 0x10000), (5 * MIB, 6 * MIB), (5 << 30, (5 << 30) + 0x10000)]
    assert allocated_ranges(Kernel(*ranges), HANDLE, 6 << 30, 65_536) == ranges


def test_a_file_without_data_has_no_range() -> None:
    assert allocated_ranges(Kernel(), HANDLE, MIB, 65_536) == []


def test_more_ranges_than_one_answer_holds_are_asked_for_again() -> None:
    kernel = Kernel(*((index * MIB, index * MIB + 0x10000) for index in range(2500)))
    assert allocated_ranges(kernel, HANDLE, 2500 * MIB, 65_536) == list(kernel.ranges)
    assert kernel.calls == 3


def test_of_too_many_ranges_the_rest_counts_as_data() -> None:
    ranges = [(index * MIB, index * MIB + 0x10000) for index in range(5000)]
    found = allocated_ranges(Kernel(*ranges), HANDLE, 5000 * MIB, 2000)
    assert found == [*ranges[:2048], (ranges[2047][1], 5000 * MIB)]


def test_a_file_system_without_allocated_ranges_is_not_an_error() -> None:
    assert allocated_ranges(Kernel(fails=True), HANDLE, MIB, 65_536) is None


@pytest.mark.parametrize("fails", [False, True])
def test_a_source_asks_where_there_is_no_seek_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: bool
) -> None:
    (tmp_path / "sparse.dmp").write_bytes(bytes(3 * MIB))
    monkeypatch.delattr(os, "SEEK_DATA", raising=False)
    monkeypatch.setattr(extents, "device_io_control", lambda: Kernel((MIB, 2 * MIB), fails=fails))
    monkeypatch.setattr(extents, "_system_handle", lambda _: HANDLE)
    with ByteSource.open(tmp_path / "sparse.dmp") as opened:
        assert list(opened.data(0, 3 * MIB)) == ([(0, 3 * MIB)] if fails else [(MIB, 2 * MIB)])
        assert opened.read(0, 16) == bytes(16)
