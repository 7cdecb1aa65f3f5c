"""An edited file reads as the bytes that a copy with the same edits has."""

from __future__ import annotations

from dumptruth.oracle import ByteSource
from dumptruth.oracle.memory.edited import Edit, EditedSource
from hypothesis import given
from hypothesis import strategies as st


@st.composite
def edited(draw: st.DrawFn) -> tuple[bytes, list[Edit]]:
    data = draw(st.binary(max_size=60))
    cuts = sorted(draw(st.lists(st.integers(0, len(data)), max_size=8)))
    pairs = zip(cuts[::2], cuts[1::2], strict=False)
    edits = [Edit(start, end, draw(st.binary(max_size=6))) for start, end in pairs]
    starts = {edit.start: edit for edit in edits}
    return data, [edit for edit in edits if starts[edit.start] is edit]


def copied(data: bytes, edits: list[Edit]) -> bytes:
    for edit in sorted(edits, reverse=True):
        data = data[: edit.start] + edit.data + data[edit.end :]
    return data


@given(edited(), st.integers(-2, 80), st.integers(-1, 80))
def test_any_read_of_an_edited_file_is_that_of_a_copy(made: tuple[bytes, list[Edit]], at: int, length: int) -> None:
    data, edits = made
    copy, source = ByteSource(copied(data, edits)), EditedSource(ByteSource(data), edits)
    assert source.size == copy.size
    assert source.read(at, length) == copy.read(at, length)
    held = list(source.data(at, at + length))
    assert sum(end - start for start, end in held) == sum(end - start for start, end in copy.data(at, at + length))


@given(edited())
def test_bytes_that_no_edit_made_keep_their_offset_in_the_file(made: tuple[bytes, list[Edit]]) -> None:
    data, edits = made
    source = EditedSource(ByteSource(data), edits)
    shift = 0
    at = 0
    for edit in [*edits, Edit(len(data), len(data), b"")]:
        for offset in range(at, edit.start):
            assert source.origin(offset + shift) == offset
        shift += len(edit.data) - (edit.end - edit.start)
        at = edit.end


def test_an_edit_behind_the_end_takes_place_at_the_end() -> None:
    source = EditedSource(ByteSource(b"abc"), [Edit(7, 9, b"xy")])
    assert (source.size, source.read(0, 9)) == (5, b"abcxy")
