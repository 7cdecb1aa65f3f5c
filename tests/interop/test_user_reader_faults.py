"""Requirements and known faults of minidump readers, shown by dumps of the project's writer with one edit.

``fixtures.adapters.known`` lists the faults. A test fails with a hint when a release of the reader has fixed its fault.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import pytest
from dumptruth.emu.constants import Qualifier
from dumptruth.emu.debugger.client import DebugClient
from dumptruth.emu.snapshot.process import ProcessSnapshot
from dumptruth.emu.synthetic.process import synthetic_process
from dumptruth.fixtures.adapters.facts import Facts, ReaderFailedError, ReaderLimitError, digest
from dumptruth.fixtures.adapters.known import USER_FAULTS, pins

Answer = Facts | ReaderFailedError
Ask = Callable[..., Answer]

# MINIDUMP_STREAM_TYPE (minidumpapiset.h)
THREADS, MODULES, MEMORY, EXCEPTION, SYSTEM_INFO, MEMORY64, MISC_INFO, MEMORY_INFO = 3, 4, 5, 6, 7, 9, 15, 16
STRAY_THREAD = 0x7FFFFFFC
OUTSIDE = 0x7FFFFFFF
"""An RVA past the end of every dump here."""
THREAD_CONTEXT = 4 + 40
"""Offset of the first thread's context location in a ThreadListStream: its size, then its RVA."""
MODULE_NAME = 4 + 20
"""Offset of the first module's name RVA in a ModuleListStream."""


class Dump:
    """A dump of the writer, which the test edits."""

    def __init__(self, path: Path, qualifier: Qualifier) -> None:
        self.snapshot: ProcessSnapshot = synthetic_process()
        assert DebugClient(self.snapshot, start_directory=path.parent).WriteDumpFile(str(path), qualifier) == 0
        self.path = path
        self.data = bytearray(path.read_bytes())

    def entry(self, kind: int) -> int:
        """File offset of a stream's directory entry."""
        count, directory = struct.unpack_from("<II", self.data, 8)
        entries = range(directory, directory + 12 * count, 12)
        return next(entry for entry in entries if struct.unpack_from("<I", self.data, entry)[0] == kind)

    def stream(self, kind: int) -> int:
        """File offset of a stream."""
        return int(struct.unpack_from("<I", self.data, self.entry(kind) + 8)[0])

    def number(self, offset: int) -> int:
        return int(struct.unpack_from("<I", self.data, offset)[0])

    def edit(self, offset: int, new: bytes) -> None:
        assert self.data[offset : offset + len(new)] != new
        self.data[offset : offset + len(new)] = new
        self.path.write_bytes(self.data)


@pytest.fixture
def small(tmp_path: Path) -> Dump:
    return Dump(tmp_path / "small.dmp", Qualifier.DEBUG_DUMP_SMALL)


@pytest.fixture
def full(tmp_path: Path) -> Dump:
    return Dump(tmp_path / "full.dmp", Qualifier.DEBUG_DUMP_DEFAULT)


def _facts(answer: Answer) -> Facts:
    assert isinstance(answer, Facts), answer
    return answer


def test_every_fault_that_is_listed_is_shown_by_a_test_here() -> None:
    assert {test.pins for test in globals().values() if hasattr(test, "pins")} == set(USER_FAULTS)


# --- requirements of readers -----------------------------------------------------------------------------------------


def _memory_info_base(dump: Dump) -> None:
    """A Memory64 range starts where no region starts."""
    (first,) = struct.unpack_from("<Q", dump.data, dump.stream(MEMORY64) + 16)
    offset = dump.stream(MEMORY_INFO) + dump.number(dump.stream(MEMORY_INFO))
    while struct.unpack_from("<Q", dump.data, offset)[0] != first:
        offset += dump.number(dump.stream(MEMORY_INFO) + 4)
    dump.edit(offset, struct.pack("<Q", first + 0x800))


def _same_memory_info_base(dump: Dump) -> None:
    """Two regions have one base."""
    first = dump.stream(MEMORY_INFO) + 16
    dump.edit(first + 48, bytes(dump.data[first : first + 8]))


def _short_context(dump: Dump) -> None:
    """A thread's context is smaller than CONTEXT."""
    dump.edit(dump.stream(THREADS) + THREAD_CONTEXT, struct.pack("<I", 0x4D0 - 4))


def _context_outside(dump: Dump) -> None:
    """A thread's context lies outside the file."""
    dump.edit(dump.stream(THREADS) + THREAD_CONTEXT + 4, struct.pack("<I", OUTSIDE))


def _nul_counted(dump: Dump) -> None:
    """The length of a module's name counts its NUL."""
    name = dump.number(dump.stream(MODULES) + MODULE_NAME)
    dump.edit(name, struct.pack("<I", dump.number(name) + 2))


def _name_outside(dump: Dump) -> None:
    """A module's name lies outside the file."""
    dump.edit(dump.stream(MODULES) + MODULE_NAME, struct.pack("<I", OUTSIDE))


def _stream_twice(dump: Dump) -> None:
    """Two streams have one type."""
    dump.edit(dump.entry(MISC_INFO), struct.pack("<I", MEMORY_INFO))


def _stray_thread(dump: Dump) -> None:
    """The exception's thread is not listed."""
    dump.edit(dump.stream(EXCEPTION), struct.pack("<I", STRAY_THREAD))


def _no_version(dump: Dump) -> None:
    """The low half of Version is not 0xA793."""
    dump.edit(4, b"\0\0")


def _thread_count(dump: Dump) -> None:
    """The thread count is larger than the file."""
    dump.edit(dump.stream(THREADS), b"\xff" * 4)


@pytest.mark.parametrize(
    ("reader", "edit"),
    [
        ("udmp-parser", _memory_info_base),
        ("udmp-parser", _same_memory_info_base),
        ("udmp-parser", _short_context),
        ("udmp-parser", _context_outside),
        ("udmp-parser", _nul_counted),
        ("udmp-parser", _stream_twice),
        ("udmp-parser", _stray_thread),
        ("udmp-parser", _thread_count),
        ("obj2yaml", _context_outside),
        ("obj2yaml", _name_outside),
        ("obj2yaml", _stream_twice),
        ("obj2yaml", _no_version),
        ("obj2yaml", _thread_count),
    ],
)
def test_each_reader_refuses_the_dumps_that_break_its_requirements(
    ask: Ask, ask_one: Ask, full: Dump, reader: str, edit: Callable[[Dump], None]
) -> None:
    assert isinstance(ask_one(reader, full.path), Facts)
    edit(full)
    answer = ask(reader, full.path)
    assert isinstance(answer, ReaderFailedError)
    assert not isinstance(answer, ReaderLimitError)


def test_obj2yaml_refuses_a_range_of_a_memory_list_outside_the_file(ask_one: Ask, small: Dump) -> None:
    small.edit(small.stream(MEMORY) + 4 + 12, struct.pack("<I", OUTSIDE))
    assert "Unexpected EOF" in str(ask_one("obj2yaml", small.path))


def test_minidump_does_not_compare_ranges_with_regions(ask_one: Ask, full: Dump) -> None:
    before = _facts(ask_one("minidump", full.path))
    _memory_info_base(full)
    after = _facts(ask_one("minidump", full.path))
    assert after.memory == before.memory
    assert after.more["regions"] != before.more["regions"]


# --- known faults -----------------------------------------------------------------------------------------------------


@pins("udmp-memory-list-ignored")
def test_udmp_parser_ignores_the_memory_list(ask_one: Ask, small: Dump) -> None:
    assert small.number(small.stream(MEMORY)) > 0
    assert _facts(ask_one("udmp-parser", small.path)).memory == ()


@pins("udmp-names-cut")
def test_udmp_parser_takes_the_low_byte_of_every_character(ask_one: Ask, full: Dump) -> None:
    name = full.number(full.stream(MODULES) + MODULE_NAME)
    full.edit(name + 4, "ф".encode("utf-16-le"))  # U+0444; its low byte is a D
    for reader, first in (("minidump", "ф"), ("udmp-parser", "D")):
        modules = _facts(ask_one(reader, full.path)).modules
        assert modules
        assert modules[0].name[0] == first


@pytest.mark.parametrize("reader", ["udmp-parser", "minidump"])
def test_a_whole_file_has_no_missing_page(ask_one: Ask, full: Dump, reader: str) -> None:
    assert _missing(_facts(ask_one(reader, full.path)), full.snapshot) == set()


def _missing(said: Facts, snapshot: ProcessSnapshot) -> set[int]:
    """The pages whose bytes the reader does not report as the process had them."""
    return {
        page.start for page in said.memory or () if page.digest != digest(snapshot.read(page.start, page.size) or b"")
    }


def _cut(dump: Dump) -> int:
    """Cuts the end of the memory, which ends the file. Returns the number of missing whole pages."""
    dump.path.write_bytes(dump.data[: -4 * 0x1000])
    return 4


@pins("udmp-accepts-truncated")
def test_udmp_parser_lists_ranges_that_a_truncated_file_does_not_hold(ask_one: Ask, full: Dump) -> None:
    gone = _cut(full)
    assert len(_missing(_facts(ask_one("udmp-parser", full.path)), full.snapshot)) == gone


@pins("minidump-accepts-truncated")
def test_minidump_lists_ranges_that_a_truncated_file_does_not_hold(ask_one: Ask, full: Dump) -> None:
    gone = _cut(full)
    assert len(_missing(_facts(ask_one("minidump", full.path)), full.snapshot)) == gone


@pins("minidump-flags-misplaced")
def test_minidump_reads_time_and_flags_of_the_header_four_bytes_too_far(ask_one: Ask, full: Dump) -> None:
    assert struct.unpack_from("<Q", full.data, 24)[0] == 0x61826  # Flags: 8 bytes at 24
    said = _facts(ask_one("minidump", full.path))
    assert (said.flags, said.more["time_stamp"]) == (0, 0x61826)
    full.edit(28, struct.pack("<I", 2))
    assert _facts(ask_one("minidump", full.path)).flags == 2


@pins("minidump-arm64-unknown")
def test_minidump_fails_on_arm64(ask_one: Ask, full: Dump) -> None:
    assert isinstance(ask_one("minidump", full.path), Facts)
    full.edit(full.stream(SYSTEM_INFO), struct.pack("<H", 12))
    answer = ask_one("minidump", full.path)
    assert isinstance(answer, ReaderFailedError)
    assert "12 is not a valid PROCESSOR_ARCHITECTURE" in str(answer)


@pins("minidump-comment-nul")
def test_minidump_keeps_the_nul_of_a_comment(ask_one: Ask, tmp_path: Path) -> None:
    path = tmp_path / "comment.dmp"
    DebugClient(synthetic_process()).write(path, Qualifier.DEBUG_DUMP_SMALL, comment="a comment")
    assert _facts(ask_one("minidump", path)).more["comment"] == "a comment\0"


@pins("minidump-user-streams-omitted")
def test_minidump_lists_no_user_streams(ask_one: Ask, full: Dump) -> None:
    before = _facts(ask_one("minidump", full.path))
    full.edit(full.entry(MISC_INFO), struct.pack("<I", 0x10001))
    after = _facts(ask_one("minidump", full.path))
    assert after.stream_count == before.stream_count
    assert len(after.more["streams"]) == len(before.more["streams"]) - 1


@pins("udmp-flags-misplaced")
def test_udmp_parser_checks_the_header_flags_four_bytes_too_far(ask_one: Ask, full: Dump) -> None:
    before = _facts(ask_one("udmp-parser", full.path))
    full.edit(24, struct.pack("<I", 0x8006_1826))  # bit 31 has no meaning, and udmp-parser's mask leaves it out
    assert ask_one("udmp-parser", full.path) == before
    full.edit(24, struct.pack("<II", 0x61826, 0x8000_0000))
    assert isinstance(ask_one("udmp-parser", full.path), ReaderFailedError)


@pins("udmp-version-ignored")
def test_udmp_parser_ignores_the_version_that_others_refuse(ask_one: Ask, full: Dump) -> None:
    before = _facts(ask_one("udmp-parser", full.path))
    _no_version(full)
    assert ask_one("udmp-parser", full.path) == before


@pins("minidump-version-ignored")
def test_minidump_ignores_the_version_that_others_refuse(ask_one: Ask, small: Dump) -> None:
    before = _facts(ask_one("minidump", small.path))
    _no_version(small)
    assert ask_one("minidump", small.path) == before


@pins("minidump-undocumented-stream")
def test_minidump_is_ended_by_a_stream_type_that_it_does_not_know(ask_one: Ask, full: Dump) -> None:
    entry = full.entry(MISC_INFO)
    full.edit(entry, struct.pack("<I", 0x1_0000))  # a user stream
    assert isinstance(ask_one("minidump", full.path), Facts)
    full.edit(entry, struct.pack("<I", 0x1234))
    assert "4660 is not a valid" in str(ask_one("minidump", full.path))
    assert isinstance(ask_one("udmp-parser", full.path), Facts)


@pins("minidump-thread-count-believed")
def test_minidump_believes_a_thread_count(ask: Ask, full: Dump) -> None:
    _thread_count(full)
    assert isinstance(ask("minidump", full.path, seconds=5, memory=512 << 20), ReaderLimitError)


@pins("minidump-truncated-directory")
def test_minidump_takes_the_signature_for_a_count_when_the_directory_is_cut_off(ask: Ask, small: Dump) -> None:
    """The reader reads zeros past the end of the file: the thread list is at RVA 0, and ``MDMP`` is its count."""
    small.path.write_bytes(small.data[: small.entry(THREADS) + 8])
    assert isinstance(ask("minidump", small.path, seconds=5, memory=512 << 20), ReaderLimitError)


def _exception_thread(answer: Answer) -> int:
    exception = _facts(answer).exception
    assert exception is not None
    assert exception.thread_id is not None
    return exception.thread_id


@pins("minidump-stray-exception-thread")
def test_minidump_does_not_look_for_the_thread_of_the_exception(ask_one: Ask, full: Dump) -> None:
    _stray_thread(full)
    assert _exception_thread(ask_one("minidump", full.path)) == STRAY_THREAD


@pins("obj2yaml-stray-exception-thread")
def test_obj2yaml_does_not_look_for_the_thread_of_the_exception(ask_one: Ask, full: Dump) -> None:
    _stray_thread(full)
    assert _exception_thread(ask_one("obj2yaml", full.path)) == STRAY_THREAD


@pins("obj2yaml-memory64-unchecked")
def test_obj2yaml_does_not_check_the_ranges_of_a_memory64_list(ask_one: Ask, full: Dump) -> None:
    before = _facts(ask_one("obj2yaml", full.path))
    if before.memory is not None:
        pytest.skip(f"pinned for obj2yaml before version 20; this is {before.reader}")
    full.edit(full.stream(MEMORY64) + 8, struct.pack("<Q", 1 << 40))
    assert _facts(ask_one("obj2yaml", full.path)).modules == before.modules
