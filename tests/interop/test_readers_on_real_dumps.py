"""The adapters report what their readers print, checked on real dumps whose facts an independent script read.

Each known fault of a reader has a test.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from dumptruth.fixtures.adapters import READERS
from dumptruth.fixtures.adapters.facts import Facts, ReaderFailedError, ReaderMissingError
from dumptruth.fixtures.adapters.run import read_with

CORPUS = Path(os.environ.get("DUMPTRUTH_CORPUS", Path(__file__).resolve().parents[3] / "shared" / "corpus"))

if not (CORPUS / "corpus.json").is_file():
    pytest.skip("no corpus of real dumps: set DUMPTRUTH_CORPUS to its folder", allow_module_level=True)

Says = Callable[[str, str], Facts]

DUMPS: dict[str, dict[str, Any]] = {
    dump["name"]: dump["facts"] for dump in json.loads((CORPUS / "corpus.json").read_text(encoding="utf-8"))["dumps"]
}

REFUSED = {
    ("udmp-parser", "breakpad-macos-x64-padded-lists.dmp"): "Parse returned False",  # lists with 4 bytes of padding
    ("engine", "breakpad-macos-x64-padded-lists.dmp"): "0x8000ffff",  # it drops a padded list of threads
    ("minidump", "crashpad-macos-x64.dmp"): "list index out of range",  # SystemInfo of macOS
}
"""Real dumps that a reader does not open, and its message. These are limits of the readers, not faults of the dumps."""


PADDED = "breakpad-macos-x64-padded-lists.dmp"


@pytest.fixture(scope="module")
def says(ask_one: Callable[[str, Path], Facts | ReaderFailedError]) -> Says:
    """The facts that a reader reports of a dump of the corpus, cached."""

    @cache
    def said(reader: str, name: str) -> Facts:
        answer = ask_one(reader, CORPUS / name)
        if isinstance(answer, ReaderFailedError):
            raise answer
        return answer

    return said


@pytest.mark.parametrize("name", DUMPS)
@pytest.mark.parametrize("reader", READERS)
def test_an_adapter_reports_what_the_dump_is_known_to_hold(says: Says, reader: str, name: str) -> None:
    known = DUMPS[name]
    if (reader, name) in REFUSED:
        with pytest.raises(ReaderFailedError, match=REFUSED[reader, name]):
            says(reader, name)
        return
    said = says(reader, name)
    if said.architecture is not None:
        assert said.architecture == known["arch"].lower()
    if said.threads is not None:
        assert len(said.threads) == known["threads"]
    if said.modules is not None:
        assert len(said.modules) == known["modules"]
    if said.exception is not None and said.exception.code is not None:
        assert said.exception.code == int(known["exception"]["code"], 16)
        assert said.exception.address == int(known["exception"]["address"], 16)
    if said.stream_count is not None:
        assert said.stream_count == known["streams_n"]
    # A reader that reports nothing would pass all of the above.
    assert said.threads or said.stream_count


@pytest.mark.parametrize("name", [name for name in DUMPS if name not in (PADDED, "crashpad-macos-x64.dmp")])
def test_two_readers_find_the_same_bytes_at_the_same_addresses(says: Says, name: str) -> None:
    one, other = says("minidump", name), says("obj2yaml", name)
    assert one.memory
    assert set(one.memory) == set(other.memory or ())


def test_minidump_does_not_know_lists_with_padding_before_the_first_entry(says: Says) -> None:
    wrong, right = says("minidump", PADDED), says("obj2yaml", PADDED)
    assert len(wrong.threads or ()) == len(right.threads or ())
    assert wrong.threads != right.threads
    assert wrong.memory != right.memory


@pytest.mark.parametrize("name", [name for name, known in DUMPS.items() if int(known["flags"], 16)])
def test_minidump_reads_the_header_flags_four_bytes_too_far(says: Says, name: str) -> None:
    assert says("minidump", name).flags == 0
    assert says("file", name).flags == int(DUMPS[name]["flags"], 16)


@pytest.mark.parametrize("name", [name for name in DUMPS if ("udmp-parser", name) not in REFUSED])
def test_udmp_parser_ignores_the_memory_list(says: Says, name: str) -> None:
    assert DUMPS[name]["memory_ranges"] > 0
    assert says("udmp-parser", name).memory == ()


@pytest.mark.parametrize("reader", READERS)
def test_every_reader_refuses_a_file_that_is_not_a_dump(reader: str, tmp_path: Path) -> None:
    text = tmp_path / "text.dmp"
    text.write_text("This is not a dump.\n" * 20, encoding="ascii")
    try:
        with pytest.raises(ReaderFailedError):
            read_with(reader, text)
    except ReaderMissingError as error:
        pytest.skip(str(error))


def test_a_reader_that_does_not_answer_in_time_is_stopped() -> None:
    with pytest.raises(ReaderFailedError, match="no answer after"):
        read_with("minidump", CORPUS / "dbghelp10-x64-normal.dmp", seconds=0.001)


@pytest.mark.skipif(
    sys.platform in ("win32", "darwin"), reason="this system cannot limit the address space of a process"
)
def test_a_reader_that_takes_too_much_memory_is_stopped(tmp_path: Path) -> None:
    # The package minidump trusts a thread count of four billion and reads on until it is stopped.
    data = bytearray((CORPUS / "dbghelp10-x64-normal.dmp").read_bytes())
    directory = int.from_bytes(data[12:16], "little")
    for entry in range(directory, directory + 12 * int.from_bytes(data[8:12], "little"), 12):
        if int.from_bytes(data[entry : entry + 4], "little") == 3:
            rva = int.from_bytes(data[entry + 8 : entry + 12], "little")
            data[rva : rva + 4] = b"\xff" * 4
    hostile = tmp_path / "hostile.dmp"
    hostile.write_bytes(data)
    try:
        with pytest.raises(ReaderFailedError, match="exceeded its limit of 256 MiB"):
            read_with("minidump", hostile, seconds=600, memory=256 << 20)
    except ReaderMissingError as error:
        pytest.skip(str(error))


def test_facts_survive_json(says: Says) -> None:
    for reader in READERS:
        said = says(reader, "dbghelp10-x64-normal.dmp")
        assert Facts.from_json(said.to_json()) == said


def test_invalid_facts_are_refused() -> None:
    with pytest.raises(ValueError, match="not the facts of a reader"):
        Facts.from_json('{"reader": "x"}')
