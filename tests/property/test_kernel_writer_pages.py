"""For any RAM map the complete dump holds every page once, at the place of the format, under every profile.

The tests read the dumps with plain ``struct`` calls, not through the writer's layout map.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from dumptruth.emu.constants import Qualifier
from dumptruth.emu.request import KernelProfile, Request
from dumptruth.emu.snapshot.kernel import DataBlob, KernelSnapshot
from dumptruth.emu.synthetic.kernel import bare_machine
from dumptruth.emu.writer.kernel_dump import kernel_dump_bytes
from hypothesis import given, settings
from hypothesis import strategies as st

PAGE = 0x1000


@st.composite
def machines(draw: st.DrawFn) -> KernelSnapshot:
    """Runs with holes anywhere, odd lengths, with or without page 0; some pages touched."""
    at = draw(st.integers(0, 3))
    runs = []
    for _ in range(draw(st.integers(1, 9))):
        count = draw(st.sampled_from([1, 2, 7, 8, 9, 31, 32, 33]))
        runs.append((at, count))
        at += count + draw(st.integers(1, 40))
    frames = [frame for base, count in runs for frame in range(base, base + count)]
    touched = draw(st.sets(st.sampled_from(frames), max_size=20))
    return bare_machine(runs, {frame: struct.pack("<Q", frame + 1) * (PAGE // 8) for frame in touched})


def runs_at(data: bytes, offset: int) -> list[tuple[int, int]]:
    count, total = struct.unpack_from("<I4xQ", data, offset)
    runs = [struct.unpack_from("<QQ", data, offset + 16 + 16 * index) for index in range(count)]
    assert sum(pages for _, pages in runs) == total
    return runs


def pages_of(data: bytes) -> Iterator[tuple[int, bytes]]:
    """(frame, bytes) of every page, in file order."""
    kind = struct.unpack_from("<I", data, 0xF98)[0]
    if kind == 1:
        frames, at = [base + n for base, count in runs_at(data, 0x88) for n in range(count)], 0x2000
    elif kind in (8, 9, 10):
        size, at = struct.unpack_from("<QQ", data, 0x2010)
        assert at == 0x2020 + size
        frames = [base + n for base, count in runs_at(data, 0x2020) for n in range(count)]
    else:
        if kind == 2:
            at, bits, pages = struct.unpack_from("<III", data, 0x200C)
            first = 0x2028
        else:
            at, pages, bits = struct.unpack_from("<QQQ", data, 0x2020)
            first = 0x2038
        assert at % PAGE == 0
        assert bits % 64 == 0
        assert first + bits // 8 <= at
        frames = [bit for bit in range(bits) if data[first + bit // 8] >> bit % 8 & 1]
        assert len(frames) == pages
    for frame in frames:
        yield frame, data[at : at + PAGE]
        at += PAGE
    assert at == len(data) == struct.unpack_from("<Q", data, 0xFA0)[0]


@given(machine=machines(), profile=st.sampled_from([item for item in KernelProfile if item != KernelProfile.HEADER]))
@settings(max_examples=150, deadline=None)
def test_a_complete_dump_holds_every_page_once_in_order(machine: KernelSnapshot, profile: KernelProfile) -> None:
    data, _ = kernel_dump_bytes(machine, Request(Qualifier.DEBUG_DUMP_FULL, profile=profile))
    wanted = [frame for base, count in machine.physical_runs for frame in range(base, base + count)]
    found = list(pages_of(data))
    assert [frame for frame, _ in found] == wanted
    assert all(content == machine.page(frame) for frame, content in found)


@given(machine=machines(), profile=st.sampled_from(list(KernelProfile)), added=st.sets(st.integers(0, 300), max_size=9))
@settings(max_examples=100, deadline=None)
def test_pages_that_callbacks_add_are_in_a_kernel_dump_as_far_as_they_are_ram(
    machine: KernelSnapshot, profile: KernelProfile, added: set[int]
) -> None:
    if profile == KernelProfile.HEADER:
        return
    asked = KernelSnapshot(**{**vars(machine), "added_pages": tuple((frame, 1) for frame in sorted(added))})
    data, _ = kernel_dump_bytes(asked, Request(Qualifier.DEBUG_DUMP_DEFAULT, profile=profile))
    root = machine.directory_table_base // PAGE
    assert {frame for frame, _ in pages_of(data)} == {root} | {
        frame for frame in added if machine.page(frame) is not None
    }


@given(blobs=st.lists(st.builds(DataBlob, st.binary(min_size=16, max_size=16), st.binary(max_size=40)), max_size=5))
@settings(max_examples=50, deadline=None)
def test_secondary_data_is_a_chain_that_ends_the_file(blobs: list[DataBlob]) -> None:
    machine = bare_machine([(1, 2)])
    asked = KernelSnapshot(**{**vars(machine), "blobs": tuple(blobs)})
    data, _ = kernel_dump_bytes(asked, Request(Qualifier.DEBUG_DUMP_FULL, profile=KernelProfile.PORTABLE))
    at = 0x4000
    if blobs:
        assert data[at : at + 8] == b"DumpBlob"
        at += 0x10
    for blob in blobs:
        size, tag, length, before, after = struct.unpack_from("<I16sIII", data, at)
        assert (size, tag, length, before, (length + after) % 8) == (0x20, blob.tag, len(blob.data), 0, 0)
        assert data[at + 0x20 : at + 0x20 + length] == blob.data
        at += 0x20 + length + after
    assert at == len(data)
