"""The judge answers for any kernel dump: no exception, no verdict ERROR, in bounded time."""

from __future__ import annotations

import sys
from pathlib import Path
from struct import pack, pack_into
from typing import Any

import pytest
from dumptruth.oracle import ByteSource, Outcome, Report, read_kernel
from dumptruth.oracle.decode import structure
from hypothesis import given
from hypothesis import strategies as st

from .. import hostile
from ..hostile import EVERY, extremes, peak

SUBHEADERS = {
    "full": ("PHYSICAL_MEMORY_DESCRIPTOR64", 0x88), "summary": ("SUMMARY_DUMP64", 0x2000),
    "bitmap kernel": ("BITMAP_DUMP", 0x2000), "ranges kernel": ("RDMP_HEADER", 0x2000),
    "ranges complete": ("PHYSICAL_MEMORY_DESCRIPTOR64", 0x2020), "small A": ("TRIAGE_DUMP64", 0x2000),
    "small B": ("TRIAGE_DUMP64", 0x2000), "header only": ("DUMP_HEADER64", 0),
}  # fmt: skip


def judged(data: bytes, made: Any = None) -> Report:
    return hostile.judged(data, made and made.truth, made and made.request)


def extreme_fields(kind: str) -> list[tuple[int, int]]:
    """(file offset, width) of every integer of the main header or of the header after it."""
    name, base = SUBHEADERS[kind]
    return [
        (base + field.offset, field.width)
        for field in structure(name).fields.values()
        if field.kind in ("u32", "u64") and field.count == 1
    ]


@pytest.mark.parametrize("step", [5, EVERY])
@pytest.mark.parametrize("kind", SUBHEADERS)
def test_every_extreme_value_of_every_field_is_survived(dumps: dict[str, Any], kind: str, step: int) -> None:
    made = dumps[kind]
    for number, (at, width) in enumerate(extreme_fields(kind)):
        for value in extremes(width, number, step):
            data = bytearray(made.data)
            data[at : at + width] = value.to_bytes(width, "little")
            judged(bytes(data))
            judged(bytes(data), made)


@pytest.mark.parametrize("kind", SUBHEADERS)
def test_a_dump_cut_anywhere_is_survived(dumps: dict[str, Any], kind: str) -> None:
    made = dumps[kind]
    ends = {end + change for end in made.at.values() for change in (-9, -1, 0, 1, 5, 0x30)}
    for end in sorted(ends):
        if 8 <= end < len(made.data):
            assert judged(made.data[:end], made).outcome is not Outcome.CONFORMANT or end == made.at.get("blobs")


@given(st.sampled_from((b"PAGEDU64", b"PAGEDUMP")), st.sampled_from(range(12)), st.binary(max_size=600))
def test_random_bytes_behind_a_header_are_judged(signature: bytes, kind: int, body: bytes) -> None:
    head = bytearray(b"PAGE" * 0x800 if signature == b"PAGEDU64" else b"PAGE" * 0x400)
    head[:8] = signature
    pack_into("<I", head, 0xF98 if signature == b"PAGEDU64" else 0xF88, kind)
    pack_into("<I", head, 0x30 if signature == b"PAGEDU64" else 0x20, 0x8664 if signature == b"PAGEDU64" else 0x14C)
    judged(bytes(head) + body)


@given(st.data())
def test_random_words_in_a_small_dump_are_judged(dumps: dict[str, Any], data: st.DataObject) -> None:
    made = dumps[data.draw(st.sampled_from(("small A", "small B", "small 9600")))]
    spoilt = bytearray(made.data)
    end = made.at["data"]
    for _ in range(data.draw(st.integers(1, 6))):
        at = data.draw(st.integers(0x2000 // 4, end // 4)) * 4
        pack_into("<I", spoilt, at, data.draw(st.sampled_from((0, 8, 0x2080, 0x3000, 0xFFFFFFF8, 1 << 31))))
    judged(bytes(spoilt))
    judged(bytes(spoilt), made)


@given(st.data())
def test_random_page_tables_are_walked(dumps: dict[str, Any], data: st.DataObject) -> None:
    made = dumps["full"]
    spoilt = bytearray(made.data)
    for _ in range(data.draw(st.integers(1, 8))):
        page = data.draw(st.integers(0x1F, 0x2C))
        index = data.draw(st.sampled_from((0, 0x100, 0x1ED, 0x1EF, 0x1F0, 511)))
        entry = data.draw(st.integers(0x40, 0x60)) << 12 | data.draw(st.sampled_from((0, 1, 0x63, 0xE3)))
        pack_into("<Q", spoilt, 0x2000 + page * 0x1000 + 8 * index, entry)
    judged(bytes(spoilt))


def test_a_module_list_that_never_comes_back_ends(dumps: dict[str, Any]) -> None:
    made = dumps["full"]
    entry = 0x2000 + (0x1F + 0x65 - 0x40) * 0x1000
    data = bytearray(made.data)
    pack_into("<Q", data, entry + 0x100, 0xFFFF_F800_0010_3000)
    dump = read_kernel(ByteSource(bytes(data)))
    assert len(dump.modules) == 2
    assert "KXCT-MODULES-002" in {result.rule for result in judged(bytes(data)).results if result.failures}


def many_runs(count: int) -> bytes:
    head = bytearray(b"PAGE" * 0x800)
    pack_into("<4s4sII", head, 0, b"PAGE", b"DU64", 15, 19041)
    pack_into("<II", head, 0x30, 0x8664, 1)
    pack_into("<I", head, 0xF98, 10)
    listed = pack("<IIQ", count, 0, count) + b"".join(pack("<QQ", 2 * index + 1, 1) for index in range(count))
    return bytes(head) + pack("<I4s4sIQQ", 0x40, b"RDMP", b"DUMP", 0, len(listed), 0x2020 + len(listed)) + listed


def many_blobs(count: int) -> bytes:
    head = bytearray(b"PAGE" * 0x800)
    pack_into("<4s4sII", head, 0, b"PAGE", b"DU64", 15, 19041)
    pack_into("<I", head, 0xF98, 3)
    return bytes(head) + b"DumpBlob" + pack("<II", 0x10, 0xF0004A61) + pack("<I16xIII", 0x20, 0, 0, 0) * count


@pytest.mark.parametrize("data", [many_runs(200_000), many_blobs(200_000)], ids=["runs", "blobs"])
def test_more_records_than_the_ceiling_are_not_conformant(data: bytes) -> None:
    report = judged(data)
    assert report.unjudged
    assert report.outcome is not Outcome.CONFORMANT


def test_a_bitmap_of_every_other_bit_costs_little(dumps: dict[str, Any]) -> None:
    made = dumps["bitmap kernel"]
    size = 4 << 20
    sub = pack("<4s4s", b"SDMP", b"DUMP") + bytes(24) + pack("<QQQ", 0x3000 + size, 4 * size, 8 * size)
    data = made.data[:0x2000] + (sub + b"\x55" * size).ljust(0x1000 + size, b"\0") + bytes(1 << 20)
    judged(data)
    judged(data, made)


@pytest.mark.skipif(sys.platform == "win32", reason="the limit on memory is set with resource")
def test_hostile_files_cost_no_memory_out_of_proportion(tmp_path: Path) -> None:
    for index, data in enumerate((many_runs(131_072), many_blobs(100_000))):
        (tmp_path / f"{index}.dmp").write_bytes(data)
    assert peak(tmp_path) < 256 << 20
