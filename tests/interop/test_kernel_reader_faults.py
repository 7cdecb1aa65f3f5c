"""Known faults of kernel dump readers, each shown by a dump of the project's writer with one edit.

``fixtures.adapters.known`` lists the faults. A test fails with a hint when a release of the reader has fixed its fault.
Hostile dumps run under limits on time and memory.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from dumptruth.emu.constants import Qualifier
from dumptruth.emu.debugger.client import DebugClient
from dumptruth.emu.request import KernelProfile
from dumptruth.emu.snapshot.kernel import KernelSnapshot
from dumptruth.emu.snapshot.process import PAGE_SIZE
from dumptruth.emu.synthetic.kernel import bare_machine, synthetic_machine
from dumptruth.fixtures.adapters.facts import Facts, ReaderDiedError, ReaderFailedError, ReaderLimitError, digest
from dumptruth.fixtures.adapters.known import KERNEL_FAULTS, pins

Answer = Facts | ReaderFailedError
Ask = Callable[..., Answer]

REQUESTS = {
    1: (KernelProfile.PORTABLE, Qualifier.DEBUG_DUMP_FULL),
    3: (KernelProfile.HEADER, Qualifier.DEBUG_DUMP_FULL),
    4: (KernelProfile.PORTABLE, Qualifier.DEBUG_DUMP_SMALL),
    5: (KernelProfile.BITMAP, Qualifier.DEBUG_DUMP_FULL),
    6: (KernelProfile.PORTABLE, Qualifier.DEBUG_DUMP_DEFAULT),
    8: (KernelProfile.RANGES, Qualifier.DEBUG_DUMP_DEFAULT),
    9: (KernelProfile.RANGES, Qualifier.DEBUG_DUMP_ACTIVE),
    10: (KernelProfile.RANGES, Qualifier.DEBUG_DUMP_FULL),
}
LEECHCORE_MINIMUM = 16 << 20
"""Bytes: LeechCore opens no smaller file (docs/format/kernel-readers.md#leechcore-and-memprocfs)."""
MEMORY = 512 << 20
"""Bytes of address space for a reader that trusts a garbage count. A sound dump needs less."""
KD_SECONDARY_VERSION = 0x104D
"""Offset in the header (docs/format/kernel-header.md)."""
ENGINES_KPRCB = 0xFFFF_F780_FFFF_0000

# File offsets: DUMP_HEADER64 (docs/format/kernel-header.md#fields-of-the-64-bit-header) and the headers of bitmap and
# run list (docs/format/kernel-pages.md#bitmap-dump-header, docs/format/kernel-pages.md#range-dump-header).
RUN_COUNT, RUNS = 0x88, 0x98
MXCSR = 0x348 + 0x34
DUMP_TYPE = 0xF98
FIRST_PAGE, BITMAP_PAGES, BITMAP_BITS, BITMAP = 0x2020, 0x2028, 0x2030, 0x2038
FIRST_PAGE_OFFSET, RANGE_COUNT, RANGES = 0x2018, 0x2020, 0x2030

limited = pytest.mark.skipif(
    sys.platform in ("win32", "darwin"), reason="this system cannot limit the address space of a process"
)


@cache
def _machine() -> KernelSnapshot:
    return synthetic_machine()


@cache
def _large_machine() -> KernelSnapshot:
    """The smallest RAM that LeechCore opens: 17 MiB in one run; the last page is not zero."""
    pages = (17 << 20) // PAGE_SIZE
    return bare_machine([(1, pages)], {pages: b"the last page...".ljust(PAGE_SIZE, b"\1")})


def _write(path: Path, dump_type: int, snapshot: KernelSnapshot | None = None) -> bytearray:
    """A dump of the given type. The test edits it."""
    profile, qualifier = REQUESTS[dump_type]
    plan = DebugClient(snapshot or _machine(), profile=profile).write(path, qualifier).kernel_plan
    assert plan.dump_type == dump_type
    return bytearray(path.read_bytes())


def _pages(answer: Answer) -> dict[int, str]:
    """Page number -> digest of the page, from a reader that answered."""
    assert isinstance(answer, Facts), answer
    assert answer.memory is not None
    return {page.start // PAGE_SIZE: page.digest for page in answer.memory}


def _promised(answer: Answer) -> int:
    """How many pages the reader's memory map has."""
    assert isinstance(answer, Facts), answer
    return sum(int(run.partition("+")[2], 16) for run in answer.extra["MemoryMap"].split()) // PAGE_SIZE


def test_every_fault_that_is_listed_is_shown_by_a_test_here() -> None:
    assert {test.pins for test in globals().values() if hasattr(test, "pins")} == set(KERNEL_FAULTS)


# --- kdmp-parser ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("last", [1, 7, 8])
@pins("kdmp-bitmap-rounded-down")
def test_kdmp_parser_rounds_the_bitmap_down_to_whole_bytes_and_loses_the_last_pages(
    ask: Ask, tmp_path: Path, last: int
) -> None:
    """The writer's bit counts are multiples of 64. The edit lowers the count to the last page."""
    path, end = tmp_path / "bits.dmp", 64 + last
    data = _write(path, 5, bare_machine([(1, end - 1)]))
    assert set(_pages(ask("kdmp-parser", path))) == set(range(1, end))
    struct.pack_into("<Q", data, BITMAP_BITS, end)
    path.write_bytes(data)
    assert set(_pages(ask("kdmp-parser", path))) == set(range(1, end // 8 * 8))


@pytest.mark.parametrize("dump_type", [1, 5, 6])
@pins("kdmp-short-file-dies")
def test_kdmp_parser_dies_of_a_file_that_lost_its_last_pages(ask: Ask, tmp_path: Path, dump_type: int) -> None:
    path = tmp_path / "short.dmp"
    data = _write(path, dump_type)
    path.write_bytes(data[: -0x100 * PAGE_SIZE])
    assert isinstance(ask("kdmp-parser", path), ReaderDiedError)


@pins("kdmp-short-page-invented")
def test_kdmp_parser_makes_up_the_rest_of_a_page_that_the_file_does_not_hold(ask: Ask, tmp_path: Path) -> None:
    """The file ends 16 bytes into a page of ones. A mapped page has zeros past the end of the file."""
    path = tmp_path / "short.dmp"
    snapshot = bare_machine([(1, 8)], {8: b"\1" * PAGE_SIZE})
    data = _write(path, 1, snapshot)
    end = len(data) - PAGE_SIZE + 16
    assert data[end:].strip(b"\1") == b""
    path.write_bytes(data[:end])
    assert _pages(ask("kdmp-parser", path))[8] == digest(b"\1" * 16 + bytes(PAGE_SIZE - 16))


@limited
@pins("kdmp-page-count-believed")
def test_kdmp_parser_takes_all_memory_for_a_run_of_2_to_the_40_pages(ask: Ask, tmp_path: Path) -> None:
    path = tmp_path / "count.dmp"
    data = _write(path, 1)
    struct.pack_into("<Q", data, RUNS + 8, 1 << 40)
    path.write_bytes(data)
    assert isinstance(ask("kdmp-parser", path, memory=MEMORY), ReaderLimitError)


@limited
@pytest.mark.slow
@pins("kdmp-run-count-believed")
def test_kdmp_parser_takes_all_memory_for_runs_beyond_the_descriptor(ask: Ask, tmp_path: Path) -> None:
    """The header has room for 42 runs in 700 bytes. The reader takes the fill after the last run for huge runs."""
    path = tmp_path / "runs.dmp"
    data = _write(path, 1)
    struct.pack_into("<I", data, RUN_COUNT, 0x7FFFFFFF)
    path.write_bytes(data)
    assert isinstance(ask("kdmp-parser", path, memory=MEMORY), ReaderLimitError)


@pytest.mark.parametrize("dump_type", [8, 9])
@pins("kdmp-one-run-too-many")
def test_kdmp_parser_takes_page_data_for_a_run_more(ask: Ask, tmp_path: Path, dump_type: int) -> None:
    """No run of zeros ends these lists. If the first page starts with zeros, the reader reads the file correctly. If it
    starts with bytes that could be a run, here page 0x900 alone, the reader refuses it.
    """
    path = tmp_path / "runs.dmp"
    data = _write(path, dump_type)
    (count,) = struct.unpack_from("<I", data, RANGE_COUNT)
    runs = list(struct.iter_unpack("<QQ", data[RANGES : RANGES + 16 * count]))
    pages = {page for start, length in runs for page in range(start, start + length)}
    first = RANGES + 16 * count
    data[first : first + 16] = bytes(16)
    path.write_bytes(data)
    assert set(_pages(ask("kdmp-parser", path))) == pages
    struct.pack_into("<QQ", data, first, 0x900, 1)
    path.write_bytes(data)
    assert isinstance(ask("kdmp-parser", path), ReaderFailedError)


@pins("kdmp-page-0-ends-runs")
def test_kdmp_parser_ends_a_range_list_at_page_0(ask: Ask, tmp_path: Path) -> None:
    path = tmp_path / "page-0.dmp"
    _write(path, 10, bare_machine([(0, 8), (16, 8)], root=1))
    assert _pages(ask("kdmp-parser", path)) == {}


def test_kdmp_parser_demands_that_the_two_mxcsr_of_the_context_are_the_same(ask: Ask, tmp_path: Path) -> None:
    path = tmp_path / "mxcsr.dmp"
    data = _write(path, 1)
    assert isinstance(ask("kdmp-parser", path), Facts)
    data[MXCSR] ^= 1
    path.write_bytes(data)
    assert "Invalid kernel dump file" in str(ask("kdmp-parser", path))


# --- volatility3 ------------------------------------------------------------------------------------------------------


@pins("volatility3-accepts-truncated")
def test_volatility3_opens_a_file_that_lost_its_last_pages(ask: Ask, tmp_path: Path) -> None:
    path = tmp_path / "short.dmp"
    data = _write(path, 1)
    whole = _pages(ask("volatility3", path))
    path.write_bytes(data[: -0x100 * PAGE_SIZE])
    short = ask("volatility3", path)
    assert _promised(short) == len(whole)
    assert len(_pages(short)) == len(whole) - 0x100


@pins("volatility3-bitmap-words")
def test_volatility3_takes_bits_past_the_end_of_the_bitmap_for_pages(ask: Ask, tmp_path: Path) -> None:
    """The bitmap has 65 bits, 64 of them pages. The edit sets the other bits of the last 32-bit word."""
    path = tmp_path / "words.dmp"
    data = _write(path, 5, bare_machine([(1, 64)]))
    struct.pack_into("<Q", data, BITMAP_BITS, 65)
    struct.pack_into("<I", data, BITMAP + 8, 0xFFFFFFFF)
    path.write_bytes(data)
    answer = ask("volatility3", path)
    assert _promised(answer) == 64 + 31
    assert set(_pages(answer)) == set(range(1, 65))  # the file has no bytes for the other pages


@pins("volatility3-bit-count-believed")
def test_volatility3_does_not_come_back_from_a_bitmap_of_2_to_the_40_bits(ask: Ask, tmp_path: Path) -> None:
    path = tmp_path / "bits.dmp"
    data = _write(path, 5)
    struct.pack_into("<Q", data, BITMAP_BITS, 1 << 40)
    path.write_bytes(data)
    assert isinstance(ask("volatility3", path, seconds=6, memory=MEMORY), ReaderLimitError)


@pins("volatility3-page-count-misplaced")
def test_volatility3_reads_the_number_of_pages_from_padding(ask: Ask, tmp_path: Path) -> None:
    path = tmp_path / "pages.dmp"
    data = _write(path, 1)
    struct.pack_into("<I", data, RUN_COUNT + 4, 0x1234)
    path.write_bytes(data)
    answer = ask("volatility3", path)
    assert isinstance(answer, Facts), answer
    assert answer.extra["NumberOfPages"] == "0x1234"


# --- LeechCore --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "dump_type", [2, 0x45474150, *(pytest.param(number, marks=pytest.mark.slow) for number in (7, 8, 9, 10))]
)
@pins("leechcore-unknown-type-raw")
def test_leechcore_takes_a_dump_of_a_type_it_does_not_know_for_raw_memory(
    ask: Ask, tmp_path: Path, dump_type: int
) -> None:
    """A complete dump with another type in its header. The reader shows the header as page 0, and page 1 as page 2."""
    path = tmp_path / "type.dmp"
    data = _write(path, 1, _large_machine())
    recognised = ask("LeechCore", path)
    assert isinstance(recognised, Facts), recognised
    assert recognised.extra["Recognised"] == "0x1"
    struct.pack_into("<I", data, DUMP_TYPE, dump_type)
    path.write_bytes(data)
    raw = ask("LeechCore", path)
    assert isinstance(raw, Facts), raw
    assert raw.extra["Recognised"] == "0x0"
    assert _pages(raw)[0] == digest(bytes(data[:PAGE_SIZE]))
    assert len(_pages(raw)) == len(data) // PAGE_SIZE


@pins("leechcore-raw-4-gib")
def test_leechcore_gives_raw_memory_4_gib_when_the_file_is_no_multiple_of_a_page(ask: Ask, tmp_path: Path) -> None:
    path = tmp_path / "raw.dmp"
    data = _write(path, 10, _large_machine())
    assert len(data) % PAGE_SIZE
    raw = ask("LeechCore", path)
    assert _promised(raw) == (4 << 30) // PAGE_SIZE
    assert len(_pages(raw)) == len(data) // PAGE_SIZE


@pins("leechcore-bitmap-quads")
def test_leechcore_loses_the_pages_after_the_last_64_bits(ask: Ask, tmp_path: Path) -> None:
    """The writer's bit counts are multiples of 64. The edit lowers the count to the last page."""
    path, snapshot = tmp_path / "bits.dmp", _large_machine()
    data = _write(path, 5, snapshot)
    ((first, count),) = snapshot.physical_runs
    assert set(_pages(ask("LeechCore", path))) == set(range(first, first + count))
    struct.pack_into("<Q", data, BITMAP_BITS, first + count)
    assert (first + count) % 64
    path.write_bytes(data)
    assert set(_pages(ask("LeechCore", path))) == set(range(first, (first + count) // 64 * 64))


@pins("leechcore-accepts-truncated")
def test_leechcore_opens_a_file_that_lost_its_last_pages(ask: Ask, tmp_path: Path) -> None:
    path = tmp_path / "short.dmp"
    data = _write(path, 1, _large_machine())
    path.write_bytes(data[:-PAGE_SIZE])
    short = ask("LeechCore", path)
    last = max(_large_machine().physical_runs[-1])
    assert _promised(short) == last
    assert _pages(short).get(last) in (None, digest(bytes(PAGE_SIZE)))


@pytest.mark.parametrize(("first_page", "opens"), [(0x3038, False), ((16 << 20) + PAGE_SIZE, False), (16 << 20, True)])
def test_leechcore_demands_an_aligned_first_page_within_16_mib(
    ask: Ask, tmp_path: Path, first_page: int, opens: bool
) -> None:
    """The edit moves the page data. No structure owns the bytes between the bitmap and the first page."""
    path, snapshot = tmp_path / "first.dmp", _large_machine()
    data = _write(path, 5, snapshot)
    (before,) = struct.unpack_from("<Q", data, FIRST_PAGE)
    assert before < 0x3038
    data[before:before] = bytes(first_page - before)
    struct.pack_into("<Q", data, FIRST_PAGE, first_page)
    path.write_bytes(data)
    answer = ask("LeechCore", path)
    if opens:
        ((first, count),) = snapshot.physical_runs
        assert set(_pages(answer)) == set(range(first, first + count))
        assert _pages(answer)[count] == digest(bytes(snapshot.page(count) or b""))
    else:
        assert isinstance(answer, ReaderFailedError)


# --- engine -----------------------------------------------------------------------------------------------------------


@pins("engine-float-area-misplaced")
def test_the_engine_reads_the_float_area_by_kd_secondary_version(ask_one: Ask, tmp_path: Path) -> None:
    """docs/format/kernel-structures.md: 0 makes it read FltSave 0x100 bytes too far, 2 does not."""
    path = tmp_path / "small.dmp"
    data = _write(path, 4)
    words = []
    for version in (0, 2):
        data[KD_SECONDARY_VERSION] = version
        path.write_bytes(data)
        answer = ask_one("engine", path)
        assert isinstance(answer, Facts), answer
        words.append(answer.more["context"]["x87"]["ControlWord"])
    assert words == [0, 0x27F]


@pins("engine-kprcb-misplaced")
def test_the_engine_gives_the_kprcb_of_a_small_dump_an_address_of_its_own(ask_one: Ask, tmp_path: Path) -> None:
    path = tmp_path / "small.dmp"
    _write(path, 4)
    answer = ask_one("engine", path)
    assert isinstance(answer, Facts), answer
    assert _machine().page(ENGINES_KPRCB >> 12) is None
    assert ENGINES_KPRCB in {page["start"] for page in answer.more["virtual_memory"]}


# --- file -------------------------------------------------------------------------------------------------------------


@pins("file-filler-page-count")
def test_file_prints_the_page_count_from_filler(ask: Ask, tmp_path: Path) -> None:
    """Builds before 26100 write small dumps without a memory map in the header."""
    path = tmp_path / "small.dmp"
    _write(path, 4, synthetic_machine(build=19041))
    answer = ask("file", path)
    assert isinstance(answer, Facts), answer
    assert answer.extra["NumberOfPages"] == hex(int.from_bytes(b"PAGEPAGE", "little"))


@pins("file-header-dump-small")
def test_file_calls_a_header_a_small_dump(ask: Ask, tmp_path: Path) -> None:
    said = []
    for dump_type in (3, 4):
        path = tmp_path / f"{dump_type}.dmp"
        _write(path, dump_type)
        answer = ask("file", path)
        assert isinstance(answer, Facts), answer
        if answer.reader not in ("file 5.44", "file 5.45"):
            pytest.skip(f"pinned for file 5.44 and 5.45; this is {answer.reader}")
        said.append(answer.dump_kind)
    assert said == ["small", None]
