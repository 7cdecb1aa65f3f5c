"""What the recorded answers say of the files' contents: header flags, comments, and memory that a dump target lacks.

The other parts of the rows are in test_engine_answers.py.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import pytest
from dumptruth.emu.debugger.client import DebugClient
from dumptruth.fixtures.contracts.answers import Answer

from .test_engine_answers import ROWS, a_folder, ask, needs_peb, skipped, snapshot, target, told

__all__ = ["a_folder"]
WRITTEN = [row for row in ROWS if not skipped(row)]
ENGINES = ("e15063", "e29507")


def streams(data: bytes) -> Iterator[tuple[int, bytes]]:
    count, directory = struct.unpack_from("<II", data, 8)
    for index in range(count):
        kind, size, rva = struct.unpack_from("<III", data, directory + 12 * index)
        yield kind, data[rva : rva + size]


def written(row: Answer, place: Path) -> bytes:
    """Ask the row's question, and return the file that is new."""
    before = set(place.iterdir())
    client = DebugClient(snapshot(row), **target(row))
    ask(row, client, place)
    (new,) = set(place.iterdir()) - before
    data = new.read_bytes()
    new.unlink()
    return data


@pytest.mark.parametrize("engine", ENGINES)
def test_letters_give_the_recorded_header_flags(engine: str, place: Path) -> None:
    rows = [row for row in WRITTEN if row.flags and row.engine == engine and "exists" not in row.line]
    assert rows
    wrong = []
    for row in rows:
        found = hex(struct.unpack_from("<Q", written(row, place), 24)[0])
        if found != row.flags:
            wrong.append(f"{row.target} {row.line}: {found}, expected {row.flags}")
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("engine", ENGINES)
def test_comments_of_commands_are_in_the_recorded_streams(engine: str, place: Path) -> None:
    rows = [row for row in WRITTEN if row.comments and row.engine == engine and "exists" not in row.line]
    assert rows
    for row in rows:
        found = [(kind, data.decode("utf-16-le")) for kind, data in streams(written(row, place)) if kind == 11]
        assert found == list(row.comments), row


@pytest.mark.parametrize("engine", ENGINES)
def test_comments_of_methods_are_stored_with_one_nul(engine: str, place: Path) -> None:
    rows = [
        row
        for row in WRITTEN
        if row.section == "comments" and row.engine == engine and "minidump" in dict(row.files).values()
    ]
    assert rows
    for row in rows:
        found = [(kind, data) for kind, data in streams(written(row, place)) if kind in (10, 11)]
        if not row.comment_given:
            assert found == []
        elif row.method == "two":
            assert found == [(10, (row.comment or "").encode("cp1252") + b"\0")], row
        else:
            assert found == [(11, (row.comment or "").encode("utf-16-le") + b"\0\0")], row


def test_the_comment_field_of_kernel_headers(place: Path) -> None:
    rows = [row for row in WRITTEN if row.field]
    assert rows
    for row in rows:
        assert written(row, place)[0xFB0:0x1030] == bytes.fromhex(row.field), row


def test_a_dump_target_without_the_peb_refuses_process_data(place: Path) -> None:
    rows = [row for row in WRITTEN if needs_peb(row)]
    assert rows
    wrong = [what for row in rows for what in told(row, place)]
    assert not wrong, "\n".join(wrong)
