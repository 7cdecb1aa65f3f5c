"""The judge answers for any bytes: no exception, no verdict ERROR, in bounded time."""

from __future__ import annotations

import time
from struct import pack

import pytest
from dumptruth.oracle import ByteSource, Outcome, Report, check, identify
from dumptruth.oracle.report.as_json import to_json
from dumptruth.oracle.report.text import render
from hypothesis import given
from hypothesis import strategies as st

KNOWN = (3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 21, 22, 24)


def judged(data: bytes) -> Report:
    report = check(ByteSource(data, "x.dmp"), strict=True)
    assert report.outcome is not Outcome.INTERNAL_ERROR, report.reason
    assert render(report)
    assert to_json(report)
    assert 0 <= report.unclaimed <= len(data)
    return report


@given(st.binary(max_size=4096))
def test_random_bytes_are_identified(data: bytes) -> None:
    assert identify(ByteSource(data)).kind
    judged(data)


@given(st.binary(max_size=2048))
def test_random_bytes_behind_a_signature_are_judged(data: bytes) -> None:
    judged(b"MDMP" + data)


@given(
    st.lists(st.tuples(st.sampled_from(KNOWN), st.integers(0, 700), st.integers(0, 900)), min_size=1, max_size=24),
    st.binary(min_size=64, max_size=512),
    st.sampled_from((0, 5, 9, 12, 0xFFFF)),
)
def test_random_directories_over_random_bytes_are_judged(
    entries: list[tuple[int, int, int]], body: bytes, architecture: int
) -> None:
    at = 32 + 12 * (len(entries) + 1)
    system = pack("<HHHBBIIIIIHH24x", architecture, 6, 1, 1, 1, 10, 0, 1, 2, at, 0, 0)
    directory = pack("<III", 7, 56, at + 6)
    directory += b"".join(pack("<III", *entry) for entry in entries)
    judged(pack("<4sIIIIIQ", b"MDMP", 0xA793, len(entries) + 1, 32, 0, 0, 2) + directory + bytes(6) + system + body)


# One list stream of every kind with a valid header and random entries, so that the rules run too, not only the reader.
@given(st.sampled_from(((3, 4, 48), (4, 4, 108), (5, 4, 16), (24, 4, 12))), st.integers(1, 8), st.randoms())
def test_lists_of_random_entries_are_judged(shape: tuple[int, int, int], count: int, random: object) -> None:
    number, _, size = shape
    entries = bytes(random.choice((0, 0, 0, 1, 4, 0x40, 0xFF)) for _ in range(count * size))  # type: ignore[attr-defined]
    at = 32 + 24
    system = pack("<HHHBBIIIIIHH24x", 9, 6, 1, 1, 1, 10, 0, 1, 2, at, 0, 0)
    stream = pack("<I", count) + entries
    directory = pack("<III", 7, 56, at + 6) + pack("<III", number, len(stream), at + 62)
    data = pack("<4sIIIIIQ", b"MDMP", 0xA793, 2, 32, 0, 0, 0) + directory + bytes(6) + system + stream
    judged(data + bytes(1300))


@pytest.mark.parametrize("number", KNOWN)
def test_a_count_of_four_billion_costs_no_memory(number: int) -> None:
    body = b"\xff" * 64 + bytes(1 << 17)
    data = pack("<4sIIIIIQ", b"MDMP", 0xA793, 1, 32, 0, 0, 2) + pack("<III", number, len(body), 44) + body
    start = time.process_time()
    judged(data)
    assert time.process_time() - start < 5


def test_a_directory_of_many_entries_is_refused_as_beyond_the_ceiling() -> None:
    entry = pack("<III", 5, 0xFFF, 0)
    for count, outcome in ((4096, Outcome.NON_CONFORMANT), (100_000, Outcome.INCOMPLETE)):
        report = judged(pack("<4sIIIIIQ", b"MDMP", 0xA793, count, 32, 0, 0, 0) + entry * count)
        assert report.outcome is outcome
