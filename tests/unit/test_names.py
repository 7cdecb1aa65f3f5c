"""Qualifiers and flags are known by their usual spellings."""

from __future__ import annotations

from pathlib import Path

import pytest
from dumptruth.emu.constants import FormatFlag, Qualifier
from dumptruth.emu.debugger.client import DebugClient
from dumptruth.emu.names import UnknownNameError, flags_number, qualifier_number
from dumptruth.emu.synthetic.process import synthetic_process
from dumptruth.oracle.demands import FLAGS, QUALIFIERS


@pytest.mark.parametrize(
    "name", ["small", "SMALL", "DEBUG_DUMP_SMALL", "DEBUG_USER_WINDOWS_SMALL_DUMP", "1024", "0x400"]
)
def test_a_qualifier_has_several_spellings(name: str) -> None:
    assert qualifier_number(name) == 1024


def test_flags_are_combined() -> None:
    assert flags_number(["full-memory", "DEBUG_FORMAT_USER_SMALL_HANDLE_DATA", "write_cab"]) == 0x2000_0003


def test_an_unknown_name_is_answered_with_the_known_ones() -> None:
    with pytest.raises(UnknownNameError, match=r"unknown qualifier 'tiny'; expected small \(1024\)"):
        qualifier_number("tiny")
    with pytest.raises(UnknownNameError, match=r"did you mean full-memory"):
        flags_number(["ful-memory"])


def test_a_dump_is_written_by_names(tmp_path: Path) -> None:
    client = DebugClient(synthetic_process(), start_directory=tmp_path)
    named = client.write("named.dmp", "small", ["handle-data"])
    numbered = client.write("numbered.dmp", 1024, 0x2)
    assert named.size == numbered.size
    assert (tmp_path / "named.dmp").read_bytes() == (tmp_path / "numbered.dmp").read_bytes()
    with pytest.raises(UnknownNameError):
        client.write("unknown.dmp", "tiny")
    assert not (tmp_path / "unknown.dmp").exists()


def test_writer_and_oracle_give_the_names_the_same_numbers() -> None:
    """The oracle has tables of its own, so that it shares nothing with the writer."""
    assert all(Qualifier[name] == number for name, number in QUALIFIERS.items())
    assert {name: int(FormatFlag[name]) for name in FLAGS} == FLAGS
