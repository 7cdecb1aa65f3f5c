"""Tests cabinets (docs/format/cabinet.md) with a separate decoder and, if it is installed, with cabextract."""

from __future__ import annotations

import errno
import random
import shutil
import struct
import subprocess
import zlib
from dataclasses import dataclass
from pathlib import Path

import pytest
from dumptruth.emu.constants import Hresult
from dumptruth.emu.request import DumpRefused
from dumptruth.emu.synthetic.process import TIME
from dumptruth.emu.writer.cab import BLOCK, MAXIMUM_BLOCKS, Cabinet, Member, bytes_member, checksum
from dumptruth.emu.writer.layout import LayoutError, LayoutMap
from dumptruth.emu.writer.sinks import BytesSink

NOISE = random.Random(4).randbytes(3 * BLOCK + 77)
"""Bytes that deflate cannot compress."""
TEXT = b"".join(b"line %d of many\r\n" % number for number in range(20_000))


@dataclass
class Read:
    name: str
    data: bytes
    date: int
    time: int
    attribs: int


def read(cab: bytes) -> list[Read]:
    """Every member, with all checks that MS-CAB requires of a reader."""
    signature, r1, size, r2, files, r3, minor, major, folders, count, flags, set_id, index = struct.unpack_from(
        "<4sIIIIIBBHHHHH", cab
    )
    assert (signature, r1, size, r2, r3, minor, major) == (b"MSCF", 0, len(cab), 0, 0, 3, 1)
    assert (folders, flags, set_id, index) == (1, 0, 0, 0)
    start, blocks, compression = struct.unpack_from("<IHH", cab, 36)
    assert files == 44
    at, rows = files, []
    for _ in range(count):
        row = struct.unpack_from("<IIHHHH", cab, at)
        end = cab.index(b"\0", at + 16)
        rows.append((row, cab[at + 16 : end]))
        at = end + 1
    assert at == start
    linear = b""
    for number in range(blocks):
        csum, packed, unpacked = struct.unpack_from("<IHH", cab, at)
        body = cab[at + 8 : at + 8 + packed]
        assert csum == slow_checksum(cab[at + 4 : at + 8], slow_checksum(body, 0))
        assert unpacked == BLOCK or number == blocks - 1
        if compression == 1:
            assert body[:2] == b"CK"
            assert packed <= BLOCK + 12
            inflate = zlib.decompressobj(-15, zdict=linear[-BLOCK:])
            body = inflate.decompress(body[2:])
            assert inflate.eof
            assert inflate.unused_data == b""
        assert len(body) == unpacked
        linear += body
        at += 8 + packed
    assert at == len(cab)
    found, end = [], 0
    for (length, offset, folder, date, time, attribs), name in rows:
        assert (offset, folder) == (end, 0)
        end = offset + length
        text = name.decode("utf-8" if attribs & 0x80 else "ascii")
        found.append(Read(text, linear[offset:end], date, time, attribs))
    assert end == len(linear)
    return found


def slow_checksum(data: bytes, seed: int) -> int:
    """The loop of the specification."""
    whole = len(data) // 4 * 4
    for (word,) in struct.iter_unpack("<I", data[:whole]):
        seed ^= word
    rest = 0
    for byte in data[whole:]:
        rest = rest << 8 | byte
    return seed ^ rest


def packed(*members: tuple[str, bytes], time: int = TIME, compress: bool = True) -> tuple[bytes, LayoutMap]:
    sink = BytesSink()
    layout = Cabinet([bytes_member(*member) for member in members], time=time, compress=compress).emit(sink)
    return sink.getvalue(), layout


@pytest.mark.parametrize("size", [0, 1, 2, 3, 4, 5, 7, 31, 32, 33, 1000, BLOCK - 1, BLOCK])
def test_the_checksum_is_that_of_the_specification(size: int) -> None:
    assert checksum(NOISE[:size]) == slow_checksum(NOISE[:size], 0)


@pytest.mark.parametrize("compress", [True, False])
@pytest.mark.parametrize("size", [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 77])
def test_one_member_of_any_length_is_read_back(size: int, compress: bool) -> None:
    for source in (NOISE, TEXT):
        (member,) = read(packed(("x.dmp", source[:size]), compress=compress)[0])
        assert (member.name, member.data) == ("x.dmp", source[:size])


def test_several_members_share_the_stream_of_blocks() -> None:
    members = [("a.dmp", TEXT), ("empty.txt", b""), ("b.pdb", NOISE), ("c.dll", b"\0" * 100_000)]
    found = read(packed(*members)[0])
    assert [(member.name, member.data) for member in found] == members


def test_repetitions_across_blocks_refer_to_the_block_before() -> None:
    again = NOISE[:BLOCK] + NOISE[0x2000:BLOCK]
    assert len(packed(("x", again))[0]) < BLOCK * 1.1


@pytest.mark.parametrize("compress", [True, False])
def test_blocks_that_are_alike_come_back_as_they_were(compress: bool) -> None:
    alike, other = NOISE[:BLOCK], TEXT[:BLOCK]
    data = alike * 4 + other * 3 + alike + other + bytes(BLOCK) * 5 + alike[:-1] + bytes(BLOCK) * 3 + b"end"
    (member,) = read(packed(("x", data), compress=compress)[0])
    assert member.data == data


def test_incompressible_data_grows_by_a_few_bytes_only() -> None:
    cab, _ = packed(("x", NOISE))
    assert len(cab) < len(NOISE) + 4 * (8 + 2 + 5) + 100


def test_names_that_are_not_ascii_are_utf_8_and_say_so() -> None:
    plain, named = read(packed(("plain.dmp", b"1"), ("Größe-\u65e5.dmp", b"2"))[0])
    assert (plain.attribs, named.attribs) == (0x20, 0xA0)
    assert named.name == "Größe-\u65e5.dmp"


@pytest.mark.parametrize(
    ("time", "date", "clock"),
    [
        (133_500_000_000_000_000, (44 << 9 | 1 << 5 | 17), (21 << 11 | 20 << 5)),  # 2024-01-17 21:20:00
        (0, (1 << 5 | 1), 0),  # 1601 becomes 1980
        ((1 << 64) - 1, (127 << 9 | 12 << 5 | 31), (23 << 11 | 59 << 5 | 29)),
        (1 << 80, (127 << 9 | 12 << 5 | 31), (23 << 11 | 59 << 5 | 29)),
    ],
)
def test_the_date_is_the_snapshots_in_utc(time: int, date: int, clock: int) -> None:
    (member,) = read(packed(("x.dmp", b"x"), time=time)[0])
    assert (member.date, member.time) == (date, clock)


def test_the_map_covers_every_byte() -> None:
    cab, layout = packed(("x.dmp", TEXT), ("y.pdb", NOISE))
    assert layout.size == len(cab)
    end = 0
    for entry in layout.entries:
        assert entry.offset == end
        end = entry.end
    offset, size = layout.field("CFDATA[1]", "cbUncomp")
    assert int.from_bytes(cab[offset : offset + size], "little") == BLOCK
    assert cab[layout.entry("CFDATA[0].ab").offset :][:2] == b"CK"
    assert layout.field("CFFILE[1]", "attribs")[1] == 2


def test_the_same_members_give_the_same_bytes() -> None:
    assert packed(("x.dmp", TEXT))[0] == packed(("x.dmp", TEXT))[0]


def test_holes_of_a_dump_are_zeros_in_the_cabinet() -> None:
    def emit(sink: BytesSink) -> None:
        sink.write(b"head")
        sink.write_zeros(5 * BLOCK)
        sink.write(b"tail")

    sink = BytesSink()
    Cabinet([Member("x", 5 * BLOCK + 8, emit)], time=TIME).emit(sink)  # type: ignore[arg-type]
    assert read(sink.getvalue())[0].data == b"head" + bytes(5 * BLOCK) + b"tail"


def test_a_folder_that_would_need_more_blocks_than_it_can_count_is_refused() -> None:
    def nothing(sink: object) -> None:
        raise AssertionError("must not be asked")

    Cabinet([Member("x.dmp", MAXIMUM_BLOCKS * BLOCK, nothing)], time=TIME)
    for sizes in ([MAXIMUM_BLOCKS * BLOCK + 1], [MAXIMUM_BLOCKS * BLOCK, 1]):
        with pytest.raises(DumpRefused, match="at most 2147450880") as refused:
            Cabinet([Member("x.dmp", size, nothing) for size in sizes], time=TIME)
        assert refused.value.hresult == Hresult.ERROR_FILE_TOO_LARGE


@pytest.mark.parametrize("name", ["", "a\0b", "n" * 257])
def test_names_that_the_format_cannot_hold_are_refused(name: str) -> None:
    with pytest.raises(DumpRefused, match="cabinet: name") as refused:
        Cabinet([bytes_member(name, b"")], time=TIME)
    assert refused.value.hresult == Hresult.E_INVALIDARG


@pytest.mark.parametrize("size", [2, 4])
def test_a_member_that_is_not_as_long_as_it_said_is_an_error(size: int) -> None:
    with pytest.raises(LayoutError, match="x: "):
        Cabinet([Member("x", size, lambda sink: sink.write(b"abc"))], time=TIME).emit(BytesSink())


def test_a_member_is_not_written_again() -> None:
    with pytest.raises(LayoutError, match="written once and in order"):
        Cabinet([Member("x", 4, lambda sink: sink.patch(0, b"MDMP"))], time=TIME).emit(BytesSink())


def test_a_cabinet_that_is_cut_off_has_no_signature() -> None:
    class Full(BytesSink):
        def patch(self, offset: int, data: bytes) -> None:
            raise OSError(errno.ENOSPC, f"no space for {len(data)} bytes at {offset}")

    sink = Full()
    with pytest.raises(OSError, match="no space"):
        Cabinet([bytes_member("x", TEXT)], time=TIME).emit(sink)
    assert sink.getvalue()[:4] == b"\0\0\0\0"


@pytest.mark.parametrize("compress", [True, False])
@pytest.mark.skipif(shutil.which("cabextract") is None, reason="cabextract is not installed")
def test_cabextract_extracts_the_members_unchanged(tmp_path: Path, compress: bool) -> None:
    members = [("crash.dmp", TEXT + bytes(100_000) + NOISE), ("crash.exe", NOISE), ("none.txt", b""), ("ö.pdb", TEXT)]
    (tmp_path / "x.cab").write_bytes(packed(*members, compress=compress)[0])
    for arguments in (["-t"], ["-d", str(tmp_path / "out")]):
        subprocess.run(["cabextract", "-q", *arguments, str(tmp_path / "x.cab")], check=True, capture_output=True)
    for name, data in members:
        assert (tmp_path / "out" / name).read_bytes() == data
