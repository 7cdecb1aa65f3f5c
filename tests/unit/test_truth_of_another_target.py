"""A dump that is judged against the truth of another target gets one line that says so."""

from __future__ import annotations

from pathlib import Path

import pytest
from dumptruth.oracle import check
from dumptruth.oracle.report.text import render

GOLDEN = Path(__file__).parents[2] / "fixtures" / "golden"


@pytest.mark.parametrize(
    ("dump", "truth", "line"),
    [
        ("x86.dmp", "by-hand-amd64", "NON_CONFORMANT: a dump of x86; the truth describes a process of amd64"),
        ("userdump-arm64.dmp", "by-hand-x86", "NON_CONFORMANT: a dump of arm64; the truth describes a process of x86"),
        ("cab.cab", "by-hand-arm64", "NON_CONFORMANT: a dump of amd64; the truth describes a process of arm64"),
        ("kernel-special.dmp", "by-hand-x86", "; the truth describes a process"),
        ("rich.dmp", "machine-8dc2099d", "; the truth describes a whole machine"),
    ],
)
def test_the_verdict_tells_that_the_truth_is_of_another_target(dump: str, truth: str, line: str) -> None:
    report = check(GOLDEN / "by-hand" / dump, GOLDEN / "truth" / truth, qualifier="small")
    assert render(report).rstrip().endswith(line)
