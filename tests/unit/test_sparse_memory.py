"""Dumps of more than 4 GiB are sparse files, and a 32-bit RVA beyond 4 GiB refuses the dump."""

from __future__ import annotations

import struct
from dataclasses import replace
from pathlib import Path

import pytest
from dumptruth.emu.debugger.client import DebugClient
from dumptruth.emu.plan.user import plan_user
from dumptruth.emu.request import DumpRefused, Request
from dumptruth.emu.snapshot.process import ProcessSnapshot
from dumptruth.emu.snapshot.sparse import SparseBytes
from dumptruth.emu.synthetic.flag_process import flag_target
from dumptruth.emu.synthetic.sparse import with_private_region
from dumptruth.emu.truth import store
from dumptruth.emu.writer.layout import Buffer
from dumptruth.emu.writer.minidump import Minidump, dump_bytes
from hypothesis import given
from hypothesis import strategies as st

SMALL, DEFAULT = 1024, 1025
FULL_MEMORY, PRIVATE_READ_WRITE, FILTERS = 0x1, 0x100, 0x20 | 0x10000
SMALL_PROCESS = flag_target(unreadable=False)
GIB = 1 << 30
PAGE = 0x1000
BIG = 0x400_0000_0000
STRETCHES = (0, 2 * GIB, 4 * GIB - PAGE, 4 * GIB, 5 * GIB - PAGE)
"""Offsets in 5 GiB of the pages that are not zero."""


def page(offset: int) -> bytes:
    return struct.pack("<Q", BIG + offset) * (PAGE // 8)


def with_run(data: SparseBytes) -> ProcessSnapshot:
    """A process with one more region."""
    return with_private_region(SMALL_PROCESS, BIG, data)


FIVE_GIB = with_run(SparseBytes(5 * GIB, [(offset, page(offset)) for offset in STRETCHES]))

PAGES = st.lists(st.tuples(st.integers(0, 15), st.binary(min_size=1, max_size=3)), max_size=5, unique_by=lambda x: x[0])


@given(PAGES, st.integers(0, 0x11000), st.integers(0, 0x11000))
def test_sparse_bytes_equal_the_dense_bytes(pages: list[tuple[int, bytes]], start: int, end: int) -> None:
    dense = bytearray(0x10000)
    stretches = []
    for number, data in pages:
        whole = (data * PAGE)[:PAGE]
        dense[number * PAGE : (number + 1) * PAGE] = whole
        stretches.append((number * PAGE, whole))
    sparse = SparseBytes(0x10000, stretches)
    assert len(sparse) == 0x10000
    assert sparse[start:end] == dense[start:end]
    assert sparse[:] == bytes(sparse) == dense
    low, high = min(start, 0x10000), max(min(start, 0x10000), min(end, 0x10000))
    assert b"".join(bytes(piece) for piece in sparse.pieces(low, high)) == dense[low:high]
    same = SparseBytes(0x10000, [*stretches[::-1], *([(n * PAGE, bytes(PAGE)) for n in range(16)
                                                      if n not in dict(pages)][:2])])  # fmt: skip
    assert same == sparse
    assert hash(same) == hash(sparse)
    if any(dense):
        assert sparse != SparseBytes(0x10000)
        assert SparseBytes(0x10000) != sparse
    assert sparse != SparseBytes(0x11000, stretches)


@pytest.mark.parametrize(
    "stretches",
    [[(0x800, bytes(PAGE))], [(0, b"x")], [(0xF000, bytes(2 * PAGE))], [(0, bytes(PAGE)), (0, bytes(PAGE))]],
)
def test_stretches_are_whole_pages_that_do_not_overlap(stretches: list[tuple[int, bytes]]) -> None:
    with pytest.raises(ValueError, match="stretch at"):
        SparseBytes(0x10000, stretches)


class Counting:
    """A sink that counts bytes."""

    def __init__(self) -> None:
        self.written = self.zeros = 0

    def write(self, data: Buffer) -> None:
        self.written += len(data)

    def write_zeros(self, size: int) -> None:
        self.zeros += size

    def patch(self, offset: int, data: bytes) -> None:
        assert (offset, data) == (0, b"MDMP")


@pytest.mark.parametrize("flags", [FULL_MEMORY, FULL_MEMORY | FILTERS])
def test_five_gib_of_memory_are_written_as_holes(flags: int) -> None:
    sink = Counting()
    result = Minidump(FIVE_GIB, Request(SMALL, flags)).emit(sink)
    assert result.size == sink.written + sink.zeros > 5 * GIB
    assert sink.written < GIB // 1024


def _memory64(head: bytes) -> dict[int, tuple[int, int]]:
    """Start -> (size, file offset) of each range, from ``head``, the bytes in front of the memory."""
    count, rva = struct.unpack_from("<II", head, 8)
    rows = (struct.unpack_from("<III", head, rva + 12 * index) for index in range(count))
    at = next(at for kind, _, at in rows if kind == 9)
    ranges, offset = struct.unpack_from("<QQ", head, at)
    found = {}
    for index in range(ranges):
        start, size = struct.unpack_from("<QQ", head, at + 16 + 16 * index)
        found[start] = size, offset
        offset += size
    return found


def test_a_sparse_file_past_4_gib_holds_every_byte_where_the_list_says(tmp_path: Path) -> None:
    client = DebugClient(FIVE_GIB, start_directory=tmp_path)
    assert client.WriteDumpFile("big.dmp", DEFAULT) == 0
    file = tmp_path / "big.dmp"
    status = file.stat()
    assert status.st_size > 5 * GIB
    if hasattr(status, "st_blocks"):
        assert status.st_blocks * 512 < GIB // 16
    with file.open("rb") as dump:
        head = dump.read(1 << 20)
        ranges = _memory64(head)
        size, offset = ranges[BIG]
        assert size == 5 * GIB
        assert max(at + length for length, at in ranges.values()) == status.st_size
        for at in STRETCHES:
            dump.seek(offset + at)
            assert dump.read(PAGE) == page(at)
            if at + PAGE not in STRETCHES and at + PAGE < size:
                assert dump.read(PAGE) == bytes(PAGE)
        behind = [start for start in ranges if start > BIG]
        assert behind, "ranges whose bytes lie past 4 GiB in the file"
        for start in behind:
            length, at = ranges[start]
            assert at > 4 * GIB
            dump.seek(at)
            assert dump.read(length) == FIVE_GIB.read(start, length)
    end = max(at for _, at in ranges.values())
    assert end > 1 << 32
    assert min(at for _, at in ranges.values()) < 1 << 20, "all data with a 32-bit RVA is in front of the memory"


def test_a_truth_of_five_gib_is_saved_as_holes(tmp_path: Path) -> None:
    store.save(FIVE_GIB, tmp_path / "truth", source="five GiB")
    file = tmp_path / "truth" / "memory.bin"
    status = file.stat()
    assert status.st_size == sum(len(run.data) for run in FIVE_GIB.memory)
    if hasattr(status, "st_blocks"):
        assert status.st_blocks * 512 < GIB // 16
    before = sum(len(run.data) for run in FIVE_GIB.memory if run.start < BIG)
    with file.open("rb") as memory:
        for at in STRETCHES:
            memory.seek(before + at)
            assert memory.read(PAGE) == page(at)
    assert store.load(tmp_path / "truth") == FIVE_GIB


def test_memory_that_is_not_free_has_no_room_for_a_region() -> None:
    for base, size in ((BIG - PAGE, 2 * PAGE), (0x7FFE0000, PAGE), (1 << 47, PAGE)):
        with pytest.raises(ValueError, match="expected free addresses"):
            with_private_region(FIVE_GIB, base, SparseBytes(size))


def test_a_memory_list_past_4_gib_is_refused_and_nothing_is_left(tmp_path: Path) -> None:
    client = DebugClient(FIVE_GIB, start_directory=tmp_path)
    (tmp_path / "old.dmp").write_bytes(b"old")
    assert client.WriteDumpFile2("old.dmp", SMALL, PRIVATE_READ_WRITE) == 0x800700DF
    assert client.last_error
    assert client.last_error.startswith("MemoryList: ")
    assert [path.name for path in tmp_path.iterdir()] == ["old.dmp"]
    assert (tmp_path / "old.dmp").read_bytes() == b"old"


def test_a_memory_list_whose_last_ranges_alone_lie_past_4_gib_is_refused_too() -> None:
    request = Request(SMALL, PRIVATE_READ_WRITE)
    rest = sum(planned.size for planned in plan_user(SMALL_PROCESS, request).ranges)
    size = (4 * GIB - rest - 1) // PAGE * PAGE
    target = with_run(SparseBytes(size))
    assert sum(planned.size for planned in plan_user(target, request).ranges) < 4 * GIB
    with pytest.raises(DumpRefused, match=r"longer than 32-bit RVAs can address: .*Rva") as caught:
        Minidump(target, request)
    assert caught.value.hresult == 0x800700DF


def test_sparse_and_dense_memory_give_the_same_dump() -> None:
    size = 0x10000
    sparse = SparseBytes(size, [(0x2000, page(0)), (0x5000, page(1)), (0x6000, page(2))])
    target = with_run(sparse)
    dense = replace(
        target,
        memory=tuple(replace(run, data=bytes(sparse)) if run.start == BIG else run for run in target.memory),
    )
    for flags in (FULL_MEMORY, FULL_MEMORY | FILTERS, PRIVATE_READ_WRITE):
        assert dump_bytes(target, Request(SMALL, flags))[0] == dump_bytes(dense, Request(SMALL, flags))[0]
    assert target.read(BIG + 0x1FF0, 0x20) == bytes(0x10) + page(0)[:0x10]
