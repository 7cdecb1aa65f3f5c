"""Hand-made cabinets: they conform, the judge detects every changed byte, and hostile ones are judged in little time
and memory. All rules of its kind judge the dump inside."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zlib
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from struct import pack, pack_into
from typing import Any

import pytest
from dumptruth.fixtures.mutants import kernel_pristine
from dumptruth.fixtures.mutants.cab_assembled import BLOCK, MSZIP, STORED, File, Shape, cabinet, checksum
from dumptruth.fixtures.mutants.hand_pristine import WRITE_CAB, HandPristine, crash, folders, pristine
from dumptruth.fixtures.mutants.registry import BaseDump
from dumptruth.oracle import ByteSource, Outcome, Verdict, check, describe, read_cabinet
from dumptruth.oracle.readers import cab as reader
from dumptruth.oracle.readers.spool import Spool
from dumptruth.oracle.report.as_json import as_object
from dumptruth.oracle.report.text import render
from dumptruth.oracle.rules.cab.contents import dos_time
from hypothesis import given
from hypothesis import strategies as st

from .hostile import EVERY, extreme_patches, failing, judged_by_hand, offsets_in, peak, unnoticed

BASES = (BaseDump.CAB, BaseDump.CAB_USED, BaseDump.CAB_IMAGES)
judged = partial(judged_by_hand, name="x.cab")


def noise(size: int, seed: int = 1) -> bytes:
    """Bytes that deflate cannot compress, the same in every run."""
    out = bytearray()
    while len(out) < size:
        seed = (seed * 6364136223846793005 + 1442695040888963407) % (1 << 64)
        out += pack("<Q", seed)
    return bytes(out[:size])


@pytest.mark.parametrize("base", BASES)
@pytest.mark.parametrize("own", [True, False])
def test_a_cabinet_made_by_hand_is_conformant_with_the_dump_inside(base: BaseDump, own: bool) -> None:
    made = pristine(base)
    report = judged(made.data, made if own else None)
    assert [(result.rule, result.findings) for result in report.failing()] == []
    assert (report.outcome, report.kind, report.unclaimed) == (Outcome.CONFORMANT, "cab", 0)
    assert (report.claimed, report.pages) == (len(made.data), 8)
    assert report.member is not None
    assert (report.member.name, report.member.kind) == ("crash.dmp", "userdump")
    assert (report.member.claimed, report.member.unclaimed) == (len(crash().data), 0)
    assert {result.inside for result in report.results if result.rule.startswith("UDMP-")} == {"crash.dmp"}
    assert {result.inside for result in report.results if result.rule.startswith("CAB-")} == {None}


def sampled(made: HandPristine, step: int) -> list[int]:
    """Offsets of the cabinet: all up to the first block's header, and one in ``step`` of the rest.

    In the cabinet that stores the dump uncompressed, one in 97 of those: checksum and truth both cover them.
    """
    first = made.at["block 0.0"] + 12
    return [*range(first), *range(first, len(made.data), step * (97 if made.base is BaseDump.CAB_USED else 1))]


SOME_OR_ALL = pytest.mark.parametrize("step", [11, EVERY])


@SOME_OR_ALL
@pytest.mark.parametrize("base", BASES)
def test_every_byte_turned_over_is_noticed_or_declared(base: BaseDump, step: int) -> None:
    made = pristine(base)
    free = offsets_in(read_cabinet(ByteSource(made.data)).dont_cares)
    assert free == {32, 33}, "setID"
    # The time of a member is the target's only where the writer is this project's.
    times = {made.at[name] + 10 + byte for name in made.at if name.startswith("file") for byte in range(4)}
    # A changed name is detected: 0xFF turns ASCII into a byte that is not valid UTF-8 or is not marked as UTF-8.
    assert unnoticed(made, sampled(made, step)) == free | times


def records_of(base: BaseDump) -> dict[str, str]:
    """A piece of every kind of record, and its structure."""
    records = {"header": "CFHEADER", "folder 0": "CFFOLDER", "file 0": "CFFILE", "block 0.0": "CFDATA"}
    if base is BaseDump.CAB_IMAGES:
        records |= {"folder 1": "CFFOLDER", "file 3": "CFFILE", "block 1.0": "CFDATA"}
    return records


@pytest.mark.parametrize("step", [5, EVERY])
@pytest.mark.parametrize("base", BASES)
def test_every_extreme_value_of_every_field_is_survived(base: BaseDump, step: int) -> None:
    made = pristine(base)
    for patch in extreme_patches(records_of(base), step):
        judged(made.patched(patch), made)


@SOME_OR_ALL
@pytest.mark.parametrize("base", BASES)
def test_a_cabinet_cut_at_any_length_is_survived_and_never_conformant(base: BaseDump, step: int) -> None:
    made = pristine(base)
    for length in (*sampled(made, step), len(made.data) - 1):
        assert judged(made.data[:length]).outcome is not Outcome.CONFORMANT


@given(st.binary(max_size=400))
def test_random_bytes_behind_the_signature_are_judged(body: bytes) -> None:
    judged(b"MSCF" + body)


@given(st.data())
def test_random_bytes_in_a_cabinet_are_judged(data: st.DataObject) -> None:
    made = pristine(data.draw(st.sampled_from(BASES)))
    spoilt = bytearray(made.data)
    for _ in range(data.draw(st.integers(1, 8))):
        spoilt[data.draw(st.integers(4, len(spoilt) - 1))] = data.draw(st.integers(0, 255))
    judged(bytes(spoilt))
    judged(bytes(spoilt), made)


@pytest.mark.parametrize("method", [STORED, MSZIP])
@pytest.mark.parametrize("size", [1, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 100])
def test_members_of_any_size_are_expanded_with_the_history_of_the_blocks_before(method: int, size: int) -> None:
    """Repeated noise: the second block is short only because it refers to the first."""
    data = (noise(BLOCK // 2) * (size // (BLOCK // 2) + 1))[:size]
    parts = [[File(b"a", b"x" * 5), File(b"b", data), File(b"c", b"")]]
    made = cabinet(parts, Shape(method))
    read = read_cabinet(ByteSource(bytes(made.data)))
    assert read.defects == []
    assert [member.source and member.source.read(0, size + 9) for member in read.members] == [b"x" * 5, data, b""]
    if method == MSZIP and size > 2 * BLOCK:
        assert made.at["block 0.2"] - made.at["block 0.1"] < 1000


def test_a_block_that_forgot_the_history_of_the_one_before_does_not_expand() -> None:
    made = cabinet([[File(b"a.bin", noise(BLOCK // 2) * 4)]])
    at, end = made.at["block 0.0"], made.at["block 0.1"]
    second = bytes(made.data[end:])
    # The second block alone: a cabinet whose first block went missing.
    made.data[at:] = second
    pack_into("<I", made.data, 8, len(made.data))
    pack_into("<I", made.data, made.at["file 0"], BLOCK)
    pack_into("<H", made.data, made.at["folder 0"] + 4, 1)
    assert "CAB-DATA-003" in failing(judged(bytes(made.data)))


@pytest.mark.parametrize("size", range(9))
def test_the_checksum_is_that_of_the_specification(size: int) -> None:
    data = noise(1000 + size)
    assert reader.checksum(data) == checksum(data)
    assert reader.checksum(data[:size]) == checksum(data[:size])


def test_more_than_fits_in_memory_goes_to_a_temporary_file() -> None:
    spool = Spool(in_memory=10)
    for piece in (b"12345678", b"9", b"0ab", b"cdef"):
        spool.write(piece)
    view = spool.view()
    assert (bytes(view), spool.size, type(view.obj).__name__) == (b"1234567890abcdef", 16, "mmap")
    small = Spool(in_memory=10)
    small.write(b"1234")
    assert bytes(small.view()) == b"1234"


def bomb(blocks: int, folders: int = 1) -> bytes:
    """Blocks of 49 bytes that expand to 32 KiB of zeros. All folders share the same blocks."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    stored = b"CK" + packer.compress(bytes(BLOCK)) + packer.flush()
    block = pack("<IHH", 0, len(stored), BLOCK) + stored
    first = 36 + 8 * folders
    start = first + 16 + 6
    head = pack("<4sIIIIIBBHHHHH", b"MSCF", 0, start + blocks * len(block), 0, first, 0, 3, 1, folders, 1, 0, 0, 0)
    listed = pack("<IHH", start, blocks, MSZIP) * folders
    return head + listed + pack("<IIHHHH", blocks * BLOCK, 0, 0, 0, 0, 0x20) + b"a.dmp\0" + block * blocks


@pytest.mark.parametrize(("blocks", "folders"), [(65_535, 1), (2000, 60), (1, 65_535)])
def test_a_bomb_is_not_expanded_and_not_called_conformant(blocks: int, folders: int) -> None:
    report = judged(bomb(blocks, folders))
    assert failing(report) == set()
    assert report.outcome is Outcome.INCOMPLETE
    assert report.unjudged


@pytest.mark.skipif(sys.platform == "win32", reason="the peak is read with resource or from /proc")
def test_hostile_cabinets_cost_no_memory_out_of_proportion(tmp_path: Path) -> None:
    for index, data in enumerate((bomb(65_535), bomb(8000), bomb(2000, 60))):
        (tmp_path / f"{index}.cab").write_bytes(data)
    assert peak(tmp_path) < 256 << 20


def test_a_fault_of_the_dump_is_shown_at_its_place_inside_the_member() -> None:
    made = pristine(BaseDump.CAB)
    dump = bytearray(crash().data)
    dump[pristine(BaseDump.USERDUMP).at["memory 3"] + 0x123] ^= 1
    data = bytes(cabinet([[File(b"crash.dmp", bytes(dump))]]).data)
    report = judged(data, made)
    assert failing(report) == {"TRUE-UDMP-MEMORY-001"}
    (result,) = report.failing()
    at = pristine(BaseDump.USERDUMP).at["memory 3"] + 0x123
    assert result.inside == "crash.dmp"
    assert result.findings[0].spans[0].start == at
    assert f"{at:#x}" in render(report)
    assert "of crash.dmp" in render(report)
    (shown,) = (item for item in as_object(report)["rules"] if item["rule"] == "TRUE-UDMP-MEMORY-001")
    assert shown["inside"] == "crash.dmp"
    assert as_object(report)["member"]["kind"] == "userdump"


@pytest.mark.parametrize("method", [STORED, MSZIP])
def test_a_minidump_inside_is_judged_by_the_rules_of_minidumps(small: Any, method: int) -> None:
    made = cabinet([[File(b"a.dmp", small.data)]], Shape(method))
    asked = replace(small.request, format_flags_value=WRITE_CAB, file="a.cab")
    data = bytearray(made.data)
    for name in [name for name in made.at if name.startswith("file")]:
        date, clock = dos_time(small.truth.time)
        pack_into("<HH", data, made.at[name] + 10, date, clock)
    report = check(ByteSource(bytes(data), "a.cab"), small.truth, asked, strict=True)
    assert [(result.rule, result.findings) for result in report.failing()] == []
    assert report.outcome is Outcome.CONFORMANT
    assert {"MDMP-HEADER-002", "TRUE-THREAD-001", "PAGE-BYTES-001"} <= {
        result.rule for result in report.results if result.verdict is Verdict.PASS and result.inside == "a.dmp"
    }


@pytest.mark.parametrize(
    ("contract", "rules"), [("documented", {"CAB-TIME-001"}), ("e15063", set()), ("e29507", set())]
)
def test_an_engine_stores_the_time_at_which_it_wrote(small: Any, contract: str, rules: set[str]) -> None:
    made = cabinet([[File(b"a.cab.dmp", small.data)]])
    date, clock = dos_time(small.truth.time)
    pack_into("<HH", made.data, made.at["file 0"] + 10, date + 1, clock)
    asked = replace(small.request, format_flags_value=WRITE_CAB, file="a.cab", contract=contract)
    assert "CAB-TIME-001" not in {
        result.rule for result in check(ByteSource(bytes(made.data), "a.cab"), small.truth, asked).failing()
    }
    report = check(ByteSource(bytes(made.data), "a.cab"), small.truth, asked, strict=True)
    assert {result.rule for result in report.failing() if result.rule.startswith("CAB-")} == rules


def test_a_kernel_dump_inside_is_judged_by_the_rules_of_kernel_dumps() -> None:
    machine = kernel_pristine.pristine(BaseDump.KERNEL_HEADER)
    made = cabinet([[File(b"MEMORY.DMP", machine.data)]])
    date, clock = dos_time(machine.truth.time)
    pack_into("<HH", made.data, made.at["file 0"] + 10, date, clock)
    asked = replace(machine.asked, format_flags_value=WRITE_CAB, file="memory.cab")
    report = check(ByteSource(bytes(made.data), "memory.cab"), machine.truth, asked, strict=True)
    assert failing(report) == set()
    assert report.outcome is Outcome.CONFORMANT
    assert "KHDR" in {result.rule.partition("-")[0] for result in report.results if result.inside == "MEMORY.DMP"}
    process = pristine(BaseDump.CAB)
    report = check(ByteSource(bytes(made.data), "memory.cab"), process.truth, process.asked)
    assert report.outcome is Outcome.NOT_A_DUMP
    assert "truth describes a process" in (report.reason or "")


def test_a_compression_method_that_the_judge_does_not_expand_gives_no_verdict_on_the_dump() -> None:
    """LZX is what the engines write. Nothing can be said of the dump inside, with truth or without."""
    made = pristine(BaseDump.CAB)
    data = made.patched(("folder 0", 6, pack("<H", 0x1503)))
    report = judged(data, strict=False)
    assert report.outcome is Outcome.NOT_A_DUMP
    assert "no dump that can be read" in (report.reason or "")
    assert judged(data, made).outcome is Outcome.NOT_A_DUMP
    quantum = made.patched(("folder 0", 6, pack("<H", 0x1472)))
    assert judged(quantum, made).outcome is Outcome.NON_CONFORMANT


def test_a_cabinet_without_a_dump_is_not_a_dump() -> None:
    report = judged(bytes(cabinet([[File(b"notes.txt", b"hello")]]).data), strict=False)
    assert report.outcome is Outcome.NOT_A_DUMP
    assert judged(bytes(cabinet([[File(b"notes.txt", b"hello")]]).data), pristine(BaseDump.CAB)).outcome is (
        Outcome.NON_CONFORMANT
    )


def test_reserved_areas_belong_to_the_application() -> None:
    made = cabinet([[crash()]], Shape(STORED))
    blocks = [made.at["block 0.0"], made.at["block 0.1"], len(made.data)]
    head = bytearray(made.data[:36])
    folder = bytearray(made.data[36:44])
    grown = 4 + 10 + 3
    pack_into("<H", head, 30, 4)
    data = bytes(head) + pack("<HBB", 10, 3, 2) + b"signature." + bytes(folder) + b"abc"
    data += bytes(made.data[44 : blocks[0]])
    for start, end in pairwise(blocks):
        block = bytes(made.data[start:end])
        data += bytes(4) + block[4:8] + b"xy" + block[8:]
    changed = bytearray(data)
    pack_into("<I", changed, 8, len(data))
    pack_into("<I", changed, 16, 44 + grown)
    pack_into("<I", changed, 36 + 14, blocks[0] + grown)
    read = read_cabinet(ByteSource(bytes(changed)))
    assert (read.folder_reserve, read.block_reserve, read.defects) == (3, 2, [])
    report = judged(bytes(changed))
    assert failing(report) == set()
    assert report.outcome is Outcome.CONFORMANT


def test_a_piece_of_a_set_is_refused() -> None:
    made = pristine(BaseDump.CAB)
    names = b"next.cab\0disk 2\0"
    data = bytearray(made.data[:36] + names + made.data[36:])
    pack_into("<I", data, 8, len(data))
    pack_into("<I", data, 16, 44 + len(names))
    pack_into("<H", data, 30, 2)
    pack_into("<I", data, 36 + len(names), made.at["block 0.0"] + len(names))
    report = judged(bytes(data))
    assert failing(report) == {"CAB-HEADER-004"}


@pytest.mark.parametrize(
    ("filetime", "words"),
    [
        (133_444_736_012_345_678, (43 << 9 | 11 << 5 | 14, 22 << 11 | 13 << 5 | 10)),
        (0, (1 << 5 | 1, 0)),
        ((1 << 64) - 1, (127 << 9 | 12 << 5 | 31, 23 << 11 | 59 << 5 | 29)),
    ],
)
def test_times_are_words_of_dos(filetime: int, words: tuple[int, int]) -> None:
    assert dos_time(filetime) == words


def test_a_cabinet_is_described_with_the_dump_inside() -> None:
    told = describe(pristine(BaseDump.CAB_IMAGES).data)
    library = "\N{CYRILLIC CAPITAL LETTER ZHE}\N{GRINNING FACE}b.dll"
    assert [item.name for item in told.members] == ["crash.dmp", "a.exe", library, "a.pdb"]
    assert told.member == "crash.dmp"
    assert told.dump is not None
    assert told.dump.crash is not None
    assert (told.dump.crash.address, len(told.dump.lists.threads or ())) == (0x401200, 2)


@pytest.mark.skipif(shutil.which("cabextract") is None, reason="cabextract is not installed")
@pytest.mark.parametrize("base", BASES)
def test_an_extractor_agrees_about_every_member(base: BaseDump, tmp_path: Path) -> None:
    """cabextract reads the hand-made cabinets too, including blocks that refer to the block before."""
    (tmp_path / "x.cab").write_bytes(pristine(base).data)
    subprocess.run(["cabextract", "-q", "-d", str(tmp_path / "out"), str(tmp_path / "x.cab")], check=True)
    parts, _ = folders(base)
    for file in (file for folder in parts for file in folder):
        assert (tmp_path / "out" / file.name.decode()).read_bytes() == file.data
