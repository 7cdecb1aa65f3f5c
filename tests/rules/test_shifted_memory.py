"""Memory that stands at another file offset than the dump says is told as one shift, in both formats of a process."""

from __future__ import annotations

from typing import Any

import pytest
from dumptruth.fixtures.mutants.hand_pristine import pristine
from dumptruth.fixtures.mutants.registry import BaseDump
from dumptruth.oracle import ByteSource, Finding, Report, Verdict, check

from .hand_minidump import HandMade


def findings(report: Report, rule: str) -> tuple[Finding, ...]:
    (result,) = (result for result in report.results if result.rule == rule)
    assert result.verdict is Verdict.FAIL
    return result.findings


def moved(case: HandMade, at: int, by: int) -> bytes:
    """The file with ``by`` bytes more in front of ``at``. No offset in it follows."""
    return bytes(case.data[:at]) + b"\x5a" * by + bytes(case.data[at:])


@pytest.mark.parametrize("by", [1, 8, 4096])
def test_memory_that_is_wholly_shifted_is_one_finding(small: Any, by: int) -> None:
    data = moved(small, small.at["memory 0x13f00"], by)
    (finding,) = findings(check(ByteSource(data), small.truth, small.request), "PAGE-BYTES-001")
    assert "0x13f00 and all that follows" in finding.subject
    assert f"shifted by {by} bytes" in finding.actual


def test_memory_that_is_shifted_from_one_range_on_names_that_range(small: Any) -> None:
    data = moved(small, small.at["memory 0x400fc0"], 12)
    (finding,) = findings(check(ByteSource(data), small.truth, small.request), "PAGE-BYTES-001")
    assert finding.subject.startswith("memory 0x400fc0 ")


def test_one_wrong_byte_is_no_shift(small: Any) -> None:
    data = bytearray(small.data)
    data[small.at["memory 0x400fc0"] + 5] ^= 0xFF
    (finding,) = findings(check(ByteSource(bytes(data)), small.truth, small.request), "PAGE-BYTES-001")
    assert "shifted" not in finding.actual


def test_a_range_out_of_place_among_right_ones_is_no_shift_of_all(small: Any) -> None:
    data = bytearray(small.data)
    start = small.at["memory 0x13f00"]
    data[start : start + 0x100] = data[start + 8 : start + 0x108]
    told = findings(check(ByteSource(bytes(data)), small.truth, small.request), "PAGE-BYTES-001")
    assert all("shifted" not in finding.actual for finding in told)


def test_a_full_user_dump_tells_its_shift() -> None:
    by = 16
    case = pristine(BaseDump.USERDUMP)
    at = case.at["memory 0"]
    data = case.data[:at] + b"\x5a" * by + case.data[at:-by]
    (finding,) = findings(check(ByteSource(data), case.truth, case.asked), "TRUE-UDMP-MEMORY-001")
    assert f"shifted by {by} bytes" in finding.actual
